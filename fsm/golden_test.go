package fsm

import (
	"bytes"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// goldenCommands are commands as version 1 of the log holds them. A log written by any release must be readable for
// ever, so their files change only with a new version beside them, never in place.
var goldenCommands = []struct {
	name string
	cmd  Command
}{
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

func goldenHash(first byte) (h [32]byte) {
	for i := range h {
		h[i] = first + byte(i)
	}
	return h
}

func TestGoldenCommands(t *testing.T) {
	t.Parallel()
	listed := make(map[CommandType]bool)
	for _, g := range goldenCommands {
		listed[g.cmd.commandType()] = true
		t.Run(g.name, func(t *testing.T) {
			b := golden(t, "command_v1_"+g.name, Encode(g.cmd))
			cmd, err := Decode(b)
			if err != nil || !reflect.DeepEqual(cmd, g.cmd) {
				t.Fatalf("decoded %+v, %v, want %+v", cmd, err, g.cmd)
			}
			if !bytes.Equal(Encode(cmd), b) {
				t.Errorf("encodes to %x, want %x", Encode(cmd), b)
			}
		})
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
	j := &journal{tb: t, m: New(testConfig())}
	for i, g := range goldenCommands {
		j.apply(1_795_435_200_123+int64(i), g.cmd)
	}
	var b [8]byte
	for i := range b {
		b[i] = byte(j.m.Digest() >> (8 * i))
	}
	if want := golden(t, "digest_v1", b[:]); !bytes.Equal(b[:], want) {
		t.Errorf("digest %x, want %x", b, want)
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
