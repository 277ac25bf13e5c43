package fsm

import (
	"bytes"
	"cmp"

	"github.com/google/btree"
)

// Bounds of the time for which a signing secret that was rolled is still signed with, beside the new one.
const (
	MaxSigningOverlapMs     = 7 * dayMs
	DefaultSigningOverlapMs = dayMs
)

// PreviousSecret is the signing secret before the present one. There is at most one.
type PreviousSecret struct {
	Sealed   []byte // as Source.SigningSecret was; nil for none
	EndsAtMs int64  // on the committed clock; 0 for none
}

// Good reports whether there is one that is still signed with at an instant.
func (p PreviousSecret) Good(nowMs int64) bool { return len(p.Sealed) > 0 && nowMs < p.EndsAtMs }

// signingOverlaps are the sources of the directory that have a previous signing secret, by when it ends.
type signingOverlaps = btree.BTreeG[*Source]

func newSigningOverlaps() *signingOverlaps { return btree.NewG(eventTreeDegree, endsEarlier) }

func endsEarlier(a, b *Source) bool {
	return cmp.Or(cmp.Compare(a.Previous.EndsAtMs, b.Previous.EndsAtMs), cmp.Compare(a.ID, b.ID)) < 0
}

// rolls reports whether a change of a source is one of its signing secret.
func (c *PutSource) rolls(old *Source) bool {
	return old != nil && !bytes.Equal(old.SigningSecret, c.Source.SigningSecret)
}

// overlapsTwice reports whether a change would have to end a previous secret before its time, to keep another. Receivers
// that know only that one would refuse what they are sent, and nobody has asked for it; without an overlap, somebody has.
func (m *Machine) overlapsTwice(c *PutSource, old *Source) bool {
	return c.OverlapMs > 0 && c.rolls(old) && old.Previous.Good(m.clockMs)
}

// previousSecret returns what is kept as a source's previous signing secret when it is changed.
func (m *Machine) previousSecret(c *PutSource, old *Source) PreviousSecret {
	switch {
	case c.rolls(old) && c.OverlapMs > 0 && len(old.SigningSecret) > 0:
		return PreviousSecret{Sealed: old.SigningSecret, EndsAtMs: m.clockMs + c.OverlapMs}
	case old != nil && !c.rolls(old) && old.Previous.Good(m.clockMs):
		return old.Previous
	default:
		return PreviousSecret{}
	}
}

// noteOverlap has the sweep know of a source in the place of what it was; either is nil if there is none.
func (m *Machine) noteOverlap(s, old *Source) {
	if old != nil && old.Previous.EndsAtMs > 0 {
		m.overlaps.Delete(old)
	}
	if s != nil && s.Previous.EndsAtMs > 0 {
		m.overlaps.ReplaceOrInsert(s)
	}
}

// sweepPreviousSecrets drops previous signing secrets that have ended, in the order in which they did. That is nobody's
// change of a source: its revision stays.
func (m *Machine) sweepPreviousSecrets(limit int) {
	var d *Directory
	for ; limit > 0; limit-- {
		old, ok := m.overlaps.Min()
		if !ok || m.clockMs < old.Previous.EndsAtMs {
			break
		}
		if d == nil {
			d = m.directory.clone()
		}
		s := *old
		s.Previous = PreviousSecret{}
		d.setSource(&s)
		m.noteOverlap(&s, old)
	}
	if d != nil {
		m.directory = d
	}
}
