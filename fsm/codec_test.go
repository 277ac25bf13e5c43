package fsm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// anyCommand draws commands of every type, within their limits.
func anyCommand() *rapid.Generator[Command] {
	return rapid.Custom(func(t *rapid.T) Command { return drawCommand(t, 18) })
}

// drawCommand draws a command of one of that many types.
func drawCommand(t *rapid.T, types int64) Command {
	text := func(lo, hi int, what string) string {
		n := rapid.SampledFrom([]int{lo, min(lo+1, hi), min(lo+9, hi), hi}).Draw(t, what+" length")
		return strings.Repeat(rapid.SampledFrom([]string{"a", "\xff", "\x00", "é"}).Draw(t, what), n)[:n]
	}
	number := func(lo, hi int64, what string) int64 { return rapid.Int64Range(lo, hi).Draw(t, what) }
	fixed := func(what string) (b [32]byte) {
		copy(b[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, what))
		return b
	}
	tenant := TenantID(number(1, MaxTenants, "tenant"))
	id := RecordID{tenant, text(1, MaxScopeBytes, "scope"), text(1, MaxKeyBytes, "key")}
	random := fixed("token")
	tk := Token(random[:16])
	lease := rapid.SampledFrom([]int64{NeverMs, MinLeaseMs, MaxLeaseMs}).Draw(t, "lease")
	flag := rapid.Bool().Draw(t, "flag")
	name := text(1, MaxNameBytes, "name")
	switch number(1, types, "type") {
	case 1:
		return Claim{
			id, text(1, MaxOwnerBytes+OwnerPrefixBytes, "owner"), tk, lease, number(1, MaxTTLMs, "ttl"),
			text(0, MaxFingerprintBytes, "fingerprint"),
		}
	case 2:
		return Complete{
			id, tk, uint16(number(MinStatus, MaxStatus, "status")), []byte(text(2, MaxHeadersBytes, "headers")),
			[]byte(text(1, 3_000, "body")), number(1, MaxTTLMs, "ttl"), flag,
		}
	case 3:
		return Renew{id, tk, lease, flag}
	case 4:
		return Release{id, tk}
	case 5:
		return Delete{id}
	case 6:
		return Init{name, random}
	case 7:
		return Establish{number(0, MaxLeaseMs, "grace"), number(0, MaxStampMs, "clock")}
	case 8:
		slug := text(1, MaxSlugBytes, "slug")
		return CreateTenant{name, slug, text(0, MaxNameBytes, "title"), number(0, math.MaxInt64, "n"),
			text(0, MaxSlugBytes, "plan")}
	case 9:
		return UpdateTenant{tenant, flag, text(0, MaxNameBytes, "title"), !flag, number(0, math.MaxInt64, "n"),
			rapid.Bool().Draw(t, "set plan"), text(0, MaxSlugBytes, "plan"), rapid.Bool().Draw(t, "set suspended"),
			rapid.Bool().Draw(t, "suspended"), rapid.Bool().Draw(t, "set policy"), PayloadPolicy(number(0, 2, "policy"))}
	case 10:
		return CreateKey{tenant, name, text(0, MaxNameBytes, "title"), random, text(0, MaxNameBytes, "hint"),
			Scopes(number(0, int64(AllScopes), "scopes")), number(0, MaxStampMs, "expires")}
	case 11:
		return RevokeKey{tenant, name}
	case 12:
		return RaiseFeatureLevel{uint32(number(1, MaxFeatureLevel, "level")), name}
	case 13:
		return AdmitMember{text(1, MaxNodeIDBytes, "node"), text(0, MaxDiskIDBytes, "disk"), flag}
	case 14:
		return RetireMember{text(1, MaxNodeIDBytes, "node")}
	case 15:
		return PutPlan{Plan{text(1, MaxSlugBytes, "plan"), number(0, MaxMonthlyClaims, "claims"),
			number(0, MaxRequestsPerSecond, "requests"), number(0, MaxTTLMs, "ttl"), number(0, MaxBodyBytes, "body"),
			number(0, MaxMonthlyClaims, "events"), rapid.Bool().Draw(t, "hold"), number(0, MaxRetentionMs, "retention"),
			number(0, MaxRetentionMs, "payloads"), number(0, MaxMonthlyClaims, "stored")}}
	case 16:
		return DeletePlan{text(1, MaxSlugBytes, "plan")}
	case 17:
		var c Tally
		for range number(0, 4, "counts") {
			meter := rapid.SampledFrom(Meters()).Draw(t, "meter")
			c.Counts = append(c.Counts, TenantCount{tenant, meter, number(1, maxTallyCount, "count")})
		}
		for range number(0, 4, "uses") {
			c.Uses = append(c.Uses, KeyUse{tenant, name, number(0, MaxStampMs, "used")})
		}
		return c
	default:
		by := Actor{name, text(1, MaxNameBytes, "role"), text(0, MaxNameBytes, "request"), text(0, MaxNameBytes, "address")}
		inner := rapid.Custom(func(t *rapid.T) Command { return drawCommand(t, 17) })
		auditableOnly := func(cmd Command) bool { return auditable(cmd.commandType()) }
		return Audited{by, inner.Filter(auditableOnly).Draw(t, "audited")}
	}
}

func TestCommandRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		cmd := anyCommand().Draw(rt, "command")
		b := Encode(cmd)
		if len(b) > MaxCommandBytes {
			rt.Fatalf("%d bytes encoded, more than the bound", len(b))
		}
		got, err := Decode(b)
		if err != nil || !reflect.DeepEqual(got, cmd) {
			rt.Fatalf("decoded %+v, %v, want %+v", got, err, cmd)
		}
	})
}

func TestEntryRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		cmds := rapid.SliceOfN(anyCommand(), 0, 8).Draw(rt, "commands")
		want := Entry{StampMs: rapid.Int64Max(MaxStampMs).Draw(rt, "stamp"), BatchID: BatchID{1, 15: 2}, Commands: cmds}
		frames := make([][]byte, len(cmds))
		for i, cmd := range cmds {
			frames[i] = Encode(cmd)
		}
		b := EncodeEntry(want.StampMs, want.BatchID, frames...)
		got, err := DecodeEntry(b)
		if err != nil || got.StampMs != want.StampMs || got.BatchID != want.BatchID || len(got.Commands) != len(cmds) {
			rt.Fatalf("decoded %+v, %v, want %+v", got, err, want)
		}
		for i := range cmds {
			if !reflect.DeepEqual(got.Commands[i], cmds[i]) {
				rt.Fatalf("command %d is %+v, want %+v", i, got.Commands[i], cmds[i])
			}
		}
		if err := VerifyEntry(b); err != nil {
			rt.Fatalf("verify: %v", err)
		}
	})
}

// Every limit holds at its value and not one beyond it.
func TestCommandBounds(t *testing.T) {
	t.Parallel()
	id := recordID("k")
	s := func(n int) string { return strings.Repeat("x", n) }
	scope := func(n int) Command { return Delete{RecordID{1, s(n), "k"}} }
	key := func(n int) Command { return Delete{RecordID{1, "s", s(n)}} }
	owner := func(n int) Command { return claimBy(s(n), tok(1)) }
	fingerprint := func(n int) Command { c := claimBy("o", tok(1)); c.Fingerprint = s(n); return c }
	lease := func(ms int64) Command { c := claimBy("o", tok(1)); c.LeaseMs = ms; return c }
	ttl := func(ms int64) Command { c := claimBy("o", tok(1)); c.TTLMs = ms; return c }
	status := func(n uint16) Command { c := completeWith(tok(1), `1`); c.Status = n; return c }
	headers := func(n int) Command { c := completeWith(tok(1), `1`); c.Headers = []byte(s(n)); return c }
	body := func(n int) Command { return completeWith(tok(1), s(n)) }
	resultTTL := func(ms int64) Command { c := completeWith(tok(1), `1`); c.TTLMs = ms; return c }
	tenantID := func(n int) Command { return CreateTenant{PublicID: s(n), Slug: "s"} }
	slug := func(n int) Command { return CreateTenant{PublicID: "p", Slug: s(n)} }
	keyID := func(n int) Command { return CreateKey{Tenant: 1, PublicID: s(n)} }
	hint := func(n int) Command { return CreateKey{Tenant: 1, PublicID: "k", Hint: s(n)} }
	level := func(n uint32) Command { return RaiseFeatureLevel{n, "v1"} }
	version := func(n int) Command { return RaiseFeatureLevel{2, s(n)} }
	node := func(n int) Command { return AdmitMember{NodeID: s(n)} }
	disk := func(n int) Command { return AdmitMember{NodeID: "n", DiskID: s(n)} }
	plan := func(n int) Command { return PutPlan{Plan{Name: s(n)}} }
	counted := func(n TenantCount) Command { return Tally{Counts: []TenantCount{n}} }
	counts := func(n int) Command { return Tally{Counts: slices.Repeat([]TenantCount{{1, MeterClaims, 1}}, n)} }
	used := func(u KeyUse) Command { return Tally{Uses: []KeyUse{u}} }
	uses := func(n int) Command { return Tally{Uses: slices.Repeat([]KeyUse{{1, s(MaxNameBytes), MaxStampMs}}, n)} }
	by := func(a Actor) Command { return Audited{a, DeletePlan{"p"}} }
	tests := []struct {
		name       string
		at, beyond Command
	}{
		{"least tenant", Delete{RecordID{1, "s", "k"}}, Delete{RecordID{0, "s", "k"}}},
		{"tenant", Delete{RecordID{MaxTenants, "s", "k"}}, Delete{RecordID{MaxTenants + 1, "s", "k"}}},
		{"least scope", scope(1), scope(0)},
		{"scope", scope(MaxScopeBytes), scope(MaxScopeBytes + 1)},
		{"least key", key(1), key(0)},
		{"key", key(MaxKeyBytes), key(MaxKeyBytes + 1)},
		{"least owner", owner(1), owner(0)},
		{"owner", owner(MaxOwnerBytes + OwnerPrefixBytes), owner(MaxOwnerBytes + OwnerPrefixBytes + 1)},
		{"fingerprint", fingerprint(MaxFingerprintBytes), fingerprint(MaxFingerprintBytes + 1)},
		{"no lease", lease(NeverMs), lease(-1)},
		{"least lease", lease(MinLeaseMs), lease(MinLeaseMs - 1)},
		{"lease", lease(MaxLeaseMs), lease(MaxLeaseMs + 1)},
		{"least TTL", ttl(1), ttl(0)},
		{"TTL", ttl(MaxTTLMs), ttl(MaxTTLMs + 1)},
		{"least status", status(MinStatus), status(MinStatus - 1)},
		{"status", status(MaxStatus), status(MaxStatus + 1)},
		{"least headers", headers(2), headers(1)},
		{"headers", headers(MaxHeadersBytes), headers(MaxHeadersBytes + 1)},
		{"least body", body(1), body(0)},
		{"body", body(MaxBodyBytes), body(MaxBodyBytes + 1)},
		{"least result TTL", resultTTL(1), resultTTL(0)},
		{"result TTL", resultTTL(MaxTTLMs), resultTTL(MaxTTLMs + 1)},
		{"least renewal", Renew{ID: id, LeaseMs: MinLeaseMs}, Renew{ID: id, LeaseMs: 1}},
		{"renewal", Renew{ID: id, LeaseMs: MaxLeaseMs}, Renew{ID: id, LeaseMs: MaxLeaseMs + 1}},
		{"least grace", Establish{GraceMs: 0}, Establish{GraceMs: -1}},
		{"grace", Establish{GraceMs: MaxLeaseMs}, Establish{GraceMs: MaxLeaseMs + 1}},
		{"least clock", Establish{ClockMs: 0}, Establish{ClockMs: -1}},
		{"clock", Establish{ClockMs: MaxStampMs}, Establish{ClockMs: MaxStampMs + 1}},
		{"cluster id", Init{ClusterID: s(MaxNameBytes)}, Init{ClusterID: s(MaxNameBytes + 1)}},
		{"least cluster id", Init{ClusterID: "c"}, Init{}},
		{"least tenant id", tenantID(1), tenantID(0)},
		{"tenant id", tenantID(MaxNameBytes), tenantID(MaxNameBytes + 1)},
		{"least slug", slug(1), slug(0)},
		{"slug", slug(MaxSlugBytes), slug(MaxSlugBytes + 1)},
		{"name", UpdateTenant{Tenant: 1, Name: s(MaxNameBytes)}, UpdateTenant{Tenant: 1, Name: s(MaxNameBytes + 1)}},
		{"monthly claims", UpdateTenant{Tenant: 1}, UpdateTenant{Tenant: 1, MonthlyClaims: -1}},
		{"least key id", keyID(1), keyID(0)},
		{"key id", keyID(MaxNameBytes), keyID(MaxNameBytes + 1)},
		{"key id to revoke", RevokeKey{1, s(MaxNameBytes)}, RevokeKey{1, s(MaxNameBytes + 1)}},
		{"hint", hint(MaxNameBytes), hint(MaxNameBytes + 1)},
		{"least feature level", level(1), level(0)},
		{"feature level", level(MaxFeatureLevel), level(MaxFeatureLevel + 1)},
		{"least feature version", version(1), version(0)},
		{"feature version", version(MaxNameBytes), version(MaxNameBytes + 1)},
		{"least node id", node(1), node(0)},
		{"node id", node(MaxNodeIDBytes), node(MaxNodeIDBytes + 1)},
		{"disk id", disk(MaxDiskIDBytes), disk(MaxDiskIDBytes + 1)},
		{"least node id to retire", RetireMember{"n"}, RetireMember{}},
		{"node id to retire", RetireMember{s(MaxNodeIDBytes)}, RetireMember{s(MaxNodeIDBytes + 1)}},
		{"least plan", plan(1), plan(0)},
		{"plan", plan(MaxSlugBytes), plan(MaxSlugBytes + 1)},
		{"least plan's claims", PutPlan{Plan{Name: "p", MonthlyClaims: 0, RequestsPerSecond: 0, MaxTTLMs: 0, MaxBodyBytes: 0}}, PutPlan{Plan{Name: "p", MonthlyClaims: -1, RequestsPerSecond: 0, MaxTTLMs: 0, MaxBodyBytes: 0}}},
		{"plan's claims", PutPlan{Plan{Name: "p", MonthlyClaims: MaxMonthlyClaims, RequestsPerSecond: 0, MaxTTLMs: 0, MaxBodyBytes: 0}}, PutPlan{Plan{Name: "p", MonthlyClaims: MaxMonthlyClaims + 1, RequestsPerSecond: 0, MaxTTLMs: 0, MaxBodyBytes: 0}}},
		{"least plan's rate", PutPlan{Plan{Name: "p", MonthlyClaims: 0, RequestsPerSecond: 0, MaxTTLMs: 0, MaxBodyBytes: 0}}, PutPlan{Plan{Name: "p", MonthlyClaims: 0, RequestsPerSecond: -1, MaxTTLMs: 0, MaxBodyBytes: 0}}},
		{"plan's rate", PutPlan{Plan{Name: "p", MonthlyClaims: 0, RequestsPerSecond: MaxRequestsPerSecond, MaxTTLMs: 0, MaxBodyBytes: 0}},
			PutPlan{Plan{Name: "p", MonthlyClaims: 0, RequestsPerSecond: MaxRequestsPerSecond + 1, MaxTTLMs: 0, MaxBodyBytes: 0}}},
		{"least plan's TTL", PutPlan{Plan{Name: "p", MonthlyClaims: 0, RequestsPerSecond: 0, MaxTTLMs: 0, MaxBodyBytes: 0}}, PutPlan{Plan{Name: "p", MonthlyClaims: 0, RequestsPerSecond: 0, MaxTTLMs: -1, MaxBodyBytes: 0}}},
		{"plan's TTL", PutPlan{Plan{Name: "p", MonthlyClaims: 0, RequestsPerSecond: 0, MaxTTLMs: MaxTTLMs, MaxBodyBytes: 0}}, PutPlan{Plan{Name: "p", MonthlyClaims: 0, RequestsPerSecond: 0, MaxTTLMs: MaxTTLMs + 1, MaxBodyBytes: 0}}},
		{"least plan's body", PutPlan{Plan{Name: "p", MonthlyClaims: 0, RequestsPerSecond: 0, MaxTTLMs: 0, MaxBodyBytes: 0}}, PutPlan{Plan{Name: "p", MonthlyClaims: 0, RequestsPerSecond: 0, MaxTTLMs: 0, MaxBodyBytes: -1}}},
		{"plan's body", PutPlan{Plan{Name: "p", MonthlyClaims: 0, RequestsPerSecond: 0, MaxTTLMs: 0, MaxBodyBytes: MaxBodyBytes}}, PutPlan{Plan{Name: "p", MonthlyClaims: 0, RequestsPerSecond: 0, MaxTTLMs: 0, MaxBodyBytes: MaxBodyBytes + 1}}},
		{"least plan to delete", DeletePlan{"p"}, DeletePlan{}},
		{"plan to delete", DeletePlan{s(MaxSlugBytes)}, DeletePlan{s(MaxSlugBytes + 1)}},
		{"plan of a new tenant", CreateTenant{PublicID: "p", Slug: "s", Plan: s(MaxSlugBytes)},
			CreateTenant{PublicID: "p", Slug: "s", Plan: s(MaxSlugBytes + 1)}},
		{"plan of a tenant", UpdateTenant{Tenant: 1, Plan: s(MaxSlugBytes)},
			UpdateTenant{Tenant: 1, Plan: s(MaxSlugBytes + 1)}},
		{"scopes", CreateKey{Tenant: 1, PublicID: "k", Scopes: AllScopes},
			CreateKey{Tenant: 1, PublicID: "k", Scopes: AllScopes + 1}},
		{"least end of a key", CreateKey{Tenant: 1, PublicID: "k"}, CreateKey{Tenant: 1, PublicID: "k", ExpiresAtMs: -1}},
		{"end of a key", CreateKey{Tenant: 1, PublicID: "k", ExpiresAtMs: MaxStampMs},
			CreateKey{Tenant: 1, PublicID: "k", ExpiresAtMs: MaxStampMs + 1}},
		{"least tenant counted", counted(TenantCount{1, MeterClaims, 1}), counted(TenantCount{0, MeterClaims, 1})},
		{"tenant counted", counted(TenantCount{MaxTenants, MeterClaims, 1}),
			counted(TenantCount{MaxTenants + 1, MeterClaims, 1})},
		{"least meter", counted(TenantCount{1, MeterClaims, 1}), counted(TenantCount{1, 0, 1})},
		{"meter", counted(TenantCount{1, meterEnd - 1, 1}), counted(TenantCount{1, meterEnd, 1})},
		{"least count", counted(TenantCount{1, MeterClaims, 1}), counted(TenantCount{1, MeterClaims, 0})},
		{"count", counted(TenantCount{1, MeterClaims, maxTallyCount}),
			counted(TenantCount{1, MeterClaims, maxTallyCount + 1})},
		{"counts", counts(MaxTallyCounts), counts(MaxTallyCounts + 1)},
		{"least tenant of a key used", used(KeyUse{1, "k", 0}), used(KeyUse{0, "k", 0})},
		{"least key used", used(KeyUse{1, "k", 0}), used(KeyUse{1, "", 0})},
		{"key used", used(KeyUse{1, s(MaxNameBytes), 0}), used(KeyUse{1, s(MaxNameBytes + 1), 0})},
		{"least instant of use", used(KeyUse{1, "k", 0}), used(KeyUse{1, "k", -1})},
		{"instant of use", used(KeyUse{1, "k", MaxStampMs}), used(KeyUse{1, "k", MaxStampMs + 1})},
		{"uses", uses(MaxTallyUses), uses(MaxTallyUses + 1)},
		{"least actor", by(Actor{Name: "a", Role: "r"}), by(Actor{Role: "r"})},
		{"actor", by(Actor{Name: s(MaxNameBytes), Role: "r"}), by(Actor{Name: s(MaxNameBytes + 1), Role: "r"})},
		{"least role", by(Actor{Name: "a", Role: "r"}), by(Actor{Name: "a"})},
		{"role", by(Actor{Name: "a", Role: s(MaxNameBytes)}), by(Actor{Name: "a", Role: s(MaxNameBytes + 1)})},
		{"request id", by(Actor{"a", "r", s(MaxNameBytes), ""}), by(Actor{"a", "r", s(MaxNameBytes + 1), ""})},
		{"address", by(Actor{"a", "r", "", s(MaxNameBytes)}), by(Actor{"a", "r", "", s(MaxNameBytes + 1)})},
		{"audited command", Audited{goldenBy, RetireMember{s(MaxNodeIDBytes)}},
			Audited{goldenBy, RetireMember{s(MaxNodeIDBytes + 1)}}},
		{"an audited command at all", by(goldenBy), Audited{By: goldenBy}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			wantBound(t, tt.at, tt.beyond)
		})
	}
}

func wantBound(t *testing.T, at, beyond Command) {
	t.Helper()
	wantValidated(t, at)
	wantValidated(t, beyond)
	if got, err := Decode(Encode(at)); err != nil || !reflect.DeepEqual(got, at) {
		t.Errorf("at the limit: %v", err)
	}
	if got, err := Decode(Encode(beyond)); !errors.Is(err, ErrMalformed) || got != nil {
		t.Errorf("beyond the limit: %v, want ErrMalformed", err)
	}
}

func TestEntryBounds(t *testing.T) {
	t.Parallel()
	frame := Encode(Establish{})
	for n, want := range map[int]error{0: nil, MaxEntryCommands: nil, MaxEntryCommands + 1: ErrMalformed} {
		frames := make([][]byte, n)
		for i := range frames {
			frames[i] = frame
		}
		e, err := DecodeEntry(EncodeEntry(1, BatchID{}, frames...))
		if !errors.Is(err, want) || err == nil && len(e.Commands) != n {
			t.Errorf("%d commands: %d decoded, %v, want %v", n, len(e.Commands), err, want)
		}
	}
	for stamp, want := range map[int64]error{
		math.MinInt64: nil, -1: nil, MaxStampMs: nil, MaxStampMs + 1: ErrMalformed, math.MaxInt64: ErrMalformed,
	} {
		b := EncodeEntry(stamp, BatchID{})
		if _, err := DecodeEntry(b); !errors.Is(err, want) {
			t.Errorf("stamp %d: %v, want %v", stamp, err, want)
		}
		if err := VerifyEntry(b); !errors.Is(err, want) {
			t.Errorf("stamp %d verified: %v, want %v", stamp, err, want)
		}
	}
}

// sealed returns a framed command of any type, version and payload, with a checksum that matches.
func sealed(kind, version byte, payload []byte) []byte {
	b := []byte{kind, version, 0, 0, 0, 0}
	binary.LittleEndian.PutUint32(b[2:], uint32(len(payload)))
	b = append(b, payload...)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// reseal makes the checksum of an entry's header match.
func reseal(b []byte) []byte {
	binary.LittleEndian.PutUint32(b[entryHeaderBytes:], crc32.Checksum(b[:entryHeaderBytes], castagnoli))
	return b
}

// framesOfNewerRelease are commands whose type or version this build does not know, and an Audited of such.
func framesOfNewerRelease(tb testing.TB) map[string][]byte {
	tb.Helper()
	frames := make(map[string][]byte)
	payload := func(cmd Command) []byte { return cmd.appendPayload(nil) }
	for _, g := range allGoldenCommands() {
		kind, newest := g.cmd.commandType(), byte(1)
		switch kind {
		case TypeCreateTenant, TypeCreateKey, TypePutPlan:
			newest = 2
		case TypeUpdateTenant:
			newest = 3
		}
		for _, version := range []byte{0, newest + 1, 255} {
			frames[fmt.Sprintf("%s of version %d", g.name, version)] = sealed(byte(kind), version, payload(g.cmd))
			if auditable(kind) {
				audited := append(appendActor(nil, goldenBy), byte(kind), version)
				frames[fmt.Sprintf("audited %s of version %d", g.name, version)] =
					sealed(byte(TypeAudited), 1, append(audited, payload(g.cmd)...))
			}
		}
		if !auditable(kind) {
			frames["audited "+g.name] = sealed(byte(TypeAudited), 1, payload(Audited{goldenBy, g.cmd}))
		}
	}
	return frames
}

func TestUnsupported(t *testing.T) {
	t.Parallel()
	known := make(map[byte]bool)
	for _, g := range allGoldenCommands() {
		known[Encode(g.cmd)[0]] = true
	}
	for kind := range math.MaxUint8 + 1 {
		for _, payload := range [][]byte{nil, {1, 2, 3}} {
			frame := sealed(byte(kind), commandVersion1, payload)
			_, err := Decode(frame)
			if want := !known[byte(kind)]; errors.Is(err, ErrUnsupported) != want {
				t.Errorf("type %d: %v, want unsupported: %v", kind, err, want)
			}
		}
	}
	for name, frame := range framesOfNewerRelease(t) {
		if cmd, err := Decode(frame); !errors.Is(err, ErrUnsupported) || cmd != nil {
			t.Errorf("%s: %+v, %v, want ErrUnsupported", name, cmd, err)
		}
		m := New(testConfig())
		_, results, err := m.Apply(1, 1, EncodeEntry(noon2026, BatchID{}, Encode(Init{ClusterID: "c"}), frame))
		if !errors.Is(err, ErrUnsupported) || results != nil || dump(m) != dump(New(testConfig())) {
			t.Errorf("entry with %s: %v, want it refused whole", name, err)
		}
	}
	for _, head := range [][2]byte{{0, 0}, {2, 0}, {255, 0}, {entryVersion, 1}} {
		entry := EncodeEntry(noon2026, BatchID{})
		copy(entry, head[:])
		if _, err := DecodeEntry(reseal(entry)); !errors.Is(err, ErrUnsupported) {
			t.Errorf("entry of version and reserved byte %v: %v, want ErrUnsupported", head, err)
		}
	}
}

func TestNonsenseIsMalformed(t *testing.T) {
	t.Parallel()
	id := appendRecordID(nil, recordID("k"))
	renew := append(append(bytes.Clone(id), make([]byte, 16)...), 0)
	deletion := func(payload ...[]byte) []byte {
		return sealed(byte(TypeDelete), commandVersion1, bytes.Join(payload, nil))
	}
	nobody := appendActor(nil, goldenBy)
	auditedDeletion := Audited{goldenBy, DeletePlan{"p"}}.appendPayload(nil)
	bare, planned := CreateTenant{PublicID: "p", Slug: "s"}, goldenCommandsV2[0].cmd
	tests := map[string][]byte{
		"audited nothing":           sealed(byte(TypeAudited), 1, nobody),
		"audited half a head":       sealed(byte(TypeAudited), 1, append(bytes.Clone(nobody), byte(TypeDeletePlan))),
		"audited without payload":   sealed(byte(TypeAudited), 1, append(bytes.Clone(nobody), byte(TypeDeletePlan), 1)),
		"bytes behind an audited":   sealed(byte(TypeAudited), 1, append(auditedDeletion, 0)),
		"counts of 2^63":            sealed(byte(TypeTally), 1, binary.AppendUvarint(nil, 1<<63)),
		"version 2 as version 1":    sealed(byte(TypeCreateTenant), 1, planned.appendPayload(nil)),
		"version 1 as version 2":    sealed(byte(TypeCreateTenant), 2, bare.appendPayload(nil)),
		"nothing":                   nil,
		"header only":               {byte(TypeDelete), commandVersion1, 0, 0, 0, 0},
		"no payload":                deletion(),
		"bytes behind the payload":  deletion(id, []byte{0}),
		"bytes behind the command":  append(deletion(id), 0),
		"two commands":              append(deletion(id), deletion(id)...),
		"a flag of 2":               sealed(byte(TypeRenew), commandVersion1, append(bytes.Clone(renew), 2)),
		"endless varint":            sealed(byte(TypeEstablish), commandVersion1, bytes.Repeat([]byte{0xFF}, 11)),
		"tenant beyond 32 bits":     deletion([]byte{0x81, 0x80, 0x80, 0x80, 0x10}, id[1:]),
		"scope of 2^63 bytes":       deletion([]byte{1}, binary.AppendUvarint(nil, 1<<63)),
		"payload above the bound":   deletion(make([]byte, MaxCommandBytes+1)),
		"payload of 4 GiB promised": slices.Concat(deletion()[:2], bytes.Repeat([]byte{255}, 4), make([]byte, 50)),
	}
	for name, b := range tests {
		if cmd, err := Decode(b); !errors.Is(err, ErrMalformed) || cmd != nil {
			t.Errorf("%s: %+v, %v, want ErrMalformed", name, cmd, err)
		}
	}
}

// A command is written in the oldest version that holds it, so that older nodes are told what they understand; a newer
// version that says no more means the same.
func TestOldestVersionIsWritten(t *testing.T) {
	t.Parallel()
	for _, g := range goldenCommands {
		if v := Encode(g.cmd)[1]; v != 1 {
			t.Errorf("%s is written in version %d", g.name, v)
		}
	}
	for _, cmd := range []Command{
		CreateTenant{PublicID: "p", Slug: "s", Plan: "p"}, UpdateTenant{Tenant: 1, SetPlan: true},
		UpdateTenant{Tenant: 1, Plan: "p"}, UpdateTenant{Tenant: 1, SetSuspended: true},
		UpdateTenant{Tenant: 1, Suspended: true},
		CreateKey{Tenant: 1, PublicID: "k", Scopes: 1}, CreateKey{Tenant: 1, PublicID: "k", ExpiresAtMs: 1},
	} {
		if v := Encode(cmd)[1]; v != 2 {
			t.Errorf("%T%+v is written in version %d", cmd, cmd, v)
		}
	}
	for _, tt := range []struct {
		cmd  Command
		more []byte // what version 2 adds
	}{
		{CreateTenant{PublicID: "p", Slug: "s"}, make([]byte, 1)},
		{UpdateTenant{Tenant: 1, SetName: true, Name: "n"}, make([]byte, 4)},
		{CreateKey{Tenant: 1, PublicID: "k"}, make([]byte, 2)},
	} {
		frame := sealed(byte(tt.cmd.commandType()), 2, tt.cmd.appendPayload(nil))
		if _, err := Decode(frame); !errors.Is(err, ErrMalformed) {
			t.Errorf("%T without what version 2 has: %v", tt.cmd, err)
		}
		frame = sealed(byte(tt.cmd.commandType()), 2, append(tt.cmd.appendPayload(nil), tt.more...))
		if got, err := Decode(frame); err != nil || got != tt.cmd {
			t.Errorf("%T in version 2: %+v, %v, want %+v", tt.cmd, got, err, tt.cmd)
		}
	}
}
