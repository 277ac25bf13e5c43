package fsm

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/syllecta/syllecta/snapshot"
)

// Identity is what a cluster keeps when its records are replaced by those of a backup.
type Identity struct {
	ClusterID      string
	Epoch          uint64
	FeatureLevel   uint32
	FeatureVersion string
	Members        []*Member // as Directory.Members returns them
	// RestoredBy is who has the records replaced, for the audit log; without a name, no entry tells of it.
	RestoredBy Actor
}

// Identity returns the cluster's identity as of the last entry applied.
func (m *Machine) Identity() Identity {
	d := m.directory
	return Identity{
		ClusterID:      d.ClusterID,
		Epoch:          m.epoch,
		FeatureLevel:   d.FeatureLevel,
		FeatureVersion: d.FeatureVersion,
		Members:        d.Members(),
	}
}

// Rebase copies a snapshot from r into w as the state of the cluster to at (index, term), and returns what it wrote.
//
// Cluster id and members are those of the cluster. Tenants, keys and the secret they are hashed under, plans, usage,
// the audit log but for its last entry, locks, records, clock and digest are the snapshot's. The epoch is above both, so that no fence of either repeats. The
// feature level is the higher of both, as the records may need it. Foreign sections are dropped.
//
// It reads to the verified end in the bounded memory of Inspect, and refuses what Inspect refuses; also a cluster or a
// snapshot without a cluster id, and epochs that are used up. It does not close w: after an error, w must not be closed
// either, so that nobody can read what is there.
func Rebase(w *snapshot.Writer, r *snapshot.Reader, to Identity, index, term uint64) (Summary, error) {
	x := rebase{w: w, in: newCounter(), out: newCounter(), to: to, index: index, term: term}
	if err := x.copySections(r); err != nil {
		return Summary{}, fmt.Errorf("rebase: %w", err)
	}
	if err := x.writeMissing(); err != nil {
		return Summary{}, fmt.Errorf("rebase: %w", err)
	}
	return x.summary(), nil
}

// rebase is one run of Rebase. What it changes goes through out as if it were read: nothing is written that would be
// refused by those it is for.
type rebase struct {
	w           *snapshot.Writer
	in, out     *counter
	to          Identity
	index, term uint64
}

func (x *rebase) copySections(r *snapshot.Reader) error {
	return x.in.eachSection(r, func(section snapshot.Section) error {
		switch section.ID {
		case sectionState: // begun when its record shows which form it takes
			return eachRecord(r, x.takeState)
		case sectionMembers:
			if err := eachRecord(r, func(b []byte) error { return x.in.read(sectionMembers, b) }); err != nil {
				return err
			}
			return x.writeMembers()
		}
		if err := x.w.Begin(section.ID, section.Version); err != nil {
			return err
		}
		err := eachRecord(r, func(b []byte) error {
			if err := x.in.read(section.ID, b); err != nil {
				return err
			}
			return x.w.Append(b)
		})
		if err == nil && section.ID == sectionAudit {
			err = x.writeRestored()
		}
		return err
	})
}

// writeRestored adds to the backup's audit log, which has taken the place of the cluster's, that it has.
func (x *rebase) writeRestored() error {
	if x.to.RestoredBy.Name == "" {
		return nil
	}
	in := x.in.m
	log := auditLog{total: in.audit.total, last: in.audit.last}
	log.append(AuditEntry{
		Index: x.index, AtMs: in.clockMs, By: x.to.RestoredBy, Action: "cluster.restore", Target: x.to.ClusterID,
		Changes: []AuditChange{
			{Member: "cluster", After: in.directory.ClusterID},
			{Member: "index", After: strconv.FormatUint(in.index, 10)},
		},
	})
	return x.w.Append(log.entries[0])
}

// takeState reads the snapshot's state and writes the cluster's.
func (x *rebase) takeState(b []byte) error {
	if err := x.in.read(sectionState, b); err != nil {
		return err
	}
	p, d := x.in.m.progress, x.in.m.directory.clone()
	switch {
	case d.ClusterID == "":
		return fmt.Errorf("%w: it is of no cluster yet", ErrMalformed)
	case x.to.ClusterID == "":
		return errors.New("the cluster that it is for has no id yet")
	}
	p.index, p.term = x.index, x.term
	p.epoch, p.grants = max(p.epoch, x.to.Epoch)+1, 0
	if p.epoch > maxEpoch {
		return fmt.Errorf("epoch %d: there is none above %d", p.epoch, maxEpoch)
	}
	d.ClusterID = x.to.ClusterID
	if x.to.FeatureLevel >= d.FeatureLevel {
		d.FeatureLevel, d.FeatureVersion = x.to.FeatureLevel, x.to.FeatureVersion
	}
	d.members = x.to.Members
	return x.writeState(p, d)
}

func (x *rebase) writeState(p progress, d *Directory) error {
	x.out.form = d.form()
	x.out.form = max(x.out.form, x.in.form) // for its sections, which were not read yet
	b := encodeState(p, d, x.out.form)
	if err := x.out.read(sectionState, b); err != nil {
		return err
	}
	if err := x.w.Begin(sectionState, x.out.form.of(sectionState)); err != nil {
		return err
	}
	return x.w.Append(b)
}

// writeMissing writes the sections that the snapshot is too old to have, and the cluster is not: members, and others
// with nothing in them but what a new cluster has.
func (x *rebase) writeMissing() error {
	last := x.out.form.lastSection()
	for id := x.in.last + 1; id <= last; id++ {
		if id == sectionMembers {
			if err := x.writeMembers(); err != nil {
				return err
			}
			continue
		}
		if err := x.w.Begin(id, x.out.form.of(id)); err != nil {
			return err
		}
		if id == sectionPlans {
			if err := x.w.Append(appendPlan(nil, starterPlan(), x.out.form >= form4)); err != nil {
				return err
			}
		}
		if id == sectionAudit {
			if err := x.writeRestored(); err != nil {
				return err
			}
		}
	}
	return nil
}

// writeMembers writes the cluster's members in the place of the snapshot's.
func (x *rebase) writeMembers() error {
	if x.out.form == form1 {
		return nil
	}
	if err := x.w.Begin(sectionMembers, x.out.form.of(sectionMembers)); err != nil {
		return err
	}
	for _, member := range x.to.Members {
		b := encodeMember(member)
		if err := x.out.read(sectionMembers, b); err != nil {
			return err
		}
		if err := x.w.Append(b); err != nil {
			return err
		}
	}
	return nil
}

// summary is of what was written: the cluster's identity, the snapshot's contents.
func (x *rebase) summary() Summary {
	s, in := x.out.summary(), x.in.summary()
	s.Tenants, s.Keys = in.Tenants, in.Keys
	s.Locks, s.Records, s.RecordBytes = in.Locks, in.Records, in.RecordBytes
	return s
}
