package fsm

import (
	"fmt"
	"slices"
	"testing"
)

// Every case meets a member on disk d, one on an unknown disk, and one that is retired.
func TestAdmitMember(t *testing.T) {
	t.Parallel()
	now := noon2026 + 9
	known := Member{NodeID: "known", DiskID: "d", AdmittedAtMs: noon2026}
	blank := Member{NodeID: "blank", AdmittedAtMs: noon2026}
	gone := Member{NodeID: "gone", DiskID: "d", AdmittedAtMs: noon2026, RetiredAtMs: noon2026 + 1}
	silent, filled := known, blank
	silent.NonVoter = true
	filled.DiskID = "d"
	tests := []struct {
		name    string
		cmd     AdmitMember
		outcome Outcome
		existed bool
		want    Member
	}{
		{"new", AdmitMember{"new", "x", false}, OK, false, Member{"new", "x", false, now, 0}},
		{"new without a vote", AdmitMember{"new", "", true}, OK, false, Member{"new", "", true, now, 0}},
		{"the same", AdmitMember{"known", "d", false}, OK, true, known},
		{"vote taken", AdmitMember{"known", "d", true}, OK, true, silent},
		{"vote taken, disk not named", AdmitMember{"known", "", true}, OK, true, silent},
		{"another disk", AdmitMember{"known", "e", false}, Conflict, false, known},
		{"disk filled in", AdmitMember{"blank", "d", false}, OK, true, filled},
		{"disk still unknown", AdmitMember{"blank", "", false}, OK, true, blank},
		{"retired", AdmitMember{"gone", "d", false}, Conflict, false, gone},
		{"retired, another disk", AdmitMember{"gone", "e", true}, Conflict, false, gone},
		{"retired, disk not named", AdmitMember{"gone", "", false}, Conflict, false, gone},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			j := newJournal(t)
			j.entry(noon2026, AdmitMember{"known", "d", false}, AdmitMember{"gone", "d", false}, AdmitMember{NodeID: "blank"})
			j.apply(noon2026+1, RetireMember{"gone"})
			before := j.m.Directory()
			members := dumpMembers(before.Members())
			got := j.apply(now, tt.cmd)
			wantResult(t, tt.name, got, Result{Outcome: tt.outcome, Existed: tt.existed, Member: &tt.want})
			if found := j.m.Directory().Member(tt.cmd.NodeID); found == nil || *found != tt.want {
				t.Errorf("found %+v, want %+v", found, tt.want)
			}
			if dumpMembers(before.Members()) != members {
				t.Error("a Directory handed out before has changed")
			}
		})
	}
}

func TestRetireMember(t *testing.T) {
	t.Parallel()
	j := newJournal(t)
	j.entry(noon2026, AdmitMember{"a", "d", true}, AdmitMember{NodeID: "b"}, AdmitMember{NodeID: "c"})
	before := j.m.Directory()
	members := dumpMembers(before.Members())
	a := Member{"a", "d", true, noon2026, noon2026 + 1}
	stranger := Member{NodeID: "stranger", RetiredAtMs: noon2026 + 2}
	retire := func(name string, stampMs int64, id string, existed bool, want Member) {
		t.Helper()
		got := j.apply(stampMs, RetireMember{id})
		wantResult(t, name, got, Result{Outcome: OK, Existed: existed, Member: &want})
		if found := j.m.Directory().Member(id); found == nil || *found != want || !found.Retired() {
			t.Errorf("%s: found %+v, want %+v", name, found, want)
		}
	}
	retire("a member", noon2026+1, "a", true, a)
	retire("nobody", noon2026+2, "stranger", false, stranger)
	retire("again", noon2026+3, "a", false, a)
	retire("nobody again", noon2026+3, "stranger", false, stranger)
	if got := j.apply(noon2026+4, AdmitMember{NodeID: "stranger"}); got.Outcome != Conflict {
		t.Errorf("admitting who was retired: %+v", got)
	}
	if dumpMembers(before.Members()) != members || before.Member("a").Retired() {
		t.Error("a Directory handed out before has changed")
	}
	wantOrder(t, j.m, "b", "c", "a", "stranger")
	if j.m.Directory().Member("nobody") != nil || j.m.Directory().Member("") != nil {
		t.Error("found a member that does not exist")
	}
}

// A clock that has not begun yet makes nobody unretired.
func TestRetireMemberAtTheBeginningOfTime(t *testing.T) {
	t.Parallel()
	j := &journal{tb: t, m: New(testConfig())}
	j.entry(0, AdmitMember{NodeID: "a"}, RetireMember{"a"})
	if x := j.m.Directory().Member("a"); x == nil || !x.Retired() {
		t.Errorf("found %+v, want it retired", x)
	}
}

func wantOrder(t *testing.T, m *Machine, ids ...string) {
	t.Helper()
	var got []string
	for _, x := range m.Directory().Members() {
		got = append(got, x.NodeID)
	}
	if !slices.Equal(got, ids) {
		t.Errorf("members are %q, want %q", got, ids)
	}
}

func TestMembersAreBounded(t *testing.T) {
	t.Parallel()
	j := newJournal(t)
	for i := range MaxMembers {
		if got := j.apply(noon2026, AdmitMember{NodeID: fmt.Sprint(i)}); got.Outcome != OK {
			t.Fatalf("member %d: %+v", i, got)
		}
	}
	full := Result{Outcome: LimitReached, Limit: MaxMembers}
	wantResult(t, "one above", j.apply(noon2026, AdmitMember{NodeID: "x"}), full)
	if got := j.apply(noon2026, AdmitMember{NodeID: "0", NonVoter: true}); got.Outcome != OK || !got.Existed {
		t.Errorf("an update while it is full: %+v", got)
	}
	j.apply(noon2026, RetireMember{"7"})
	if got := j.apply(noon2026, AdmitMember{NodeID: "x"}); got.Outcome != OK {
		t.Errorf("in place of a retired one: %+v", got)
	}
	wantResult(t, "full again", j.apply(noon2026, AdmitMember{NodeID: "y"}), full)
	if restored := mustRestore(t, written(t, j.m.Snapshot())); dump(restored) != dump(j.m) {
		t.Error("a full list of members does not survive a snapshot")
	}
}

// Who was retired first is forgotten first, whoever retires again, and may then come back.
func TestRetiredMembersAreBounded(t *testing.T) {
	t.Parallel()
	j := newJournal(t)
	for i := range MaxRetiredMembers {
		j.apply(noon2026+int64(i), RetireMember{fmt.Sprint(i)})
	}
	j.apply(noon2026, RetireMember{"0"})
	d := j.m.Directory()
	if d.Member("0") == nil || len(d.Members()) != MaxRetiredMembers {
		t.Fatalf("%d retired members, want all of them", len(d.Members()))
	}
	j.apply(noon2026, RetireMember{"one above"})
	after := j.m.Directory()
	if after.Member("0") != nil || after.Member("1") == nil || len(after.Members()) != MaxRetiredMembers {
		t.Error("the first that was retired is not the one forgotten")
	}
	if d.Member("0") == nil || d.Member("one above") != nil {
		t.Error("a Directory handed out before has changed")
	}
	restored := mustRestore(t, written(t, j.m.Snapshot()))
	if dump(restored) != dump(j.m) {
		t.Error("a full list of retired members does not survive a snapshot")
	}
	for _, m := range []*Machine{j.m, restored} {
		j := &journal{tb: t, m: m}
		if got := j.apply(noon2026, AdmitMember{NodeID: "0"}); got.Outcome != OK {
			t.Errorf("admitting who was forgotten: %+v", got)
		}
	}
}
