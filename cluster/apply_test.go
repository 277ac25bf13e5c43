package cluster

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"testing"

	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/syllecta/syllecta/fsm"
)

// newerEntry is an intact entry of a version that this build does not know.
func newerEntry(t *testing.T) []byte {
	t.Helper()
	b := fsm.EncodeEntry(1, fsm.BatchID{})
	b[0]++
	header := b[:len(b)-4]
	binary.LittleEndian.PutUint32(b[len(header):], crc32.Checksum(header, crc32.MakeTable(crc32.Castagnoli)))
	if err := fsm.VerifyEntry(b); !errors.Is(err, fsm.ErrUnsupported) {
		t.Fatalf("not an unsupported entry: %v", err)
	}
	return b
}

// newTestApplier is an applier that nobody listens to.
func newTestApplier() (*applier, *fatals) {
	a, f := newApplier(newMetrics(prometheus.NewRegistry())), &fatals{}
	a.onApply = func(uint64, uint64, fsm.Entry, []fsm.Result) {}
	a.onRestore = func(uint64) {}
	a.fatal = f.report
	return a, f
}

func commandLog(index uint64, data []byte) *raft.Log {
	return &raft.Log{Index: index, Term: 1, Type: raft.LogCommand, Data: data}
}

// TestHalt: an entry that cannot be applied ends it; the ones behind it are not applied either.
func TestHalt(t *testing.T) {
	t.Parallel()
	damaged := fsm.EncodeEntry(1, fsm.BatchID{})
	damaged[3] ^= 1
	for name, tc := range map[string]struct {
		entry []byte
		words []string
	}{
		"damaged": {damaged, []string{"log entry 2 ", "checksum"}},
		"newer":   {newerEntry(t), []string{"log entry 2 ", "run a version of syllecta that knows it"}},
		"empty":   {nil, []string{"log entry 2 "}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, f := newTestApplier()
			a.Apply(commandLog(1, fsm.EncodeEntry(1_000, fsm.BatchID{})))
			before := a.machine.Digest()
			if got := a.Apply(commandLog(2, tc.entry)); got != errHalted {
				t.Errorf("Apply returned %v", got)
			}
			f.only(t, tc.words...)
			if got := a.Apply(commandLog(3, fsm.EncodeEntry(2_000, fsm.BatchID{}))); got != errHalted {
				t.Errorf("Apply behind it returned %v", got)
			}
			if a.machine.Index() != 1 || a.machine.Digest() != before || a.applied.get() != 1 {
				t.Errorf("index %d, applied %d", a.machine.Index(), a.applied.get())
			}
			if _, err := a.Snapshot(); !errors.Is(err, errHalted) {
				t.Errorf("a halted state was captured: %v", err)
			}
		})
	}
}

// TestAppliedBeforeAnswered: by the time a call is answered, this node tells others that it has applied the entry. A
// follower that catches up in response to the answer would miss it otherwise.
func TestAppliedBeforeAnswered(t *testing.T) {
	t.Parallel()
	a, _ := newTestApplier()
	answered := false
	a.onApply = func(index, _ uint64, _ fsm.Entry, _ []fsm.Result) {
		answered = true
		if got := a.applied.get(); got != index {
			t.Errorf("entry %d is answered while %d is said to be applied", index, got)
		}
	}
	a.Apply(commandLog(7, fsm.EncodeEntry(1, fsm.BatchID{})))
	if !answered {
		t.Fatal("not answered")
	}
}

// TestOtherEntriesAreNotApplied: what raft puts into the log for itself does not reach the state.
func TestOtherEntriesAreNotApplied(t *testing.T) {
	t.Parallel()
	a, f := newTestApplier()
	a.Apply(&raft.Log{Index: 9, Type: raft.LogBarrier})
	if a.applied.get() != 0 || a.machine.Index() != 0 {
		t.Error("a barrier was applied")
	}
	f.none(t)
}

func TestBroadcastIndex(t *testing.T) {
	t.Parallel()
	var b broadcastIndex
	b.init()
	if b.wait(0) != nil {
		t.Error("has to wait for what is reached")
	}
	grown := b.wait(3)
	b.advance(2)
	select {
	case <-grown:
	default:
		t.Error("not woken")
	}
	grown = b.wait(3)
	b.advance(1)
	b.advance(2)
	select {
	case <-grown:
		t.Error("woken though nothing grew")
	default:
	}
	if b.advance(3); b.wait(3) != nil || b.get() != 3 {
		t.Error("not reached")
	}
}
