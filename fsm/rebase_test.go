package fsm

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/syllecta/syllecta/snapshot"
)

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// testIdentity is a cluster of two members that has lost a third.
func testIdentity() Identity {
	j := &journal{tb: noTest{}, m: New(testConfig())}
	j.apply(noon2026, Init{ClusterID: "clu_here", KeyHashSecret: [32]byte{7}})
	j.apply(0, RaiseFeatureLevel{Level: 2, Version: "v0.2.0"})
	j.entry(0, AdmitMember{"here-1", "disk", false}, AdmitMember{"here-2", "disk 2", true}, AdmitMember{NodeID: "here-3"})
	j.apply(noon2026+5, RetireMember{"here-3"})
	return j.m.Identity()
}

// noTest is for a journal whose commands cannot be refused.
type noTest struct{ testing.TB }

func (noTest) Helper() {}

// rebased returns the file of a rebased snapshot; with an error, what there is of it.
func rebased(file []byte, to Identity, index, term uint64) ([]byte, Summary, error) {
	var out bytes.Buffer
	w, err := snapshot.NewWriter(&out)
	if err != nil {
		return nil, Summary{}, err
	}
	r, err := snapshot.NewReader(bytes.NewReader(file))
	if err != nil {
		return nil, Summary{}, err
	}
	s, err := Rebase(w, r, to, index, term)
	if err == nil {
		err = w.Close()
	}
	return out.Bytes(), s, err
}

func rebaseInto(dst io.Writer, file []byte, to Identity) error {
	w, err := snapshot.NewWriter(dst)
	if err != nil {
		return err
	}
	r, err := snapshot.NewReader(bytes.NewReader(file))
	if err != nil {
		return err
	}
	_, err = Rebase(w, r, to, 1, 1)
	return err
}

// bigState holds thousands of records and locks of every kind, in many blocks: deleted, expired, expired but not yet
// removed, overwritten.
func bigState(tb testing.TB) *journal {
	j := peopled(tb)
	rng := rand.New(rand.NewPCG(3, 1))
	body := bytes.Repeat([]byte("0123456789"), 200)
	now := j.m.ClockMs()
	for i := range 60 {
		cmds := make([]Command, 0, 200)
		for n := range 50 {
			id := recordID(fmt.Sprint("big ", i*50+n))
			c := Claim{
				ID: id, Owner: "o", Token: tok(byte(n)), LeaseMs: MinLeaseMs * rng.Int64N(90), TTLMs: 1 + rng.Int64N(60_000),
			}
			cmds = append(cmds, c)
			if rng.IntN(2) > 0 {
				continue
			}
			cmds = append(cmds, Complete{
				ID: id, Token: c.Token, Status: 200, Headers: []byte(`{"a":"b"}`), Body: body[:1+rng.IntN(len(body))],
				TTLMs: 1 + rng.Int64N(200_000),
			})
			if rng.IntN(6) == 0 {
				cmds = append(cmds, Delete{ID: id})
			}
		}
		for m := 0; m < 20; m++ {
			large := Complete{
				ID: recordID(fmt.Sprint("large ", i, " ", m)), Status: 201, Headers: []byte(`{}`),
				Body: bytes.Repeat([]byte{'x'}, 5_000), TTLMs: ttlMs,
			}
			cmds = append(cmds, large)
		}
		now += 1_000
		j.entry(now, cmds...)
	}
	return j
}

func TestRebaseRoundTrip(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]*Machine{
		"furnished, of form 1": furnished(t).m, "peopled": peopled(t).m, "governed": governed(t).m, "big": bigState(t).m,
		"connected": connected(t).m,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			to := testIdentity()
			file, summary, err := rebased(written(t, m.Snapshot()), to, 77, 8)
			if err != nil {
				t.Fatal(err)
			}
			got := mustRestore(t, file)
			if want := summaryOf(got); summary != want {
				t.Errorf("summary is\n%+v, want\n%+v", summary, want)
			}
			wantProgress := progress{
				clockMs: m.clockMs, index: 77, term: 8, epoch: 2, digest: m.digest, acceptedEvents: m.acceptedEvents,
			}
			if got.progress != wantProgress {
				t.Errorf("progress is %+v, want %+v", got.progress, wantProgress)
			}
			wantIdentity(t, got, to.atLeastLevelOf(m), 2)
			if got.directory.KeyHashSecret != m.directory.KeyHashSecret {
				t.Error("the secret of the keys is not the snapshot's")
			}
			if a, b := dumpRecords(got), dumpRecords(m); a != b {
				t.Errorf("records have\n%s\nwant\n%s", diff(a, b), diff(b, a))
			}
		})
	}
}

// atLeastLevelOf is the identity that a snapshot of m is rebased to.
func (to Identity) atLeastLevelOf(m *Machine) Identity {
	if d := m.Directory(); d.FeatureLevel > to.FeatureLevel {
		to.FeatureLevel, to.FeatureVersion = d.FeatureLevel, d.FeatureVersion
	}
	return to
}

// wantIdentity wants a machine to be of that cluster, in that epoch.
func wantIdentity(t *testing.T, m *Machine, to Identity, epoch uint64) {
	t.Helper()
	got := m.Identity()
	if got.ClusterID != to.ClusterID || got.Epoch != epoch || got.FeatureLevel != to.FeatureLevel ||
		got.FeatureVersion != to.FeatureVersion || dumpMembers(got.Members) != dumpMembers(to.Members) {
		t.Errorf("identity is %+v, want %+v in epoch %d", got, to, epoch)
	}
}

// A machine that was rebased goes on like any other: the same commands have the results that they would have had.
func TestRebasedMachineGoesOn(t *testing.T) {
	t.Parallel()
	original := bigState(t)
	file, _, err := rebased(written(t, original.m.Snapshot()), testIdentity(), original.m.Index(), 1)
	if err != nil {
		t.Fatal(err)
	}
	goesOn := &journal{tb: t, m: mustRestore(t, file), index: original.index}
	start := original.m.ClockMs()
	for i := range 3_000 {
		id := recordID(fmt.Sprint("big ", i*7%3_100))
		stamp, cmd := start+int64(i*40), Command(Claim{ID: id, Owner: "p", Token: tok(9), LeaseMs: 1_000, TTLMs: 9_000})
		if i%3 == 0 {
			token := tok(byte(i * 7 % 3_100 % 50)) // that of the claim, if it still holds
			cmd = Complete{ID: id, Token: token, Status: 200, Headers: []byte(`{}`), Body: []byte(`1`), TTLMs: 5_000}
		}
		want, got := original.apply(stamp, cmd), goesOn.apply(stamp, cmd)
		if want.Outcome == Granted && !want.Reentered {
			if want.Fence >= got.Fence {
				t.Fatalf("fence %d is not above %d", got.Fence, want.Fence)
			}
			want.Fence = got.Fence
		}
		wantResult(t, fmt.Sprintf("step %d, %+v", i, cmd), got, want)
	}
}

func TestRebaseDropsForeignSections(t *testing.T) {
	t.Parallel()
	sections := sectionsOf(t, peopled(t).m)
	sections = slices.Insert(sections, 0, rawSection{SectionForeign, 1, [][]byte{[]byte("theirs")}})
	sections = append(sections, rawSection{SectionForeign + 9, 1, [][]byte{[]byte("theirs")}})
	file, _, err := rebased(assembled(t, sections), testIdentity(), 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	info, err := snapshot.Verify(bytes.NewReader(file))
	if err != nil || len(info.Sections) != int(sectionMembers) {
		t.Errorf("%d sections, %v, want only the machine's %d", len(info.Sections), err, sectionMembers)
	}
}

// Level and epoch are above both, whichever is ahead.
func TestRebaseTakesTheHigher(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name               string
		snapshot, cluster  uint64
		level              uint32
		members            []*Member
		wantEpoch          uint64
		wantLevel          uint32
		wantVersion        string
		wantForm           uint16
		snapshotIsOfLevel1 bool
	}{
		{"equal", 1, 1, 2, nil, 2, 2, "cluster", 2, false},
		{"snapshot ahead", 9, 3, 1, nil, 10, 2, "v0.2.0", 2, false},
		{"cluster ahead", 3, 9, 2, nil, 10, 2, "cluster", 2, true},
		{"both of level 1", 1, 1, 1, nil, 2, 1, "", 1, true},
		{"members at level 1", 1, 1, 1, []*Member{{NodeID: "n"}}, 2, 1, "", 2, true},
		{"last epoch", maxEpoch - 1, 1, 2, nil, maxEpoch, 2, "cluster", 2, true},
	}
	for _, tt := range tests {
		m := peopled(t).m
		if tt.snapshotIsOfLevel1 {
			m = furnished(t).m
		}
		m.epoch = tt.snapshot
		to := Identity{ClusterID: "c", Epoch: tt.cluster, FeatureLevel: tt.level, Members: tt.members}
		if tt.level > 1 {
			to.FeatureVersion = "cluster"
		}
		for _, slot := range m.locks.slots {
			changeLock(m, mustSplit(string(slot.key())), func(l *lock) { l.fence = tt.snapshot<<grantBits | 1 })
		}
		file, s, err := rebased(written(t, m.Snapshot()), to, 1, 1)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if s.Epoch != tt.wantEpoch || s.FeatureLevel != tt.wantLevel || s.FeatureVersion != tt.wantVersion {
			t.Errorf("%s: %+v", tt.name, s)
		}
		info, err := snapshot.Verify(bytes.NewReader(file))
		if err != nil || info.Sections[0].Version != tt.wantForm {
			t.Errorf("%s: sections %+v, %v, want form %d", tt.name, info.Sections, err, tt.wantForm)
		}
		if got := summaryOf(mustRestore(t, file)); got != s {
			t.Errorf("%s: restored %+v, want %+v", tt.name, got, s)
		}
	}
}

func TestRebaseRefuses(t *testing.T) {
	t.Parallel()
	nameless := newJournal(t).m
	worn := peopled(t).m
	worn.epoch = maxEpoch
	good := peopled(t).m
	with := func(change func(*Identity)) Identity {
		to := testIdentity()
		change(&to)
		return to
	}
	tests := []struct {
		name string
		from *Machine
		to   Identity
		want string
	}{
		{"a snapshot of no cluster", nameless, testIdentity(), "of no cluster"},
		{"to no cluster", good, Identity{Epoch: 1, FeatureLevel: 1}, "no id yet"},
		{"a used up epoch", worn, testIdentity(), "epoch 8192"},
		{"to a used up epoch", good, with(func(to *Identity) { to.Epoch = maxEpoch }), "epoch 8192"},
		{"a cluster id too long", good, with(func(to *Identity) { to.ClusterID = strings.Repeat("c", 129) }), "cluster id"},
		{"a member twice", good, with(func(to *Identity) {
			to.Members = append(to.Members, to.Members[0])
		}), "member"},
		{"a member without a name", good, with(func(to *Identity) { to.Members = []*Member{{}} }), "node id"},
	}
	for _, tt := range tests {
		file, s, err := rebased(written(t, tt.from.Snapshot()), tt.to, 1, 1)
		if err == nil || !strings.Contains(err.Error(), tt.want) || s != (Summary{}) {
			t.Errorf("%s: %+v, %v, want %q", tt.name, s, err, tt.want)
		}
		if m, err := restore(file); err == nil || m != nil {
			t.Errorf("%s: what was written can be restored", tt.name)
		}
	}
}

// checkRebase rebases a snapshot that m was restored from.
func checkRebase(t *testing.T, file []byte, m *Machine) {
	t.Helper()
	to := testIdentity()
	out, summary, err := rebased(file, to, 5, 6)
	if m.directory.ClusterID == "" || m.epoch >= maxEpoch {
		if err == nil {
			t.Fatal("rebased a state that cannot be")
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	got := mustRestore(t, out)
	if want := summaryOf(got); summary != want {
		t.Fatalf("summary is\n%+v, want\n%+v", summary, want)
	}
	wantIdentity(t, got, to.atLeastLevelOf(m), m.epoch+1)
	if a, b := dumpRecords(got), dumpRecords(m); a != b {
		t.Fatalf("records have\n%s\nwant\n%s", diff(a, b), diff(b, a))
	}
}

// Who has a backup restored stands at the end of the audit log that comes with it, and the chain goes on from there.
func TestRebaseIsAudited(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]*Machine{"form 1": furnished(t).m, "form 3": governed(t).m, "form 4": connected(t).m} {
		to := testIdentity()
		to.FeatureLevel, to.FeatureVersion, to.RestoredBy = FeatureLevel, "v4", ada
		file, _, err := rebased(written(t, m.Snapshot()), to, 77, 8)
		if err != nil {
			t.Fatal(err)
		}
		got := mustRestore(t, file)
		before, after := entriesOf(m), entriesOf(got)
		if len(after) != len(before)+1 {
			t.Fatalf("%s: %d entries, %d before", name, len(after), len(before))
		}
		last := after[len(before)]
		if last.Action != "cluster.restore" || last.Target != to.ClusterID || last.By != ada || last.Index != 77 ||
			last.Changes[0].After != m.Directory().ClusterID {
			t.Errorf("%s: the entry is %+v", name, last)
		}
		if _, err := inspect(file); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
