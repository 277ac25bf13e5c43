// Package cluster is one node of a Syllecta cluster: raft with its log, stable and snapshot stores, the wire between
// nodes, gossip, and what the state machine needs from them: proposals, linearizable reads and the cluster clock.
//
// # Writing
//
// One proposer per leader collects the calls that arrive while an entry is in flight and proposes them as the next
// one (group commit). A call is answered from what this node's own state machine computed when the entry was applied.
// When leadership is lost with an entry in flight, raft cannot say what became of it, but the log can: the node waits
// until its state machine passes the entry's index. Either the entry found there is its own, then the results are
// delivered as if nothing had happened; or it is another's, then nothing was applied and the call may be sent to the
// new leader. Only if neither shows in time is the outcome reported as unknown.
//
// # Reading
//
// raft.VerifyLeader counts acknowledgements of heartbeats that were sent before it was called, so it does not prove
// leadership at the time of the read. A read here asks the voters for their current term after it arrived: while a
// majority is still in the leader's term, no other leader can have been elected, and what the leader has applied
// since the first entry of its term is everything that was ever acknowledged.
//
// # Time
//
// See clusterClock.
//
// # Failing
//
// An error of the log or stable store leaves it open whether a write happened, a call that hangs leaves a leader
// that cannot commit (hashicorp/raft #503), and an entry that cannot be read must not be skipped. In all three cases
// the node reports through Fatal and expects its process to end.
package cluster
