package fsm

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/syllecta/syllecta/snapshot"
)

// Snapshot is the state at one log index. It shares the machine's memory, so taking one costs no more than lists of
// chunks and pages; writing it may run beside Apply.
type Snapshot struct {
	progress
	directory *Directory
	usage     []usage
	days      []dayCounter
	audit     [][]byte
	locks     locksSnapshot
	slabs     []slabSnapshot
	events    *eventTree
	stored    []tenantBytes
}

// slabSnapshot is a slab as far as it was filled. Chunks are append-only, so what was there does not change.
type slabSnapshot struct {
	chunks []chunkSnapshot
	dead   []position
}

type chunkSnapshot struct {
	number uint32
	data   []byte
}

// Snapshot captures the state.
func (m *Machine) Snapshot() *Snapshot {
	s := &Snapshot{
		progress:  m.progress,
		directory: m.directory,
		usage:     slices.Clone(m.usage.byTenant),
		days:      slices.Clone(m.usage.days), // days that are over never change
		audit:     m.audit.entries,
		locks:     m.locks.snapshot(),
		events:    m.events.all.Clone(),
		stored:    m.stored.capture(),
	}
	for _, sl := range m.records.slabs.all {
		chunks := sl.chunks[sl.sweptChunks:]
		captured := slabSnapshot{chunks: make([]chunkSnapshot, len(chunks)), dead: sl.dead}
		for i, number := range chunks {
			captured.chunks[i] = chunkSnapshot{number, m.records.chunks[number].data}
		}
		s.slabs = append(s.slabs, captured)
	}
	return s
}

// Index is the log index of the last entry in the snapshot.
func (s *Snapshot) Index() uint64 { return s.index }

// Summary describes the snapshot. Records and RecordBytes are not counted here and are 0.
func (s *Snapshot) Summary() Summary {
	sum := summarize(s.progress, s.directory)
	sum.Locks = s.locks.count
	return sum
}

// Write writes the snapshot's sections to w, which it does not close.
func (s *Snapshot) Write(w *snapshot.Writer) error {
	f := s.directory.form()
	for _, section := range []struct {
		id    snapshot.SectionID
		write func(*snapshot.Writer, form) error
	}{
		{sectionState, s.writeState},
		{sectionTenants, s.writeTenants},
		{sectionKeys, s.writeKeys},
		{sectionUsage, s.writeUsage},
		{sectionLocks, s.writeLocks},
		{sectionRecords, s.writeRecords},
		{sectionMembers, s.writeMembers},
		{sectionPlans, s.writePlans},
		{sectionUsageDays, s.writeUsageDays},
		{sectionAudit, s.writeAudit},
		{sectionSources, s.writeSources},
		{sectionEvents, s.writeEvents},
		{sectionStored, s.writeStored},
	} {
		if section.id > f.lastSection() {
			break
		}
		if err := w.Begin(section.id, f.of(section.id)); err != nil {
			return fmt.Errorf("begin section %d: %w", section.id, err)
		}
		if err := section.write(w, f); err != nil {
			return fmt.Errorf("write section %d: %w", section.id, err)
		}
	}
	return nil
}

func (s *Snapshot) writeState(w *snapshot.Writer, f form) error {
	return w.Append(encodeState(s.progress, s.directory, f))
}

func (s *Snapshot) writeTenants(w *snapshot.Writer, f form) error {
	for _, t := range s.directory.tenants {
		if err := w.Append(encodeTenant(t, f.of(sectionTenants))); err != nil {
			return err
		}
	}
	return nil
}

func (s *Snapshot) writeKeys(w *snapshot.Writer, f form) error {
	for _, t := range s.directory.tenants {
		for _, k := range s.directory.byTen[t.ID] {
			if err := w.Append(encodeKey(k, f.of(sectionKeys))); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Snapshot) writeUsage(w *snapshot.Writer, _ form) error {
	for i, u := range s.usage {
		if err := w.Append(encodeUsage(TenantID(i+1), u)); err != nil {
			return err
		}
	}
	return nil
}

func (s *Snapshot) writeLocks(w *snapshot.Writer, _ form) error {
	var b []byte
	for l := range s.locks.all {
		b = appendLock(b[:0], &l)
		if err := w.Append(b); err != nil {
			return err
		}
	}
	return nil
}

func (s *Snapshot) writeMembers(w *snapshot.Writer, _ form) error {
	for _, x := range s.directory.Members() {
		if err := w.Append(encodeMember(x)); err != nil {
			return err
		}
	}
	return nil
}

func (s *Snapshot) writePlans(w *snapshot.Writer, f form) error {
	for _, p := range s.directory.plans {
		if err := w.Append(appendPlan(nil, p, f.of(sectionPlans) >= 2)); err != nil {
			return err
		}
	}
	return nil
}

func (s *Snapshot) writeUsageDays(w *snapshot.Writer, _ form) error {
	for i := range s.days {
		for _, u := range s.days[i].between(0, math.MaxInt32, DayOf(s.clockMs)) {
			if err := w.Append(encodeDay(TenantID(i+1), &u)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Snapshot) writeAudit(w *snapshot.Writer, _ form) error {
	for _, e := range s.audit {
		if err := w.Append(e); err != nil {
			return err
		}
	}
	return nil
}

func (s *Snapshot) writeSources(w *snapshot.Writer, _ form) error {
	for _, t := range s.directory.tenants {
		for _, source := range s.directory.sourcesByTenant[t.ID] {
			if err := w.Append(appendSource(nil, source)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Snapshot) writeEvents(w *snapshot.Writer, _ form) (err error) {
	var b []byte
	s.events.Ascend(func(e *Event) bool {
		b = appendEvent(b[:0], e)
		err = w.Append(b)
		return err == nil
	})
	return err
}

func (s *Snapshot) writeStored(w *snapshot.Writer, _ form) error {
	for i, t := range s.stored {
		if b := encodeStored(TenantID(i+1), t, s.clockMs); b != nil {
			if err := w.Append(b); err != nil {
				return err
			}
		}
	}
	return nil
}

// writeRecords writes the records that can still be found: neither expired nor deleted.
func (s *Snapshot) writeRecords(w *snapshot.Writer, _ form) error {
	for _, sl := range s.slabs {
		var dead map[position]bool
		if len(sl.dead) > 0 {
			dead = make(map[position]bool, len(sl.dead))
		}
		for _, p := range sl.dead {
			dead[p] = true
		}
		for _, c := range sl.chunks {
			if err := s.writeChunk(w, c, dead); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Snapshot) writeChunk(w *snapshot.Writer, c chunkSnapshot, dead map[position]bool) error {
	for offset := 0; offset < len(c.data); {
		r := slabRecord(c.data[offset:])
		r = r[:binary.LittleEndian.Uint32(r)]
		if r.expiresAtMs() > s.clockMs && !dead[at(c.number, offset)] {
			if err := w.Append(r); err != nil {
				return err
			}
		}
		offset += len(r)
	}
	return nil
}
