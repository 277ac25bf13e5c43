package fsm

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"

	"github.com/syllecta/syllecta/snapshot"
)

func inspect(file []byte) (Summary, error) {
	r, err := snapshot.NewReader(bytes.NewReader(file))
	if err != nil {
		return Summary{}, err
	}
	return Inspect(r)
}

// summaryOf counts what a machine holds, by other means than Inspect.
func summaryOf(m *Machine) Summary {
	d := m.Directory()
	s := Summary{
		ClusterID: d.ClusterID, Index: m.Index(), Term: m.Term(), Epoch: m.Epoch(), Grants: m.grants, ClockMs: m.ClockMs(),
		FeatureLevel: d.FeatureLevel, FeatureVersion: d.FeatureVersion, Tenants: len(d.Tenants()), Locks: m.Locks(),
	}
	for _, t := range d.Tenants() {
		s.Keys += len(d.Keys(t.ID))
	}
	for _, x := range d.Members() {
		if !x.Retired() {
			s.Members++
		}
	}
	for number, c := range m.records.chunks {
		for offset := 0; offset < len(c.data); {
			r := m.records.at(at(uint32(number), offset))
			offset += len(r)
			if found := m.records.get(m.hasher.key(r.appendStoreKey(nil))); bytes.Equal(found, r) {
				s.Records++
				s.RecordBytes += int64(len(r))
			}
		}
	}
	return s
}

// Inspect counts what Restore keeps.
func TestInspectCountsWhatRestoreKeeps(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]*Machine{
		"empty": New(testConfig()), "furnished": furnished(t).m, "peopled": peopled(t).m,
		"governed": governed(t).m, "big": bigState(t).m,
	} {
		s := m.Snapshot()
		file := written(t, s)
		got, err := inspect(file)
		if want := summaryOf(mustRestore(t, file)); err != nil || got != want {
			t.Errorf("%s: %v\n got %+v\nwant %+v", name, err, got, want)
		}
		cheap := s.Summary()
		got.Records, got.RecordBytes = 0, 0
		if cheap != got {
			t.Errorf("%s: Snapshot.Summary is %+v, want %+v", name, cheap, got)
		}
	}
}

// Damage to any byte and any cut is refused by Inspect and Rebase alike, and leaves nothing that can be read.
func TestInspectAndRebaseRefuseDamage(t *testing.T) {
	t.Parallel()
	file := written(t, peopled(t).m.Snapshot())
	for i := range file {
		damaged := bytes.Clone(file)
		damaged[i] ^= 0x04
		wantUnreadable(t, fmt.Sprint("byte ", i, " changed"), damaged)
		wantUnreadable(t, fmt.Sprint("cut at byte ", i), file[:i])
	}
	wantUnreadable(t, "a byte behind it", append(bytes.Clone(file), 0))
}

// The same at every block of a snapshot of many: at its first byte, in its middle and in its checksum.
func TestInspectAndRebaseRefuseDamageInEveryBlock(t *testing.T) {
	t.Parallel()
	file := written(t, bigState(t).m.Snapshot())
	ends := blockEnds(file)
	if len(ends) < 20 {
		t.Fatalf("only %d blocks", len(ends))
	}
	start := 16
	for n, end := range ends {
		for _, at := range []int{start, (start + end) / 2, end - 1} {
			file[at] ^= 0x80
			wantUnreadable(t, fmt.Sprintf("block %d, byte %d changed", n, at), file)
			file[at] ^= 0x80
		}
		if n < len(ends)-1 {
			wantUnreadable(t, fmt.Sprintf("cut behind block %d", n), file[:end])
		}
		start = end
	}
	if _, err := inspect(file); err != nil {
		t.Errorf("undamaged: %v", err)
	}
}

// blockEnds returns where each block of a snapshot file ends.
func blockEnds(file []byte) (ends []int) {
	for at := 16; at < len(file); {
		length := int(file[at+4]) | int(file[at+5])<<8 | int(file[at+6])<<16 | int(file[at+7])<<24
		at += 20 + length + 4
		ends = append(ends, at)
	}
	return ends
}

func wantUnreadable(t *testing.T, what string, file []byte) {
	t.Helper()
	if s, err := inspect(file); err == nil || s != (Summary{}) {
		t.Fatalf("%s: inspected as %+v, %v", what, s, err)
	}
	written, s, err := rebased(file, testIdentity(), 1, 1)
	if err == nil || s != (Summary{}) {
		t.Fatalf("%s: rebased as %+v, %v", what, s, err)
	}
	if m, err := restore(written); err == nil || m != nil {
		t.Fatalf("%s: what was rebased before the error can be restored", what)
	}
}

// Inspect and Rebase need no more memory for more records. Not parallel: it measures what is allocated.
func TestInspectAndRebaseMemoryIsBounded(t *testing.T) {
	const bodies, bound = 64, 12 << 20
	j := furnished(t)
	body := bytes.Repeat([]byte("b"), MaxBodyBytes)
	for i := range bodies {
		j.apply(0, Complete{
			ID: recordID(fmt.Sprint("large ", i)), Status: 200, Headers: []byte(`{}`), Body: body, TTLMs: ttlMs,
		})
	}
	file := written(t, j.m.Snapshot())
	for name, f := range map[string]func() error{
		"inspect": func() error { _, err := inspect(file); return err },
		"rebase":  func() error { return rebaseInto(discard{}, file, testIdentity()) },
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := f()
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; err != nil || used > bound {
			t.Errorf("%s: %v, %d bytes allocated for a snapshot of %d, want at most %d", name, err, used, len(file), bound)
		}
	}
}
