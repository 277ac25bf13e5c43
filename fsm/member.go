package fsm

import (
	"fmt"
	"slices"
)

// Member is a node that belongs to the cluster, or did. It is immutable; an update replaces it in the Directory.
type Member struct {
	NodeID       string
	DiskID       string // "" while unknown
	NonVoter     bool
	AdmittedAtMs int64 // on the committed clock; 0 if it was retired without ever being admitted
	RetiredAtMs  int64 // 0 while it is a member
}

// Retired reports whether the node was taken out for good.
func (x *Member) Retired() bool { return x.RetiredAtMs != 0 }

// Member returns the member with that node id, retired or not, or nil.
func (d *Directory) Member(id string) *Member {
	for _, list := range [][]*Member{d.members, d.retired} {
		for _, x := range list {
			if x.NodeID == id {
				return x
			}
		}
	}
	return nil
}

// Members returns at most MaxMembers members in order of admission, and then at most MaxRetiredMembers retired ones in
// order of retirement. The slice is the caller's.
func (d *Directory) Members() []*Member { return slices.Concat(d.members, d.retired) }

// setMember adds or replaces a member of a directory that nobody else sees yet.
func (d *Directory) setMember(x *Member) {
	for i, old := range d.members {
		if old.NodeID == x.NodeID {
			d.members[i] = x
			return
		}
	}
	d.members = append(d.members, x)
}

// retire moves a node to the retired members of a directory that nobody else sees yet.
func (d *Directory) retire(x *Member) {
	d.members = slices.DeleteFunc(d.members, func(old *Member) bool { return old.NodeID == x.NodeID })
	d.retired = append(d.retired, x)
	if len(d.retired) > MaxRetiredMembers {
		d.retired = d.retired[1:]
	}
}

// load adds a member read from a snapshot, where they stand in the order of Members.
func (d *Directory) load(x *Member) error {
	switch {
	case d.Member(x.NodeID) != nil:
		return fmt.Errorf("%w: member twice", ErrMalformed)
	case x.Retired() && len(d.retired) < MaxRetiredMembers:
		d.retired = append(d.retired, x)
	case !x.Retired() && len(d.retired) == 0 && len(d.members) < MaxMembers:
		d.members = append(d.members, x)
	default:
		return fmt.Errorf("%w: member out of order or too many", ErrMalformed)
	}
	return nil
}

func (m *Machine) admitMember(c AdmitMember) Result {
	old := m.directory.Member(c.NodeID)
	if old != nil {
		return m.readmitMember(old, c)
	}
	if len(m.directory.members) >= MaxMembers {
		return Result{Outcome: LimitReached, Limit: MaxMembers}
	}
	x := &Member{NodeID: c.NodeID, DiskID: c.DiskID, NonVoter: c.NonVoter, AdmittedAtMs: m.clockMs}
	d := m.directory.clone()
	d.setMember(x)
	m.directory = d
	return Result{Outcome: OK, Member: x}
}

// readmitMember updates a member. It remains the disk it was: an id whose data is gone is another node.
func (m *Machine) readmitMember(old *Member, c AdmitMember) Result {
	otherDisk := old.DiskID != "" && c.DiskID != "" && old.DiskID != c.DiskID
	if old.Retired() || otherDisk {
		return Result{Outcome: Conflict, Member: old}
	}
	x := *old
	x.NonVoter = c.NonVoter
	if c.DiskID != "" {
		x.DiskID = c.DiskID
	}
	d := m.directory.clone()
	d.setMember(&x)
	m.directory = d
	return Result{Outcome: OK, Existed: true, Member: &x}
}

// retireMember ends a membership. Doing it again changes nothing; doing it to an unknown node keeps it out.
func (m *Machine) retireMember(c RetireMember) Result {
	old := m.directory.Member(c.NodeID)
	if old != nil && old.Retired() {
		return Result{Outcome: OK, Member: old}
	}
	x := Member{NodeID: c.NodeID}
	if old != nil {
		x = *old
	}
	x.RetiredAtMs = max(1, m.clockMs) // 0 would be no retirement
	d := m.directory.clone()
	d.retire(&x)
	m.directory = d
	return Result{Outcome: OK, Existed: old != nil, Member: &x}
}
