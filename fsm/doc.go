// Package fsm is the replicated state machine: records with their locks, tenants with their plans, API keys and usage,
// the audit log, and the cluster's members.
//
// It is pure. The same entries applied in the same order give the same results and the same [Machine.Digest] on every
// node, whatever its wall clock, hardware or restart history. So nothing in here reads a clock, draws randomness,
// starts a goroutine, does I/O or lets the iteration order of a map reach a result: time arrives as the leader's stamp
// in each entry, tokens and identifiers are drawn by the proposer and carried in the command. TestPurity refuses the
// imports and calls that would break this.
//
// # The record's life
//
//	absent → locked → completed → expired (= absent)
//
// A lock is lapsed when its lease is over: a predicate on the committed clock, not a transition, so no timer decides
// anything. Expiry is likewise judged when an entry is applied; removing what has expired is bounded per entry and
// never changes an answer.
//
// # Memory
//
// Nothing of which there may be millions is an object of its own, so the garbage collector has next to nothing to
// follow. Records lie encoded in chunks, grouped by when they expire (recordStore). Locks lie encoded in pages
// (lockTable). An index without pointers finds both by the hash of their key.
//
// Apply waits for nothing that grows with the state: index segments grow one at a time, what has expired is removed
// some at a time, and a capture copies lists of chunks and pages. Pages that a snapshot shares are copied one by one, as
// they are changed. A leader's first entry alone visits every lock.
//
// # Concurrency
//
// A Machine is not safe for concurrent use: its owner serialises [Machine.Apply] with the reads, and [Machine.Snapshot]
// with everything. Three things may be
// used beside a running Apply: the [Directory] (immutable, replaced as a whole), the bytes of a [Record] (append-only
// storage, never overwritten) and a [Snapshot] that was captured (its pages are copied before they are changed).
package fsm
