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
// since the first entry of its term is everything that was ever acknowledged. One round serves all who asked before it
// began. A claim that would change nothing, of a completed record or of a lock that another holds, is such a read, too
// (replay.go), so that replays and polls cost no log write.
//
// # Time
//
// See clusterClock.
//
// # Belonging together
//
// A node is identified by its id and, because a machine whose disk was emptied has forgotten what it voted, by the id
// of its data directory (identity.go). Both are shown, with the cluster's id, in the hello that begins every connection
// between nodes (hello.go), under mutual TLS if certificates are configured; raft's connections and the peer service
// are for members of one cluster only (passport.go). The lobby is for the others: nodes that found a cluster
// (bootstrap.go), join one, or are invited (join.go).
//
// Founding happens once: the node with the lowest id proposes a cluster id and a set of founders, every founder binds
// itself durably to exactly one such set (affiliation.go), and only then raft is bootstrapped. From then on the
// cluster's id is part of the gossip label and of every hello, so two clusters never merge.
//
// Gossip only finds addresses: raft dials ids (addresses.go). Who is a member is decided in the log: an admission or a
// removal is a command first and a change of raft's configuration second, and the leader's steward (steward.go)
// finishes what was interrupted in between. A node joins without a vote and gets one when it has proved itself.
//
// # Failing
//
// An error of the log or stable store leaves it open whether a write happened, a call that hangs leaves a leader
// that cannot commit (hashicorp/raft #503), and an entry that cannot be read must not be skipped. In all three cases
// the node reports through Fatal and expects its process to end. One failure is an exception: a write that found no space
// left nothing behind, and is repeated once after the ballast was given up (ballast.go).
//
// # The log
//
// The log is kept by raft-boltdb or by raft-wal (store.go). To raft both are the same: entries at indexes, some of which
// may be missing. Beyond what the libraries do, a damaged log is refused with words instead of a panic, and never
// shortened without a word; what a crash during a write leaves behind is mended (store_wal_check.go, store_wal_scan.go).
package cluster
