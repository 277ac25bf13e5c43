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
	"testing"
)

// FuzzDecode gives the decoder any payload under a checksum that matches. What it accepts it must also write.
func FuzzDecode(f *testing.F) {
	for _, g := range allGoldenCommands() {
		frame := Encode(g.cmd)
		f.Add(frame[0], frame[1], frame[commandHeaderBytes:len(frame)-commandCRCBytes])
	}
	for _, frame := range framesOfNewerRelease(f) {
		f.Add(frame[0], frame[1], frame[commandHeaderBytes:len(frame)-commandCRCBytes])
	}
	nobody := appendActor(nil, goldenBy)
	f.Add(byte(TypeAudited), byte(1), nobody)
	f.Add(byte(TypeAudited), byte(1), append(nobody, byte(TypeAudited), 1))
	f.Add(byte(TypeTally), byte(1), []byte{1, 1, byte(meterEnd), 2, 0})
	f.Add(byte(TypeTally), byte(1), binary.AppendUvarint(nil, MaxTallyCounts+1))
	f.Fuzz(func(t *testing.T, kind, version byte, payload []byte) {
		frame := sealed(kind, version, payload)
		cmd, err := Decode(frame)
		if checked := checkFrame(frame[:len(frame)-commandCRCBytes]); fmt.Sprint(checked) != fmt.Sprint(err) &&
			len(payload) <= MaxCommandBytes {
			t.Fatalf("decoded: %v, checked: %v", err, checked)
		}
		if err != nil {
			if cmd != nil || !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrUnsupported) {
				t.Fatalf("%+v, %v", cmd, err)
			}
			return
		}
		if err := Validate(cmd); err != nil {
			t.Fatalf("%+v was decoded and is not valid: %v", cmd, err)
		}
		again, err := Decode(Encode(cmd))
		if err != nil || !reflect.DeepEqual(again, cmd) {
			t.Fatalf("%+v, %v, decoded from the encoding of %+v", again, err, cmd)
		}
	})
}

// FuzzDecodeEntry gives the decoder any bytes as they are and with matching checksums, and applies what it accepts.
func FuzzDecodeEntry(f *testing.F) {
	var cmds []Command
	for _, g := range allGoldenCommands() {
		cmds = append(cmds, g.cmd)
		f.Add(encodeEntry(noon2026, g.cmd))
	}
	f.Add(encodeEntry(noon2026))
	f.Add(encodeEntry(noon2026, cmds...))
	f.Add(encodeEntry(noon2026, append([]Command{RaiseFeatureLevel{FeatureLevel, "v3"}}, cmds...)...))
	f.Add(encodeEntry(noon2026, RaiseFeatureLevel{FeatureLevel + 1, "v9"}))
	f.Add(encodeEntry(math.MaxInt64, claimBy("a", tok(1)), claimBy("b", tok(1))))
	f.Fuzz(func(t *testing.T, b []byte) {
		checkEntry(t, b)
		checkEntry(t, resealAll(bytes.Clone(b)))
	})
}

// resealAll makes all checksums of an entry match, as far as its lengths can be followed.
func resealAll(b []byte) []byte {
	if len(b) < entryPrefixBytes {
		return b
	}
	reseal(b)
	for rest := b[entryPrefixBytes:]; len(rest) >= commandHeaderBytes+commandCRCBytes; {
		end := commandHeaderBytes + int(binary.LittleEndian.Uint32(rest[2:]))
		if end > len(rest)-commandCRCBytes {
			break
		}
		binary.LittleEndian.PutUint32(rest[end:], crc32.Checksum(rest[:end], castagnoli))
		rest = rest[end+commandCRCBytes:]
	}
	return b
}

func checkEntry(t *testing.T, b []byte) {
	e, err := DecodeEntry(b)
	if verified := VerifyEntry(b); err == nil && verified != nil {
		t.Fatalf("decoded, yet not verified: %v", verified)
	}
	j := newJournal(t)
	_, results, applied := j.m.Apply(2, 1, b)
	newer := slices.ContainsFunc(e.Commands, func(cmd Command) bool {
		c, ok := cmd.(RaiseFeatureLevel)
		return ok && c.Level > FeatureLevel
	})
	if (applied == nil) != (err == nil && !newer) || newer && !errors.Is(applied, ErrUnsupported) {
		t.Fatalf("decoded: %v, applied: %v", err, applied)
	}
	if newer {
		return
	}
	if err != nil {
		if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrUnsupported) {
			t.Fatal(err)
		}
		return
	}
	for i, r := range results {
		if r.Outcome < OK || r.Outcome > StoredBytesExceeded {
			t.Fatalf("command %d, %+v: no outcome", i, e.Commands[i])
		}
		if r.Outcome == Granted && (r.LeaseEndMs < j.m.ClockMs() && r.LeaseEndMs != NeverMs || r.Fence >= maxExactInteger) {
			t.Fatalf("grant out of bounds: %+v", r)
		}
	}
	again, err := DecodeEntry(encodeEntry(e.StampMs, e.Commands...))
	if err != nil || len(again.Commands) != len(e.Commands) {
		t.Fatalf("decoded again: %v", err)
	}
	if restored := mustRestore(t, written(t, j.m.Snapshot())); dump(restored) != dump(j.m) {
		t.Fatal("the state does not survive a snapshot")
	}
}
