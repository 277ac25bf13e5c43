package cluster

import "errors"

// What a call on a Node can fail with. The first group means that nothing was applied and the call may be repeated
// anywhere; ErrOutcomeUnknown alone means that it may have been.
var (
	// ErrNotLeader: this node does not lead. See Node.Leader for who does.
	ErrNotLeader = errors.New("this node is not the leader")
	// ErrBusy: the proposal queue is full, by count or by bytes.
	ErrBusy = errors.New("the proposal queue is full")
	// ErrStorageFull: free space is below the floor; claims and new events are refused, completes are not.
	ErrStorageFull = errors.New("free disk space is below the floor")
	// ErrClosed: the node is shutting down and took no more work.
	ErrClosed = errors.New("the node is closed")
	// ErrUnavailable: the call's time ran out before anything was proposed, or a quorum could not be reached for a read.
	ErrUnavailable = errors.New("the cluster could not answer in time")

	// ErrRemoved: this node was removed from the cluster. It is what Fatal brings then, and what Open fails with after.
	ErrRemoved = errors.New("this node was removed from its cluster")

	// ErrOutcomeUnknown: the command may or may not be applied. Repeating a claim with the same owner is safe.
	ErrOutcomeUnknown = errors.New("the outcome is unknown")
)
