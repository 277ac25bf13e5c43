package fsm

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
)

// Actor is who asked for a change.
type Actor struct {
	Name      string // an admin's or a key's, 1…MaxNameBytes
	Role      string // 1…MaxNameBytes
	RequestID string // of the HTTP request; 0…MaxNameBytes
	Address   string // where it came from; 0…MaxNameBytes
}

// clusterActor is who changes what nobody asked for by name: the nodes themselves.
var clusterActor = Actor{Name: "cluster", Role: "cluster"}

// AuditEntry is a change of the control plane that took effect. Entries are never changed or removed. Each is chained
// to the one before it by its hash, so none can be changed or left out without the last hash telling.
type AuditEntry struct {
	Seq    uint64 // 1, 2, 3…
	Index  uint64 // of the log entry that made the change
	AtMs   int64  // on the committed clock
	By     Actor
	Action string // such as "tenant.update"
	Target string // the public id or name of what was changed
	// Changes are the members that changed, in a fixed order. None of them is a secret.
	Changes []AuditChange
	// Hash is SHA-256 over the hash of the entry before, zeros for the first, and the rest of this one as encoded.
	Hash [sha256.Size]byte
}

// AuditChange is a member with its values before and after as text; "" where there was none.
type AuditChange struct{ Member, Before, After string }

// Bounds of an entry's parts, which a snapshot is read by.
const (
	maxAuditChanges    = 32
	maxAuditValueBytes = 1 << 10
)

// auditLog is the entries in their order, encoded: what is there never changes, so that a snapshot may share it.
type auditLog struct {
	entries [][]byte
	total   uint64            // as many, unless they are read to be verified only
	last    [sha256.Size]byte // hash of the last
}

// append chains an entry, and gives it its number.
func (l *auditLog) append(e AuditEntry) {
	l.total++
	e.Seq = l.total
	b := appendAuditEntry(nil, &e)
	l.last = chainHash(l.last, b)
	l.entries = append(l.entries, append(b, l.last[:]...))
}

// follow takes an entry as append has encoded it for the next one, without keeping it.
func (l *auditLog) follow(b []byte) error {
	e, err := decodeAuditEntry(b)
	if err != nil {
		return err
	}
	hash := chainHash(l.last, b[:len(b)-sha256.Size])
	if e.Seq != l.total+1 || e.Hash != hash {
		return fmt.Errorf("%w: entry %d of the audit log does not follow from the one before", ErrMalformed, e.Seq)
	}
	l.total, l.last = e.Seq, hash
	return nil
}

func chainHash(previous [sha256.Size]byte, b []byte) [sha256.Size]byte {
	return sha256.Sum256(append(append(make([]byte, 0, len(previous)+len(b)), previous[:]...), b...))
}

// AuditLog returns at most limit entries of the audit log that come after one, 0 for the first, and how many there are.
// Several calls may run at once.
func (m *Machine) AuditLog(after uint64, limit int) (entries []AuditEntry, total uint64) {
	total = uint64(len(m.audit.entries))
	for seq := after; seq < total && len(entries) < limit; seq++ {
		e, err := decodeAuditEntry(m.audit.entries[seq])
		if err != nil {
			panic(fmt.Sprintf("fsm: entry %d of the audit log cannot be read: %v", seq+1, err)) // memory is damaged
		}
		entries = append(entries, e)
	}
	return entries, total
}

// note adds an entry for a command of the control plane if it has changed anything.
func (m *Machine) note(by Actor, cmd Command, before *Directory, r *Result) {
	changed := before != m.directory || r.Outcome == EventsChanged && r.Count > 0
	if !changed || m.directory.FeatureLevel < LevelControl {
		return
	}
	subject := subjectOf(cmd, before, m.directory, r)
	if len(subject.changes) == 0 {
		return
	}
	m.audit.append(AuditEntry{Index: m.index, AtMs: m.clockMs, By: by, Action: subject.action, Target: subject.target,
		Changes: subject.changes})
}

// appendAuditEntry encodes all but the hash.
func appendAuditEntry(b []byte, e *AuditEntry) []byte {
	b = binary.AppendUvarint(b, e.Seq)
	b = binary.AppendUvarint(b, e.Index)
	b = binary.AppendVarint(b, e.AtMs)
	b = appendActor(b, e.By)
	b = appendString(b, e.Action)
	b = appendString(b, e.Target)
	b = binary.AppendUvarint(b, uint64(len(e.Changes)))
	for _, c := range e.Changes {
		b = appendString(b, c.Member)
		b = appendString(b, c.Before)
		b = appendString(b, c.After)
	}
	return b
}

func decodeAuditEntry(b []byte) (AuditEntry, error) {
	d := decoder{b: b}
	e := AuditEntry{
		Seq:    d.uvarint("sequence number"),
		Index:  d.uvarint("index"),
		AtMs:   d.integer(0, math.MaxInt64, "instant"),
		By:     d.actor(),
		Action: d.string(1, MaxNameBytes, "action"),
		Target: d.string(0, MaxNameBytes, "target"),
	}
	n := d.uvarint("changes")
	if n > maxAuditChanges {
		d.fail("changes")
	}
	for range min(n, maxAuditChanges) {
		e.Changes = append(e.Changes, AuditChange{
			Member: d.string(1, MaxNameBytes, "member"),
			Before: d.string(0, maxAuditValueBytes, "value before"),
			After:  d.string(0, maxAuditValueBytes, "value after"),
		})
	}
	e.Hash = d.hash()
	return e, d.finish()
}

func appendActor(b []byte, a Actor) []byte {
	for _, s := range []string{a.Name, a.Role, a.RequestID, a.Address} {
		b = appendString(b, s)
	}
	return b
}

func (d *decoder) actor() Actor {
	return Actor{
		Name:      d.string(1, MaxNameBytes, "actor"),
		Role:      d.string(1, MaxNameBytes, "role"),
		RequestID: d.string(0, MaxNameBytes, "request id"),
		Address:   d.string(0, MaxNameBytes, "address"),
	}
}
