package fsm

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

var ada = Actor{Name: "ada", Role: "admin", RequestID: "req-1", Address: "192.0.2.1"}

// auditedJournal is at the level from which the audit log is kept; the entry about that is its first.
func auditedJournal(t *testing.T) *journal {
	t.Helper()
	j := newJournal(t)
	j.apply(noon2026, RaiseFeatureLevel{LevelControl, "v3"})
	return j
}

func entriesOf(m *Machine) []AuditEntry {
	entries, _ := m.AuditLog(0, 1<<30)
	return entries
}

// Every command that is audited makes one entry that tells who did what to what, and exactly what it changed.
func TestAuditEntries(t *testing.T) {
	t.Parallel()
	end, endText := noon2026+ttlMs+7, "2026-11-24T12:00:00.007Z"
	nowText := "2026-11-23T12:00:00.009Z"
	key := CreateKey{Tenant: 1, PublicID: "key_1", Name: "ci", Hash: [32]byte{1}, Hint: "wxyz"}
	narrow := key
	narrow.Scopes, narrow.ExpiresAtMs = ScopeRecordsRead|ScopeUsageRead, end
	type changes = []AuditChange
	tests := []struct {
		name           string
		before         []Command
		cmd            Command
		action, target string
		want           changes
	}{
		{"plan", nil, PutPlan{Plan{Name: "team", MonthlyClaims: 60, RequestsPerSecond: 5, MaxTTLMs: 7_200_000, MaxBodyBytes: 1_000}}, "plan.put", "team", changes{
			{"name", "", "team"}, {"monthlyClaims", "", "60"}, {"requestsPerSecond", "", "5"}, {"maxTtlSeconds", "", "7200"},
			{"maxBodyBytes", "", "1000"},
		}},
		{"plan changed", nil, PutPlan{Plan{Name: StarterPlan, MonthlyClaims: 10_000, RequestsPerSecond: 21, MaxTTLMs: 7 * ttlMs}}, "plan.put", StarterPlan, changes{
			{"requestsPerSecond", "20", "21"}, {"maxBodyBytes", "65536", "0"},
		}},
		{"plan deleted", []Command{PutPlan{Plan{Name: "team"}}}, DeletePlan{"team"}, "plan.delete", "team", changes{
			{"name", "team", ""}, {"monthlyClaims", "0", ""}, {"requestsPerSecond", "0", ""}, {"maxTtlSeconds", "0", ""},
			{"maxBodyBytes", "0", ""},
		}},
		{"tenant", nil, CreateTenant{PublicID: "ten_2", Slug: "umbrella", Name: "U"}, "tenant.create", "ten_2", changes{
			{"slug", "", "umbrella"}, {"name", "", "U"}, {"plan", "", UnlimitedPlan}, {"status", "", "active"},
			{"monthlyClaims", "", "0"},
		}},
		{"tenant with a plan", nil, CreateTenant{PublicID: "ten_2", Slug: "u", Plan: StarterPlan, MonthlyClaims: 9},
			"tenant.create", "ten_2", changes{
				{"slug", "", "u"}, {"plan", "", StarterPlan}, {"status", "", "active"}, {"monthlyClaims", "", "9"},
			}},
		{"tenant renamed", nil, UpdateTenant{Tenant: 1, SetName: true, Name: "New", MonthlyClaims: 5}, "tenant.update", "ten_1",
			changes{{"name", "Acme", "New"}}},
		{"tenant changed", nil, UpdateTenant{
			Tenant: 1, SetMonthlyClaims: true, MonthlyClaims: 5, SetPlan: true, Plan: StarterPlan, SetSuspended: true, Suspended: true,
		}, "tenant.update", "ten_1", changes{
			{"plan", UnlimitedPlan, StarterPlan}, {"status", "active", "suspended"}, {"monthlyClaims", "0", "5"},
		}},
		{"tenant active again", []Command{UpdateTenant{Tenant: 1, SetSuspended: true, Suspended: true}},
			UpdateTenant{Tenant: 1, SetSuspended: true}, "tenant.update", "ten_1", changes{{"status", "suspended", "active"}}},
		{"key", nil, key, "key.create", "key_1", changes{
			{"tenant", "", "ten_1"}, {"name", "", "ci"}, {"hint", "", "wxyz"}, {"scopes", "", "all"},
		}},
		{"key for less", nil, narrow, "key.create", "key_1", changes{
			{"tenant", "", "ten_1"}, {"name", "", "ci"}, {"hint", "", "wxyz"}, {"scopes", "", "records:read usage:read"},
			{"expiresAt", "", endText},
		}},
		{"key revoked", []Command{key}, RevokeKey{Tenant: 1, PublicID: "key_1"}, "key.revoke", "key_1",
			changes{{"revokedAt", "", nowText}}},
		{"member retired", []Command{AdmitMember{NodeID: "n", DiskID: "d"}}, RetireMember{"n"}, "member.retire", "n",
			changes{{"retiredAt", "", nowText}}},
		{"stranger retired", nil, RetireMember{"n"}, "member.retire", "n",
			changes{{"nonVoter", "", "false"}, {"retiredAt", "", nowText}}},
		{"member", nil, AdmitMember{"n", "d", true}, "member.admit", "n", changes{
			{"nonVoter", "", "true"}, {"diskId", "", "d"}, {"admittedAt", "", nowText},
		}},
		{"member changed", []Command{AdmitMember{NodeID: "n"}}, AdmitMember{"n", "d", true}, "member.admit", "n", changes{
			{"nonVoter", "false", "true"}, {"diskId", "", "d"},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, wrapped := range []bool{true, false} {
				j := auditedJournal(t)
				j.entry(noon2026, tt.before...)
				cmd, by := tt.cmd, clusterActor
				if wrapped && auditable(cmd.commandType()) {
					cmd, by = Audited{ada, cmd}, ada
				}
				total := len(entriesOf(j.m))
				wantBare(t, j.m, noon2026+9, cmd)
				j.apply(noon2026+9, cmd)
				got := entriesOf(j.m)
				if len(got) != total+1 {
					t.Fatalf("%d new entries", len(got)-total)
				}
				want := AuditEntry{
					Seq: uint64(total + 1), Index: j.index, AtMs: noon2026 + 9, By: by, Action: tt.action, Target: tt.target,
					Changes: tt.want, Hash: got[total].Hash,
				}
				if !reflect.DeepEqual(got[total], want) {
					t.Errorf("entry is\n%+v, want\n%+v", got[total], want)
				}
				j.apply(noon2026+10, cmd) // changes nothing, or is refused
				if n := len(entriesOf(j.m)); n != total+1 {
					t.Errorf("%d entries about nothing", n-total-1)
				}
			}
		})
	}
}

// wantBare wants the result of an audited command to be that of the command alone.
func wantBare(t *testing.T, m *Machine, stampMs int64, cmd Command) {
	t.Helper()
	audited, ok := cmd.(Audited)
	if !ok {
		return
	}
	var results [2]Result
	for i, cmd := range []Command{audited, audited.Command} {
		j := &journal{tb: t, m: mustRestore(t, written(t, m.Snapshot()))}
		results[i] = j.apply(stampMs, cmd)
	}
	wantResult(t, "audited", results[0], results[1])
}

func TestAuditOfTheLevel(t *testing.T) {
	t.Parallel()
	j := &journal{tb: t, m: New(testConfig())}
	j.entry(noon2026, Init{ClusterID: "clu_1"}, RaiseFeatureLevel{2, "v2"}, RaiseFeatureLevel{FeatureLevel, "v3"},
		RaiseFeatureLevel{FeatureLevel, "v4"}, RaiseFeatureLevel{1, "v1"})
	got := entriesOf(j.m)
	want := AuditEntry{
		Seq: 1, Index: 1, AtMs: noon2026, By: Actor{Name: "cluster", Role: "cluster"}, Action: "cluster.raise-feature-level",
		Target: "clu_1", Changes: []AuditChange{{"featureLevel", "2", fmt.Sprint(FeatureLevel)}, {"version", "v2", "v3"}},
	}
	want.Hash = sha256.Sum256(slices.Concat(make([]byte, 32), appendAuditEntry(nil, &want)))
	if len(got) != 1 || !reflect.DeepEqual(got[0], want) {
		t.Errorf("entries are\n%+v, want\n%+v", got, want)
	}
}

// Below the level nothing is noted, of whoever it comes.
func TestNoAuditBelowTheLevel(t *testing.T) {
	t.Parallel()
	for level := uint32(1); level < LevelControl; level++ {
		j := newJournal(t)
		j.apply(noon2026, RaiseFeatureLevel{level, "v"})
		for _, g := range allGoldenCommands() {
			if g.cmd.commandType() != TypeRaiseFeatureLevel {
				j.apply(noon2026, g.cmd)
			}
		}
		if entries, total := j.m.AuditLog(0, 10); len(entries) != 0 || total != 0 {
			t.Errorf("at level %d: %+v", level, entries)
		}
	}
}

// What is refused, and what changes nothing, leaves no entry.
func TestNoAuditOfWhatChangesNothing(t *testing.T) {
	t.Parallel()
	j := auditedJournal(t)
	j.entry(noon2026, Init{ClusterID: "clu_1"}, CreateKey{Tenant: 1, PublicID: "key_1", Hash: [32]byte{1}},
		AdmitMember{"n", "d", false}, AdmitMember{"gone", "d", false}, RetireMember{"gone"})
	total := len(entriesOf(j.m))
	for _, cmd := range []Command{
		PutPlan{Plan{Name: UnlimitedPlan, MonthlyClaims: 4}}, PutPlan{*starterPlan()}, DeletePlan{UnlimitedPlan},
		DeletePlan{StarterPlan}, DeletePlan{"nothing"},
		CreateTenant{PublicID: "ten_1", Slug: "x"}, CreateTenant{PublicID: "ten_2", Slug: "x", Plan: "nothing"},
		UpdateTenant{Tenant: 1}, UpdateTenant{Tenant: 1, SetName: true, Name: "Acme", SetPlan: true, SetSuspended: true},
		UpdateTenant{Tenant: 2, SetName: true}, UpdateTenant{Tenant: 1, SetPlan: true, Plan: "nothing"},
		CreateKey{Tenant: 1, PublicID: "key_1"}, CreateKey{Tenant: 9, PublicID: "key_9"},
		RevokeKey{Tenant: 1, PublicID: "key_9"}, RetireMember{"gone"},
	} {
		j.apply(noon2026+1, Audited{ada, cmd})
		j.apply(noon2026+1, cmd)
	}
	for _, cmd := range []Command{
		AdmitMember{"n", "d", false}, AdmitMember{"n", "e", false}, AdmitMember{NodeID: "gone"}, Init{ClusterID: "clu_2"},
		Establish{GraceMs: 1}, RaiseFeatureLevel{1, "v"}, claimBy("a", tok(1)), completeWith(tok(1), `1`),
		Tally{[]TenantCount{{1, MeterClaims, 1}}, []KeyUse{{1, "key_1", noon2026}}},
	} {
		j.apply(noon2026+1, cmd)
	}
	if got := entriesOf(j.m)[total:]; len(got) != 0 {
		t.Errorf("%+v", got)
	}
}

func TestAuditLogPages(t *testing.T) {
	t.Parallel()
	m := governed(t).m
	all := entriesOf(m)
	n := uint64(len(all))
	if n < 10 {
		t.Fatalf("only %d entries", n)
	}
	for _, tt := range []struct {
		after    uint64
		limit    int
		from, to uint64
	}{
		{0, 3, 0, 3}, {3, 3, 3, 6}, {n - 2, 5, n - 2, n}, {n, 5, 0, 0}, {n + 7, 5, 0, 0}, {1 << 63, 5, 0, 0}, {0, 0, 0, 0},
		{0, -1, 0, 0}, {0, int(n), 0, n},
	} {
		got, total := m.AuditLog(tt.after, tt.limit)
		if want := all[tt.from:tt.to]; total != n || len(got) != len(want) || len(got) > 0 && !reflect.DeepEqual(got, want) {
			t.Errorf("%d after %d: %d of %d", tt.limit, tt.after, len(got), total)
		}
	}
}

// auditSection is where the audit log stands among the sections of a snapshot.
const auditSection = int(sectionAudit) - 1

// No byte of the audit log can be changed, and no entry left out but the last ones, without Restore, Inspect and Rebase
// refusing it. That the last ones are missing shows in the last hash, which whoever keeps it elsewhere may compare.
func TestAuditChain(t *testing.T) {
	t.Parallel()
	good := sectionsOf(t, governed(t).m)
	entries := good[auditSection].records
	n := len(entries)
	refused := func(what string, records [][]byte) {
		t.Helper()
		changed := slices.Clone(good)
		changed[auditSection].records = records
		file := assembled(t, changed)
		_, restored := restore(file)
		_, inspected := inspect(file)
		_, _, rebased := rebased(file, testIdentity(), 1, 1)
		for _, err := range []error{restored, inspected, rebased} {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("%s: %v, want ErrMalformed", what, err)
			}
		}
	}
	for i, entry := range entries {
		for at := range entry {
			records := slices.Clone(entries)
			records[i] = bytes.Clone(entry)
			records[i][at] ^= 0x01
			refused(fmt.Sprintf("entry %d, byte %d changed", i+1, at), records)
		}
		if i < n-1 {
			refused(fmt.Sprintf("without entry %d", i+1), slices.Delete(slices.Clone(entries), i, i+1))
			swapped := slices.Clone(entries)
			swapped[i], swapped[i+1] = swapped[i+1], swapped[i]
			refused(fmt.Sprintf("entry %d behind the next", i+1), swapped)
		}
		refused(fmt.Sprintf("entry %d twice", i+1), slices.Insert(slices.Clone(entries), i, entry))
		refused(fmt.Sprintf("entry %d empty", i+1), append(slices.Clone(entries[:i]), nil))
		refused(fmt.Sprintf("entry %d cut short", i+1), append(slices.Clone(entries[:i]), entry[:len(entry)-1]))
		refused(fmt.Sprintf("entry %d too long", i+1), append(slices.Clone(entries[:i]), append(bytes.Clone(entry), 0)))
	}
	refused("an entry forged with a hash of its own", forged(entries))
	refused("an entry with a number left out", append(slices.Clone(entries), following(entries[n-1], uint64(n+2))))
	refused("an entry with the last number again", append(slices.Clone(entries), following(entries[n-1], uint64(n))))
	for i := range n {
		changed := slices.Clone(good)
		changed[auditSection].records = entries[:i]
		m := mustRestore(t, assembled(t, changed))
		if _, total := m.AuditLog(0, 0); total != uint64(i) || m.audit.last == [32]byte(entries[n-1][len(entries[n-1])-32:]) {
			t.Errorf("without the last %d entries: %d left, or the last hash is the same", n-i, total)
		}
	}
}

// following is an entry of any number whose hash is right behind the last one.
func following(last []byte, seq uint64) []byte {
	b := appendAuditEntry(nil, &AuditEntry{Seq: seq, By: ada, Action: "plan.put", Target: "team"})
	hash := chainHash([32]byte(last[len(last)-32:]), b)
	return append(b, hash[:]...)
}

// forged changes an entry and makes its hash right; that of the next one then is not.
func forged(entries [][]byte) [][]byte {
	records := slices.Clone(entries)
	e, err := decodeAuditEntry(records[4])
	if err != nil {
		panic(err)
	}
	e.By.Name = "mallory"
	previous := [32]byte(records[3][len(records[3])-32:])
	b := appendAuditEntry(nil, &e)
	hash := chainHash(previous, b)
	records[4] = append(b, hash[:]...)
	return records
}

// The chain goes on after a restart as if there had been none.
func TestAuditChainGoesOnAfterRestore(t *testing.T) {
	t.Parallel()
	original := governed(t)
	restored := &journal{tb: t, m: mustRestore(t, written(t, original.m.Snapshot())), index: original.index}
	for i := range 5 {
		for _, j := range []*journal{original, restored} {
			j.apply(0, Audited{ada, PutPlan{Plan{Name: "team", MonthlyClaims: int64(100 + i)}}})
		}
	}
	if a, b := dump(original.m), dump(restored.m); a != b {
		t.Errorf("restored\n%s\nwant\n%s", diff(b, a), diff(a, b))
	}
	last := [32]byte{}
	for _, e := range entriesOf(restored.m) {
		if want := sha256.Sum256(slices.Concat(last[:], appendAuditEntry(nil, &e))); e.Hash != want {
			t.Fatalf("entry %d does not follow from the one before", e.Seq)
		}
		last = e.Hash
	}
}

// Neither the secret under which keys are hashed nor a hash of a key is in any entry.
func TestAuditHoldsNoSecrets(t *testing.T) {
	t.Parallel()
	j := auditedJournal(t)
	secret := [32]byte([]byte("the secret of all the keys, 32 b"))
	hash := [32]byte([]byte("the hash of one of the api keys."))
	create := CreateKey{Tenant: 1, PublicID: "key_1", Hash: hash, Scopes: 1, ExpiresAtMs: noon2026 + 1}
	j.entry(noon2026, Init{ClusterID: "clu_1", KeyHashSecret: secret}, Audited{ada, create},
		Audited{ada, RevokeKey{Tenant: 1, PublicID: "key_1"}}, Tally{Uses: []KeyUse{{1, "key_1", noon2026}}})
	if n := len(j.m.audit.entries); n != 3 {
		t.Fatalf("%d entries, want 3", n)
	}
	for i, e := range entriesOf(j.m) {
		b, text := j.m.audit.entries[i], fmt.Sprintf("%+v %x", e, e)
		for _, s := range [][32]byte{secret, hash} {
			for _, form := range []string{string(s[:]), string(s[:8]), fmt.Sprintf("%x", s), fmt.Sprint(s)} {
				if bytes.Contains(b, []byte(form)) || strings.Contains(text, form) {
					t.Errorf("entry %d holds %q", e.Seq, form)
				}
			}
		}
	}
}

// Bounds of what an entry may be made of are within those by which it is read.
func TestLargestAuditEntries(t *testing.T) {
	t.Parallel()
	s := strings.Repeat("\xff", MaxNameBytes)
	slug, node := s[:MaxSlugBytes], s[:MaxNodeIDBytes]
	by := Actor{s, s, s, s}
	j := &journal{tb: t, m: New(testConfig())}
	j.entry(MaxStampMs, Init{ClusterID: s}, RaiseFeatureLevel{FeatureLevel, s})
	for _, cmd := range []Command{
		PutPlan{Plan{slug, MaxMonthlyClaims, MaxRequestsPerSecond, MaxTTLMs, MaxBodyBytes, MaxMonthlyClaims, true, MaxRetentionMs, MaxRetentionMs, MaxMonthlyClaims}},
		CreateTenant{s, slug, s, 1<<63 - 1, slug},
		CreateKey{1, s, s, [32]byte{1}, s, AllScopes, MaxStampMs},
		RevokeKey{1, s},
		UpdateTenant{1, true, "", true, 0, true, "", true, true, true, PayloadRedacted},
		DeletePlan{slug},
		RetireMember{node},
	} {
		before := len(entriesOf(j.m))
		j.apply(MaxStampMs, Audited{by, cmd})
		if n := len(entriesOf(j.m)); n != before+1 {
			t.Errorf("%T: %d entries", cmd, n-before)
		}
	}
	j.apply(MaxStampMs, AdmitMember{"x", s[:MaxDiskIDBytes], true})
	if m := mustRestore(t, written(t, j.m.Snapshot())); dump(m) != dump(j.m) {
		t.Error("the largest entries do not survive a snapshot")
	}
}
