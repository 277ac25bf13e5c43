package fsm

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

type goldenCommand struct {
	name string
	cmd  Command
}

// goldenCommands are commands of feature level 1 as version 1 of the log holds them. A log written by any release must
// be readable for ever, so their files change only with a new version beside them, never in place.
var goldenCommands = []goldenCommand{
	{"init", Init{ClusterID: "clu_1", KeyHashSecret: goldenHash(0x10)}},
	{"establish", Establish{GraceMs: 1_500, ClockMs: 1_800_000_000_000}},
	{"create_tenant", CreateTenant{PublicID: "ten_1", Slug: "acme", Name: "Acme é", MonthlyClaims: 1_000_000}},
	{"update_tenant", UpdateTenant{Tenant: 1, SetName: true, Name: "New", SetMonthlyClaims: true, MonthlyClaims: 5}},
	{"update_tenant_nothing", UpdateTenant{Tenant: 1}},
	{"create_key", CreateKey{Tenant: 1, PublicID: "key_1", Name: "ci", Hash: goldenHash(0x40), Hint: "wxyz"}},
	{"revoke_key", RevokeKey{Tenant: 1, PublicID: "key_1"}},
	{"claim", Claim{
		ID: RecordID{1, "orders", "k-1"}, Owner: "r:0123456789", Token: Token{1, 2, 3, 15: 0xFF}, LeaseMs: 60_000,
		TTLMs: 86_400_000, Fingerprint: "sha256:abc",
	}},
	{"claim_endless", Claim{ID: RecordID{MaxTenants, "s", "\x00\xff"}, Owner: "o", LeaseMs: NeverMs, TTLMs: 1}},
	{"complete", Complete{
		ID: RecordID{1, "orders", "k-1"}, Token: Token{1, 2, 3, 15: 0xFF}, Status: 201, Headers: []byte(`{"a":"b"}`),
		Body: []byte(`{"amount":1.50}`), TTLMs: 3_600_000,
	}},
	{"complete_inherit", Complete{
		ID: RecordID{1, "s", "k"}, Status: 599, Headers: []byte(`{}`), Body: []byte(`null`), TTLMs: 1_000, InheritTTL: true,
	}},
	{"renew", Renew{ID: RecordID{1, "s", "k"}, Token: Token{7}, LeaseMs: 30_000}},
	{"renew_keep", Renew{ID: RecordID{1, "s", "k"}, Token: Token{7}, KeepLease: true}},
	{"release", Release{ID: RecordID{1, "s", "k"}, Token: Token{7}}},
	{"delete", Delete{ID: RecordID{1, "s", "k"}}},
}

// goldenMemberCommands are likewise those that feature level 2 added.
var goldenMemberCommands = []goldenCommand{
	{"raise_feature_level", RaiseFeatureLevel{Level: 2, Version: "v0.2.0"}},
	{"admit_member", AdmitMember{NodeID: "node-1", DiskID: "0123456789abcdef"}},
	{"admit_member_non_voter", AdmitMember{NodeID: "n", NonVoter: true}},
	{"admit_member_again", AdmitMember{NodeID: "n", DiskID: "d"}},
	{"admit_member_other_disk", AdmitMember{NodeID: "n", DiskID: "e"}},
	{"retire_member", RetireMember{NodeID: "node-1"}},
	{"retire_member_unknown", RetireMember{NodeID: "stranger"}},
}

// goldenBy is who asks in the golden commands.
var goldenBy = Actor{Name: "ada", Role: "admin", RequestID: "req-1", Address: "192.0.2.1:7000"}

// goldenControlCommands are likewise those that feature level 3 added, in the order in which they have an effect.
var goldenControlCommands = []goldenCommand{
	{"raise_feature_level_control", RaiseFeatureLevel{Level: 3, Version: "v0.3.0"}},
	{"put_plan", PutPlan{Plan{
		Name: "team", MonthlyClaims: MaxMonthlyClaims, RequestsPerSecond: 50, MaxTTLMs: 86_400_000, MaxBodyBytes: 65_536,
	}}},
	{"put_plan_without_limits", PutPlan{Plan{Name: "free"}}},
	{"put_plan_unlimited", PutPlan{Plan{Name: UnlimitedPlan}}},
	{"delete_plan", DeletePlan{Name: "free"}},
	{"delete_plan_starter", DeletePlan{Name: StarterPlan}},
	{"tally", Tally{
		Counts: []TenantCount{{1, MeterReplays, 300}, {1, MeterConflicts, 1}, {2, MeterRejected, maxTallyCount}},
		Uses:   []KeyUse{{1, "key_1", 1_795_435_200_123}, {9, "key_9", 0}},
	}},
	{"tally_nothing", Tally{}},
	{"audited_put_plan", Audited{goldenBy, PutPlan{Plan{Name: "team", MonthlyClaims: 9}}}},
	{"audited_delete_plan", Audited{goldenBy, DeletePlan{Name: "gone"}}},
	{"audited_create_tenant", Audited{goldenBy, CreateTenant{PublicID: "ten_2", Slug: "umbrella", MonthlyClaims: 5}}},
	{"audited_update_tenant", Audited{goldenBy, UpdateTenant{Tenant: 1, SetSuspended: true, Suspended: true}}},
	{"audited_create_key", Audited{goldenBy, CreateKey{
		Tenant: 1, PublicID: "key_3", Hash: goldenHash(0x70), Hint: "3456", Scopes: ScopeUsageRead,
	}}},
	{"audited_revoke_key", Audited{goldenBy, RevokeKey{Tenant: 1, PublicID: "key_3"}}},
	{"audited_retire_member", Audited{Actor{Name: "a", Role: "r"}, RetireMember{NodeID: "node-1"}}},
}

// goldenCommandsV2 are those that version 2 of older commands can say and version 1 could not.
var goldenCommandsV2 = []goldenCommand{
	{"create_tenant", CreateTenant{
		PublicID: "ten_1", Slug: "acme", Name: "Acme é", MonthlyClaims: 1_000_000, Plan: StarterPlan,
	}},
	{"update_tenant", UpdateTenant{
		Tenant: 1, SetName: true, Name: "New", SetPlan: true, Plan: StarterPlan, SetSuspended: true, Suspended: true,
	}},
	{"update_tenant_again", UpdateTenant{Tenant: 1, SetPlan: true, SetSuspended: true}},
	{"create_key", CreateKey{
		Tenant: 1, PublicID: "key_1", Name: "ci", Hash: goldenHash(0x40), Hint: "wxyz",
		Scopes: ScopeRecordsRead | ScopeUsageRead, ExpiresAtMs: 1_800_000_000_000,
	}},
}

// goldenWebhookCommands are those that feature level 4 added.
var goldenWebhookCommands = []goldenCommand{
	{"raise_feature_level_webhooks", RaiseFeatureLevel{Level: 4, Version: "v0.4.0"}},
	{"put_data_key", PutDataKey{Tenant: 1, Wrapped: []byte("wrapped")}},
	{"put_source", PutSource{Source: Source{
		Tenant: 1, PublicID: "src_1", Provider: "stripe", Name: DefaultSourceName, CallbackURL: "https://example.com/hook",
		Options: []byte(`{"toleranceSeconds":60}`), Secrets: []SourceSecret{{PublicID: "sec_1", Sealed: []byte{1, 2}, Hint: "wxyz"}},
		SigningSecret: []byte{3, 4}, Raw: true, DedupeWindowMs: DefaultDedupeWindowMs, RetryDelaysMs: []int64{0, 5_000},
		MaxConcurrency: 4, MaxPerSecond: 50,
	}}},
	{"put_source_plain", PutSource{Source: Source{
		Tenant: 1, PublicID: "src_2", Provider: "github", Name: "n", DedupeWindowMs: MinDedupeWindowMs,
	}}},
	{"put_source_rolled", PutSource{Source: Source{
		Tenant: 1, PublicID: "src_1", Provider: "stripe", Name: DefaultSourceName, CallbackURL: "https://example.com/hook",
		SigningSecret: []byte{5}, DedupeWindowMs: MinDedupeWindowMs,
	}, IfRevision: 4, OverlapMs: MaxSigningOverlapMs}},
	{"accept_event", AcceptEvent{
		Tenant: 1, Source: 1, Nonce: 7, ProviderID: "evt_1", RawType: "charge.dispute.updated", Type: "chargeback.under_review",
		OccurredAtMs: 1_795_435_200_000, BodyHash: [16]byte{1, 2, 15: 3}, Payload: []byte("sealed"),
	}},
	{"accept_event_again", AcceptEvent{Tenant: 1, Source: 1, Nonce: 8, ProviderID: "evt_1", Synthetic: true}},
	{"accept_event_other", AcceptEvent{Tenant: 1, Source: 2, Nonce: 9, ProviderID: "evt_1", OccurredAtMs: -1}},
	{"report_attempt", ReportAttempt{
		Tenant: 1, Event: EventID{1, 7}, Number: 1, Attempt: Attempt{StartedAtMs: 1_795_435_200_200, LatencyMs: 12, Error: "refused"},
		Verdict: VerdictRetry, NextAtMs: 1_795_435_205_000,
	}},
	{"report_attempt_delivered", ReportAttempt{
		Tenant: 1, Event: EventID{1, 7}, Number: 2, Attempt: Attempt{StartedAtMs: 1_795_435_205_000, LatencyMs: 3, StatusCode: 204},
		Verdict: VerdictDelivered, SetPayload: true, Form: PayloadPartial, Payload: []byte("less"),
	}},
	{"replay_events", ReplayEvents{Tenant: 1, Events: []EventID{{1, 7}, {2, 9}}, Nonce: "rpl_1"}},
	{"ignore_events", IgnoreEvents{Tenant: 1, Events: []EventID{{1, 7}}}},
	{"audited_ignore_events", Audited{goldenBy, IgnoreEvents{Tenant: 1, Events: []EventID{{2, 9}}}}},
	{"delete_source", DeleteSource{Tenant: 1, PublicID: "src_2"}},
	{"put_plan", PutPlan{Plan{Name: "events", MonthlyEvents: 100, HoldEvents: true, EventRetentionMs: dayMs, PayloadRetentionMs: 9,
		MaxStoredBytes: 1 << 30}}},
	{"update_tenant_policy", UpdateTenant{Tenant: 1, SetPayloadPolicy: true, PayloadPolicy: PayloadRawDebugWindow}},
}

// allGoldenCommands are the golden commands of every feature level and version.
func allGoldenCommands() []goldenCommand {
	return slices.Concat(goldenCommands, goldenMemberCommands, goldenControlCommands, goldenCommandsV2, goldenWebhookCommands)
}

func goldenHash(first byte) (h [32]byte) {
	for i := range h {
		h[i] = first + byte(i)
	}
	return h
}

func TestGoldenCommands(t *testing.T) {
	t.Parallel()
	listed := make(map[CommandType]bool)
	for _, g := range allGoldenCommands() {
		listed[g.cmd.commandType()] = true
		name := fmt.Sprintf("command_v%d_%s", versionOf(g.cmd), g.name)
		t.Run(name, func(t *testing.T) {
			b := golden(t, name, Encode(g.cmd))
			cmd, err := Decode(b)
			if err != nil || !reflect.DeepEqual(cmd, g.cmd) {
				t.Fatalf("decoded %+v, %v, want %+v", cmd, err, g.cmd)
			}
			if !bytes.Equal(Encode(cmd), b) {
				t.Errorf("encodes to %x, want %x", Encode(cmd), b)
			}
		})
	}
	for _, g := range goldenCommandsV2 {
		if versionOf(g.cmd) != commandVersion2 {
			t.Errorf("%s is of version %d", g.name, versionOf(g.cmd))
		}
	}
	for kind := range CommandType(255) {
		if decodePayload(kind, &decoder{}) != nil && !listed[kind] {
			t.Errorf("command type %d has no golden file", kind)
		}
	}
}

func TestGoldenEntry(t *testing.T) {
	t.Parallel()
	const stamp = 1_795_435_200_123
	id := BatchID{0xB0, 15: 0x0B}
	frames := make([][]byte, len(goldenCommands))
	for i, g := range goldenCommands {
		frames[i] = Encode(g.cmd)
	}
	b := golden(t, "entry_v1", EncodeEntry(stamp, id, frames...))
	e, err := DecodeEntry(b)
	if err != nil {
		t.Fatal(err)
	}
	if e.StampMs != stamp || e.BatchID != id || len(e.Commands) != len(goldenCommands) {
		t.Fatalf("stamp %d, batch %x, %d commands", e.StampMs, e.BatchID, len(e.Commands))
	}
	for i, g := range goldenCommands {
		if !reflect.DeepEqual(e.Commands[i], g.cmd) {
			t.Errorf("command %d is %+v, want %+v", i, e.Commands[i], g.cmd)
		}
	}
	again := make([][]byte, len(e.Commands))
	for i, cmd := range e.Commands {
		again[i] = Encode(cmd)
	}
	if !bytes.Equal(EncodeEntry(e.StampMs, e.BatchID, again...), b) {
		t.Error("encodes to other bytes")
	}
}

// The results of the golden entry are part of the format too: a release that decides otherwise about an old log would
// differ from the nodes that have not been upgraded.
func TestGoldenDigest(t *testing.T) {
	t.Parallel()
	for name, commands := range map[string][]goldenCommand{
		"digest_v1": goldenCommands, "digest_v1_members": goldenMemberCommands,
		"digest_v1_control":  slices.Concat(goldenControlCommands[:1], goldenCommandsV2, goldenControlCommands[1:]),
		"digest_v1_webhooks": slices.Concat(goldenCommands[2:3], goldenWebhookCommands),
	} {
		j := &journal{tb: t, m: New(testConfig())}
		for i, g := range commands {
			j.apply(1_795_435_200_123+int64(i), g.cmd)
		}
		b := binary.LittleEndian.AppendUint64(nil, j.m.Digest())
		if want := golden(t, name, b); !bytes.Equal(b, want) {
			t.Errorf("%s: digest %x, want %x", name, b, want)
		}
	}
}

// Snapshots of every form are read for ever, and a state that needs no newer form is still written in the old one.
func TestGoldenSnapshots(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]*Machine{
		"snapshot_v1": furnished(t).m, "snapshot_v2": peopled(t).m, "snapshot_v3": governed(t).m,
		"snapshot_v4": connected(t).m,
	} {
		file := written(t, m.Snapshot())
		want := golden(t, name, file)
		if !bytes.Equal(file, want) {
			t.Errorf("%s: the state is written as other bytes", name)
		}
		if got := dump(mustRestore(t, want)); got != dump(m) {
			t.Errorf("%s: restored\n%s\nwant\n%s", name, diff(got, dump(m)), diff(dump(m), got))
		}
	}
}

// golden returns the bytes of a golden file, which holds them in hexadecimal. With -update it writes got there first.
func golden(t *testing.T, name string, got []byte) []byte {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(hex.Dump(got)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var b []byte
	for line := range strings.Lines(string(text)) {
		digits := strings.ReplaceAll(line[10:58], " ", "") // between the offset and the text
		part, err := hex.DecodeString(digits)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		b = append(b, part...)
	}
	return b
}
