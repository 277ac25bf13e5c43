package fsm

import (
	"bytes"
	"errors"
	"hash/maphash"
	"math"
	"math/rand/v2"
	"testing"
)

// Any changed byte and any cut of an entry is noticed, by DecodeEntry and VerifyEntry alike.
func TestEntryDamage(t *testing.T) {
	t.Parallel()
	var cmds []Command
	for _, g := range allGoldenCommands() {
		cmds = append(cmds, g.cmd)
	}
	entry := encodeEntry(noon2026, cmds...)
	refused := func(what string, n int, b []byte) {
		if _, err := DecodeEntry(b); !errors.Is(err, ErrMalformed) {
			t.Fatalf("%s %d: %v, want ErrMalformed", what, n, err)
		}
		if err := VerifyEntry(b); !errors.Is(err, ErrMalformed) {
			t.Fatalf("%s %d verified: %v, want ErrMalformed", what, n, err)
		}
	}
	damaged := bytes.Clone(entry)
	for i := range entry {
		for flip := 1; flip <= math.MaxUint8; flip++ {
			damaged[i] = entry[i] ^ byte(flip)
			refused("changed byte", i, damaged)
		}
		damaged[i] = entry[i]
		refused("cut to", i, entry[:i])
	}
	refused("bytes behind", 1, append(bytes.Clone(entry), 0))
	count := bytes.Clone(entry)
	count[2]--
	refused("fewer commands promised", 1, reseal(count))
	count[2] += 2
	refused("more commands promised", 1, reseal(count))
}

// VerifyEntry and DecodeEntry agree on any number of changes, cuts and moved pieces.
func TestVerifyEntryAgreesWithDecodeEntry(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(11, 12))
	var frames [][]byte
	for _, g := range allGoldenCommands() {
		frames = append(frames, Encode(g.cmd))
	}
	for range 100_000 {
		rng.Shuffle(len(frames), func(i, j int) { frames[i], frames[j] = frames[j], frames[i] })
		b := EncodeEntry(noon2026, BatchID{}, frames[:rng.IntN(4)]...)
		for range rng.IntN(3) {
			switch i := rng.IntN(len(b) + 1); rng.IntN(4) {
			case 0:
				b = b[:i]
			case 1:
				b = append(b, b[i:]...)
			default:
				if i < len(b) {
					b[i] ^= byte(rng.IntN(2) << rng.IntN(8))
				}
			}
		}
		_, decoded := DecodeEntry(b)
		verified := VerifyEntry(b)
		if (decoded == nil) != (verified == nil) {
			t.Fatalf("decoded: %v, verified: %v\n%x", decoded, verified, b)
		}
	}
}

// What the machine keeps and what it answered does not share memory with the entry: raft may reuse the buffer.
func TestEntryBufferMayBeReused(t *testing.T) {
	t.Parallel()
	apply := func(scribble bool) (string, []Result) {
		m := New(Config{HashSeed: maphash.MakeSeed()})
		var all []Result
		claim := claimBy("owner", tok(1))
		claim.ID.Tenant, claim.Fingerprint = 1, "fingerprint"
		extra := []Command{
			claim, completeWith(tok(1), `"body"`), claim,
			Claim{ID: recordID("held"), Owner: "o", LeaseMs: leaseMs, TTLMs: ttlMs},
			CreateKey{Tenant: 1, PublicID: "key", Name: "name", Hash: [32]byte{1}, Hint: "hint"},
			UpdateTenant{Tenant: 1, SetName: true, Name: "renamed"},
		}
		commands := allGoldenCommands()
		for i, g := range commands {
			cmds := []Command{g.cmd}
			if i == len(commands)-1 {
				cmds = append(cmds, extra...)
			}
			data := encodeEntry(noon2026, cmds...)
			_, results, err := m.Apply(uint64(i), 1, data)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, results...)
			if scribble {
				for i := range data {
					data[i] = 0xEE
				}
			}
		}
		return dump(m), all
	}
	want, wantResults := apply(false)
	got, gotResults := apply(true)
	if got != want {
		t.Errorf("the state changed with the buffer:\n%s\nwant\n%s", diff(got, want), diff(want, got))
	}
	for i := range wantResults {
		wantResult(t, "result", gotResults[i], wantResults[i])
	}
}
