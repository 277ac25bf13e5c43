package fsm

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/syllecta/syllecta/snapshot"
)

// Restore reads a machine from a snapshot. It builds a new one and returns it only when the snapshot was read and
// verified to its end, so a bad snapshot never replaces anything. Errors wrap ErrMalformed, ErrUnsupported (also for a
// feature level above this build's) or those of package snapshot.
func Restore(cfg Config, r *snapshot.Reader) (*Machine, error) {
	m := New(cfg)
	loader := recordLoader{store: m.records}
	s := sectionReader{m: m, takeLock: m.takeLock, takeRecord: func(r slabRecord) error {
		loader.nowMs = m.clockMs
		return loader.add(r)
	}}
	err := s.readAll(r)
	if err == nil {
		err = loader.link()
	}
	if err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	return m, nil
}

func (m *Machine) takeLock(l *lock) error {
	key := m.hasher.key(l.key)
	if m.locks.find(key) != 0 {
		return fmt.Errorf("%w: lock twice", ErrMalformed)
	}
	m.locks.put(key, l, 0, m.clockMs)
	return nil
}

// sectionReader decodes the sections of a snapshot. What is bounded (state, tenants, keys, usage, members) goes into m;
// locks and records, of which there may be any number, go to whoever reads.
type sectionReader struct {
	m          *Machine
	takeLock   func(*lock) error
	takeRecord func(slabRecord) error
	verifyOnly bool // keep neither the days that are over, nor the audit log, nor events

	lastEvent *Event

	form    form               // of the state section, once begun
	states  int                // records of the state section
	last    snapshot.SectionID // the section that was begun last
	version uint16             // of that section
}

// readAll reads a snapshot to its verified end.
func (s *sectionReader) readAll(r *snapshot.Reader) error {
	return s.eachSection(r, func(section snapshot.Section) error {
		return eachRecord(r, func(b []byte) error { return s.read(section.ID, b) })
	})
}

// eachSection calls visit for every section but foreign ones, and returns nil if they are complete and in order.
func (s *sectionReader) eachSection(r *snapshot.Reader, visit func(snapshot.Section) error) error {
	for {
		section, err := r.Next()
		if errors.Is(err, io.EOF) {
			return s.complete()
		}
		if err != nil {
			return err
		}
		if section.ID >= SectionForeign {
			continue
		}
		if err := s.begin(section); err != nil {
			return err
		}
		if err := visit(section); err != nil {
			return fmt.Errorf("section %d: %w", section.ID, err)
		}
	}
}

func eachRecord(r *snapshot.Reader, visit func(b []byte) error) error {
	for {
		b, err := r.Record()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := visit(b); err != nil {
			return err
		}
	}
}

func (s *sectionReader) begin(section snapshot.Section) error {
	newest := form4.of(section.ID)
	if section.ID == sectionState {
		s.form = form(section.Version)
	}
	switch {
	case section.ID < sectionState || section.ID > sectionStored:
		return fmt.Errorf("%w: section %d", ErrUnsupported, section.ID)
	case section.Version < 1 || section.Version > newest:
		return fmt.Errorf("%w: version %d of section %d", ErrUnsupported, section.Version, section.ID)
	case section.Version > s.form.of(section.ID):
		return fmt.Errorf("%w: version %d of section %d in form %d", ErrMalformed, section.Version, section.ID, s.form)
	case section.ID != s.last+1:
		return fmt.Errorf("%w: section %d behind section %d", ErrMalformed, section.ID, s.last)
	}
	if section.ID == sectionPlans {
		s.m.directory.plans = nil // those that are built in are there, too
	}
	s.last, s.version = section.ID, section.Version
	return nil
}

func (s *sectionReader) complete() error {
	if s.states != 1 || s.last != s.form.lastSection() {
		return fmt.Errorf("%w: it ends after section %d", ErrMalformed, s.last)
	}
	for _, t := range s.m.directory.tenants {
		if !s.m.directory.hasPlan(t.Plan) {
			return fmt.Errorf("%w: tenant of no plan", ErrMalformed)
		}
	}
	return nil
}

// read decodes one record of a section.
func (s *sectionReader) read(id snapshot.SectionID, b []byte) error {
	d := &decoder{b: b}
	switch id {
	case sectionState:
		return s.readState(d)
	case sectionTenants:
		return s.readTenant(d)
	case sectionKeys:
		return s.readKey(d)
	case sectionUsage:
		return s.readUsage(d)
	case sectionLocks:
		return s.readLock(d)
	case sectionRecords:
		return s.readRecord(d)
	case sectionMembers:
		return s.readMember(d)
	case sectionPlans:
		return s.readPlan(d)
	case sectionUsageDays:
		return s.readDay(d)
	case sectionAudit:
		return s.readAuditEntry(b)
	case sectionSources:
		return s.readSource(d)
	case sectionEvents:
		return s.readEvent(d)
	default:
		return s.readStored(d)
	}
}

func (s *sectionReader) readState(d *decoder) error {
	m := s.m
	if s.states++; s.states > 1 {
		return fmt.Errorf("%w: state twice", ErrMalformed)
	}
	m.clockMs = d.integer(0, MaxStampMs, "clock")
	for _, v := range []*uint64{&m.index, &m.term, &m.epoch, &m.grants, &m.digest} {
		*v = d.uvarint("state")
	}
	if m.epoch < 1 || m.epoch > maxEpoch || m.grants >= 1<<grantBits {
		d.fail("epoch or grants")
	}
	m.directory.ClusterID = d.string(0, MaxNameBytes, "cluster id")
	m.directory.KeyHashSecret = d.hash()
	if s.form >= form2 {
		m.directory.FeatureLevel = d.featureLevel()
		m.directory.FeatureVersion = d.string(0, MaxNameBytes, "feature version")
	}
	if s.form >= form4 {
		m.directory.lastSource, m.acceptedEvents = d.sourceID(), d.uvarint("events")
	}
	if m.directory.FeatureLevel == 1 && m.directory.FeatureVersion != "" {
		d.fail("feature version")
	}
	if err := d.finish(); err != nil {
		return err
	}
	return checkFeatureLevel(m.directory.FeatureLevel, m.directory.FeatureVersion)
}

func (s *sectionReader) readTenant(d *decoder) error {
	t := &Tenant{
		ID:            d.tenant(),
		PublicID:      d.string(1, MaxNameBytes, "tenant id"),
		Slug:          d.string(1, MaxSlugBytes, "slug"),
		Name:          d.string(0, MaxNameBytes, "name"),
		MonthlyClaims: d.integer(0, math.MaxInt64, "monthly claims"),
		CreatedAtMs:   d.integer(0, math.MaxInt64, "created"),
	}
	if s.version >= 2 {
		t.Plan, t.Suspended = d.string(0, MaxSlugBytes, "plan"), d.bool("suspended")
		if t.Plan == UnlimitedPlan {
			d.fail("plan") // it is written as ""
		}
	}
	if s.version >= 3 {
		t.PayloadPolicy = PayloadPolicy(d.small(0, byte(payloadPolicyEnd), "payload policy"))
		t.DataKey = d.string(0, MaxDataKeyBytes, "data key")
	}
	if err := d.finish(); err != nil {
		return err
	}
	dir := s.m.directory
	switch {
	case int(t.ID) != len(dir.tenants)+1:
		return fmt.Errorf("%w: tenant out of order", ErrMalformed)
	case dir.TenantByName(t.Slug) != nil || dir.TenantByName(t.PublicID) != nil:
		return fmt.Errorf("%w: two tenants of one name", ErrMalformed)
	}
	dir.setTenant(t)
	return nil
}

func (s *sectionReader) readKey(d *decoder) error {
	k := &APIKey{
		Tenant:      d.tenant(),
		PublicID:    d.string(1, MaxNameBytes, "key id"),
		Name:        d.string(0, MaxNameBytes, "name"),
		Hash:        d.hash(),
		Hint:        d.string(0, MaxNameBytes, "hint"),
		CreatedAtMs: d.integer(0, math.MaxInt64, "created"),
		RevokedAtMs: d.integer(0, math.MaxInt64, "revoked"),
	}
	if s.version >= 2 {
		k.Scopes = d.scopes()
		k.ExpiresAtMs = d.integer(0, MaxStampMs, "expires")
		k.LastUsedMs = d.integer(0, MaxStampMs, "used")
	}
	if err := d.finish(); err != nil {
		return err
	}
	dir := s.m.directory
	switch {
	case dir.Tenant(k.Tenant) == nil:
		return fmt.Errorf("%w: key of no tenant", ErrMalformed)
	case dir.KeyByHash(k.Hash) != nil || dir.key(k.Tenant, k.PublicID) != nil:
		return fmt.Errorf("%w: key twice", ErrMalformed)
	case len(dir.Keys(k.Tenant)) >= MaxKeysPerTenant:
		return fmt.Errorf("%w: too many keys of a tenant", ErrMalformed)
	}
	dir.setKey(k)
	return nil
}

func (s *sectionReader) readUsage(d *decoder) error {
	tenant := d.tenant()
	month := Month(d.integer(0, math.MaxInt32, "month"))
	claims := d.integer(0, maxCount, "claims")
	if d.err == nil && (int(tenant) != len(s.m.usage.byTenant)+1 || s.m.directory.Tenant(tenant) == nil) {
		d.fail("usage out of order or of no tenant")
	}
	if err := d.finish(); err != nil {
		return err
	}
	s.m.usage.set(tenant, month, claims)
	return nil
}

func (s *sectionReader) readPlan(d *decoder) error {
	p := d.plan(s.version >= 2)
	if err := d.finish(); err != nil {
		return err
	}
	dir := s.m.directory
	switch {
	case dir.Plan(p.Name) != nil:
		return fmt.Errorf("%w: plan twice", ErrMalformed)
	case len(dir.plans) >= MaxPlans:
		return fmt.Errorf("%w: too many plans", ErrMalformed)
	}
	dir.setPlan(&p)
	return nil
}

// readDay reads a tenant's day, which comes behind those before it.
func (s *sectionReader) readDay(d *decoder) error {
	tenant := d.tenant()
	day := Day(min(d.uvarint("day"), math.MaxInt32))
	u := DayUsage{Day: day}
	for d.err == nil && len(d.b) > 0 {
		x := d.meter()
		if n := d.integer(1, maxCount, "count"); u.counts[x-1] == 0 {
			u.counts[x-1] = n
		} else {
			d.fail("meter twice")
		}
	}
	if d.err == nil && (s.m.directory.Tenant(tenant) == nil || !u.any() || day > DayOf(s.m.clockMs)) {
		d.fail("day of no tenant, without counts, or to come")
	}
	if err := d.finish(); err != nil {
		return err
	}
	c := s.m.usage.tenant(tenant)
	if c.today.any() && c.today.Day >= day {
		return fmt.Errorf("%w: day out of order", ErrMalformed)
	}
	if !s.verifyOnly {
		c.turn(day)
	}
	c.today = u
	return nil
}

func (s *sectionReader) readAuditEntry(b []byte) error {
	l := &s.m.audit
	if err := l.follow(b); err != nil {
		return err
	}
	if !s.verifyOnly {
		l.entries = append(l.entries, bytes.Clone(b))
	}
	return nil
}

func (s *sectionReader) readLock(d *decoder) error {
	l := &lock{
		key:         d.bytes(storeKeyHeaderBytes+1, maxStoreKeyBytes, "lock key"),
		token:       d.token(),
		fence:       d.uvarint("fence"),
		owner:       d.bytes(1, MaxOwnerBytes+OwnerPrefixBytes, "owner"),
		fingerprint: d.bytes(0, MaxFingerprintBytes, "fingerprint"),
		leaseMs:     d.lease(),
		leaseEndMs:  d.integer(0, maxInstantMs, "lease end"),
		createdAtMs: d.integer(0, maxInstantMs, "created"),
		ttlMs:       d.integer(1, MaxTTLMs, "ttl"),
	}
	if _, ok := splitStoreKey(string(l.key)); !ok {
		d.fail("lock key")
	}
	if l.fence > s.m.lastFence() {
		d.fail("fence that was never granted")
	}
	if err := d.finish(); err != nil {
		return err
	}
	return s.takeLock(l)
}

func (s *sectionReader) readRecord(d *decoder) error {
	r := slabRecord(d.b)
	if !r.valid() {
		return fmt.Errorf("%w: record", ErrMalformed)
	}
	return s.takeRecord(r)
}

func (s *sectionReader) readMember(d *decoder) error {
	x := &Member{
		NodeID:       d.nodeID(),
		DiskID:       d.diskID(),
		NonVoter:     d.bool("non-voter"),
		AdmittedAtMs: d.integer(0, math.MaxInt64, "admitted"),
		RetiredAtMs:  d.integer(0, math.MaxInt64, "retired"),
	}
	if err := d.finish(); err != nil {
		return err
	}
	return s.m.directory.load(x)
}
