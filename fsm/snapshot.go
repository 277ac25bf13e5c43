package fsm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/syllecta/syllecta/snapshot"
)

// The sections of a snapshot. Numbers are never reused; those from SectionForeign on belong to the machine's owner.
const (
	sectionState snapshot.SectionID = iota + 1
	sectionTenants
	sectionKeys
	sectionUsage
	sectionLocks
	sectionRecords

	// SectionForeign is the first section number that Restore passes over.
	SectionForeign snapshot.SectionID = 64

	sectionVersion = 1

	// maxInstantMs bounds the instants of locks and records in a snapshot, so that none overflows. It lies far beyond
	// MaxStampMs and everything that leases, graces and lifetimes may add to it.
	maxInstantMs = 1 << 53
)

// Snapshot is the state at one log index. It shares the machine's immutable parts, so taking one costs as much as
// copying the list of locks; writing it may run beside Apply.
type Snapshot struct {
	progress
	directory *Directory
	usage     []usage
	locks     []*lock
	slabs     []slabSnapshot
}

// slabSnapshot is a slab as far as it was filled. Chunks are append-only, so what was there does not change.
type slabSnapshot struct {
	chunks []chunkSnapshot
	dead   []position
}

type chunkSnapshot struct {
	id   uint32
	data []byte
}

// Snapshot captures the state.
func (m *Machine) Snapshot() *Snapshot {
	s := &Snapshot{
		progress:  m.progress,
		directory: m.directory,
		usage:     append([]usage(nil), m.usage.byTenant...),
		locks:     make([]*lock, 0, m.Locks()),
	}
	for l := range m.locks.all {
		s.locks = append(s.locks, l)
	}
	for _, sl := range m.records.slabs.all {
		captured := slabSnapshot{dead: sl.dead}
		for _, id := range sl.chunks[sl.sweptChunks:] {
			captured.chunks = append(captured.chunks, chunkSnapshot{id, m.records.chunks[id].data})
		}
		s.slabs = append(s.slabs, captured)
	}
	return s
}

// Index is the log index of the last entry in the snapshot.
func (s *Snapshot) Index() uint64 { return s.index }

// Write writes the snapshot's sections to w, which it does not close.
func (s *Snapshot) Write(w *snapshot.Writer) error {
	for _, section := range []struct {
		id    snapshot.SectionID
		write func(*snapshot.Writer) error
	}{
		{sectionState, s.writeState},
		{sectionTenants, s.writeTenants},
		{sectionKeys, s.writeKeys},
		{sectionUsage, s.writeUsage},
		{sectionLocks, s.writeLocks},
		{sectionRecords, s.writeRecords},
	} {
		if err := w.Begin(section.id, sectionVersion); err != nil {
			return fmt.Errorf("begin section %d: %w", section.id, err)
		}
		if err := section.write(w); err != nil {
			return fmt.Errorf("write section %d: %w", section.id, err)
		}
	}
	return nil
}

func (s *Snapshot) writeState(w *snapshot.Writer) error {
	b := binary.AppendVarint(nil, s.clockMs)
	for _, v := range []uint64{s.index, s.term, s.epoch, s.grants, s.digest} {
		b = binary.AppendUvarint(b, v)
	}
	b = appendString(b, s.directory.ClusterID)
	return w.Append(append(b, s.directory.KeyHashSecret[:]...))
}

func (s *Snapshot) writeTenants(w *snapshot.Writer) error {
	for _, t := range s.directory.tenants {
		b := binary.AppendUvarint(nil, uint64(t.ID))
		b = appendString(b, t.PublicID)
		b = appendString(b, t.Slug)
		b = appendString(b, t.Name)
		b = binary.AppendVarint(b, t.MonthlyClaims)
		if err := w.Append(binary.AppendVarint(b, t.CreatedAtMs)); err != nil {
			return err
		}
	}
	return nil
}

func (s *Snapshot) writeKeys(w *snapshot.Writer) error {
	for _, t := range s.directory.tenants {
		for _, k := range s.directory.byTen[t.ID] {
			b := binary.AppendUvarint(nil, uint64(k.Tenant))
			b = appendString(b, k.PublicID)
			b = appendString(b, k.Name)
			b = append(b, k.Hash[:]...)
			b = appendString(b, k.Hint)
			b = binary.AppendVarint(b, k.CreatedAtMs)
			if err := w.Append(binary.AppendVarint(b, k.RevokedAtMs)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Snapshot) writeUsage(w *snapshot.Writer) error {
	for i, u := range s.usage {
		b := binary.AppendUvarint(nil, uint64(i+1))
		b = binary.AppendVarint(b, int64(u.month))
		if err := w.Append(binary.AppendVarint(b, u.claims)); err != nil {
			return err
		}
	}
	return nil
}

func (s *Snapshot) writeLocks(w *snapshot.Writer) error {
	for _, l := range s.locks {
		b := appendString(nil, l.key)
		b = append(b, l.token[:]...)
		b = binary.AppendUvarint(b, l.fence)
		b = appendString(b, l.owner)
		b = appendString(b, l.fingerprint)
		for _, v := range []int64{l.leaseMs, l.leaseEndMs, l.createdAtMs, l.ttlMs} {
			b = binary.AppendVarint(b, v)
		}
		if err := w.Append(b); err != nil {
			return err
		}
	}
	return nil
}

// writeRecords writes the records that can still be found: neither expired nor deleted.
func (s *Snapshot) writeRecords(w *snapshot.Writer) error {
	for _, sl := range s.slabs {
		dead := make(map[position]bool, len(sl.dead))
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
		if r.expiresAtMs() > s.clockMs && !dead[at(c.id, offset)] {
			if err := w.Append(r); err != nil {
				return err
			}
		}
		offset += len(r)
	}
	return nil
}

// Restore reads a machine from a snapshot. It builds a new one and returns it only when the snapshot was read and
// verified to its end, so a bad snapshot never replaces anything.
func Restore(cfg Config, r *snapshot.Reader) (*Machine, error) {
	m := New(cfg)
	sections := 0
	for {
		section, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("restore: %w", err)
		}
		if section.ID >= SectionForeign {
			continue
		}
		sections++
		if err := m.restoreSection(section, r); err != nil {
			return nil, fmt.Errorf("restore section %d: %w", section.ID, err)
		}
	}
	if sections != int(sectionRecords) {
		return nil, fmt.Errorf("restore: %w: %d sections instead of %d", ErrMalformed, sections, sectionRecords)
	}
	return m, nil
}

func (m *Machine) restoreSection(section snapshot.Section, r *snapshot.Reader) error {
	read := map[snapshot.SectionID]func(*decoder) error{
		sectionState:   m.readState,
		sectionTenants: m.readTenant,
		sectionKeys:    m.readKey,
		sectionUsage:   m.readUsage,
		sectionLocks:   m.readLock,
		sectionRecords: m.readRecord,
	}[section.ID]
	if read == nil || section.Version != sectionVersion {
		return fmt.Errorf("%w: version %d", ErrUnsupported, section.Version)
	}
	for {
		b, err := r.Record()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := read(&decoder{b: b}); err != nil {
			return err
		}
	}
}

func (m *Machine) readState(d *decoder) error {
	m.clockMs = d.integer(0, MaxStampMs, "clock")
	for _, v := range []*uint64{&m.index, &m.term, &m.epoch, &m.grants, &m.digest} {
		*v = d.uvarint("state")
	}
	if m.epoch < 1 || m.epoch > maxEpoch || m.grants >= 1<<grantBits {
		d.fail("epoch or grants")
	}
	m.directory.ClusterID = d.string(0, MaxNameBytes, "cluster id")
	m.directory.KeyHashSecret = d.hash()
	return d.finish()
}

func (m *Machine) readTenant(d *decoder) error {
	t := &Tenant{
		ID:            d.tenant(),
		PublicID:      d.string(1, MaxNameBytes, "tenant id"),
		Slug:          d.string(1, MaxSlugBytes, "slug"),
		Name:          d.string(0, MaxNameBytes, "name"),
		MonthlyClaims: d.integer(0, math.MaxInt64, "monthly claims"),
		CreatedAtMs:   d.integer(0, math.MaxInt64, "created"),
	}
	if d.err == nil && int(t.ID) != len(m.directory.tenants)+1 {
		d.fail("tenant out of order")
	}
	if err := d.finish(); err != nil {
		return err
	}
	m.directory.setTenant(t)
	return nil
}

func (m *Machine) readKey(d *decoder) error {
	k := &APIKey{
		Tenant:      d.tenant(),
		PublicID:    d.string(1, MaxNameBytes, "key id"),
		Name:        d.string(0, MaxNameBytes, "name"),
		Hash:        d.hash(),
		Hint:        d.string(0, MaxNameBytes, "hint"),
		CreatedAtMs: d.integer(0, math.MaxInt64, "created"),
		RevokedAtMs: d.integer(0, math.MaxInt64, "revoked"),
	}
	if err := d.finish(); err != nil {
		return err
	}
	m.directory.setKey(k)
	return nil
}

func (m *Machine) readUsage(d *decoder) error {
	tenant := d.tenant()
	month := Month(d.integer(0, math.MaxInt32, "month"))
	claims := d.integer(0, math.MaxInt64, "claims")
	if err := d.finish(); err != nil {
		return err
	}
	m.usage.set(tenant, month, claims)
	return nil
}

func (m *Machine) readLock(d *decoder) error {
	l := &lock{
		key:         d.string(6, 5+MaxScopeBytes+MaxKeyBytes, "lock key"),
		token:       d.token(),
		fence:       d.uvarint("fence"),
		owner:       d.string(1, MaxOwnerBytes+OwnerPrefixBytes, "owner"),
		fingerprint: d.string(0, MaxFingerprintBytes, "fingerprint"),
		leaseMs:     d.lease(),
		leaseEndMs:  d.integer(0, maxInstantMs, "lease end"),
		createdAtMs: d.integer(0, maxInstantMs, "created"),
		ttlMs:       d.integer(1, MaxTTLMs, "ttl"),
	}
	if _, ok := splitStoreKey(l.key); !ok {
		d.fail("lock key")
	}
	if err := d.finish(); err != nil {
		return err
	}
	m.locks.put(l, m.clockMs)
	return nil
}

func (m *Machine) readRecord(d *decoder) error {
	r := slabRecord(d.b)
	if !r.valid() {
		return fmt.Errorf("%w: record", ErrMalformed)
	}
	m.keyBuf = r.appendStoreKey(m.keyBuf[:0])
	if replaced := m.records.putEncoded(r, m.keyBuf, m.clockMs); replaced {
		return fmt.Errorf("%w: record twice", ErrMalformed)
	}
	return nil
}
