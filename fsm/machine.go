package fsm

import (
	"fmt"
	"hash/maphash"
)

// Bounds of one entry's housekeeping and of the directory.
const (
	// MaxReapPerEntry is how many expired locks and records one entry removes at most.
	MaxReapPerEntry = 64
	// MaxTenants and MaxKeysPerTenant bound the directory, which every node keeps whole in memory.
	// A tenant's revoked keys are listed until their places are needed.
	MaxTenants       = 10_000
	MaxKeysPerTenant = 100
	// MaxMembers bounds the members that are not retired.
	MaxMembers = 64
	// MaxRetiredMembers is how many retired members are remembered. The one that was retired first is forgotten first.
	MaxRetiredMembers = 1_024
)

// Config is what a Machine needs from its surroundings.
type Config struct {
	// HashSeed, which must come from maphash.MakeSeed, spreads record keys over the index. It differs from process to
	// process and has no effect on any result.
	HashSeed maphash.Seed
}

// Machine is the state. See the package comment for what may be used concurrently.
type Machine struct {
	progress
	directory *Directory
	usage     usageTable
	audit     auditLog
	hasher    *hasher
	locks     *lockTable
	records   *recordStore
	events    *eventStore
	overlaps  *signingOverlaps
	stored    storedBytes
	keyBuf    []byte
}

// progress is how far the state has come.
type progress struct {
	clockMs int64 // the committed clock: the largest stamp applied
	index   uint64
	term    uint64
	epoch   uint64 // see RaiseEpoch
	grants  uint64 // in this epoch
	digest  uint64
	// acceptedEvents counts them since the cluster began; the last one's is the Seq of its id.
	acceptedEvents uint64
}

// New returns the empty state of a new cluster.
func New(cfg Config) *Machine {
	h := newHasher(cfg.HashSeed)
	return &Machine{
		progress:  progress{epoch: 1},
		directory: newDirectory(),
		hasher:    h,
		locks:     newLockTable(h),
		records:   newRecordStore(h),
		events:    newEventStore(),
		overlaps:  newSigningOverlaps(),
	}
}

// Apply applies one log entry and returns a result for each of its commands. An error means that the entry could not
// be read, by damage (ErrMalformed) or age of this build (ErrUnsupported), or raises the feature level above this
// build's (ErrUnsupported); then nothing of it was applied, and the caller must not go on to the next one.
//
// The entry comes without its commands, which were applied from the bytes. Nothing that is returned or kept aliases data,
// but for the commands of Entry.Decode.
func (m *Machine) Apply(index, term uint64, data []byte) (Entry, []Result, error) {
	e, err := readEntry(data, checkApplicable)
	if err != nil {
		return Entry{}, nil, fmt.Errorf("log entry %d of term %d: %w", index, term, err)
	}
	m.index, m.term = index, term
	m.clockMs = max(m.clockMs, e.StampMs)
	results := make([]Result, e.count)
	rest := e.frames
	for i := range results {
		var frame []byte
		frame, rest = splitFrame(rest)
		m.apply(frame, &results[i])
		m.digest = chainDigest(m.digest, m.clockMs, frame, &results[i])
	}
	m.reap(MaxReapPerEntry)
	return e, results, nil
}

// apply applies a command that checkApplicable accepted. The result is filled in at r, which is zero.
func (m *Machine) apply(frame []byte, r *Result) {
	d := decoder{b: frame[commandHeaderBytes:], version: frame[1]}
	switch kind := CommandType(frame[0]); kind {
	case TypeClaim:
		c := d.claim()
		m.claim(&c, r)
	case TypeComplete:
		c := d.complete()
		m.complete(&c, r)
	case TypeRenew:
		m.renew(d.renew(), r)
	case TypeRelease:
		m.release(d.release(), r)
	case TypeDelete:
		m.delete(d.recordID(), r)
	default:
		*r = m.control(decodePayload(kind, &d))
	}
}

// control applies a command of the control plane, and notes in the audit log what it has changed.
func (m *Machine) control(cmd Command) Result {
	by := clusterActor
	if a, ok := cmd.(Audited); ok {
		by, cmd = a.By, a.Command
	}
	before := m.directory
	r := m.change(cmd)
	m.note(by, cmd, before, &r)
	return r
}

func (m *Machine) change(cmd Command) Result {
	switch c := cmd.(type) {
	case Init:
		return m.init(c)
	case Establish:
		return m.establish(c)
	case RaiseFeatureLevel:
		return m.raiseFeatureLevel(c)
	case AdmitMember:
		return m.admitMember(c)
	case RetireMember:
		return m.retireMember(c)
	case CreateTenant:
		return m.createTenant(c)
	case UpdateTenant:
		return m.updateTenant(c)
	case CreateKey:
		return m.createKey(c)
	case RevokeKey:
		return m.revokeKey(c)
	case PutPlan:
		return m.putPlan(c)
	case DeletePlan:
		return m.deletePlan(c)
	case Tally:
		return m.tally(c)
	}
	return m.changeWebhooks(cmd)
}

// changeWebhooks is change for what has to do with webhooks.
func (m *Machine) changeWebhooks(cmd Command) (r Result) {
	switch c := cmd.(type) {
	case PutDataKey:
		return m.putDataKey(c)
	case PutSource:
		return m.putSource(c)
	case DeleteSource:
		return m.deleteSource(c)
	case AcceptEvent:
		m.acceptEvent(&c, &r)
		return r
	case ReportAttempt:
		return m.reportAttempt(&c)
	case ReplayEvents:
		return m.replayEvents(c)
	case IgnoreEvents:
		return m.ignoreEvents(c)
	}
	panic(fmt.Sprintf("fsm: decoded a command of type %T that cannot be applied", cmd))
}

// init gives the cluster its identity, once.
func (m *Machine) init(c Init) Result {
	if m.directory.ClusterID != "" {
		return Result{Outcome: Conflict}
	}
	d := m.directory.clone()
	d.ClusterID, d.KeyHashSecret = c.ClusterID, c.KeyHashSecret
	m.directory = d
	return Result{Outcome: OK}
}

// establish opens a leader's term: whoever holds a live lease gets time to reach the new leader. It visits every
// lock, which is affordable because leaders change seldom.
func (m *Machine) establish(c Establish) Result {
	longer := c.GraceMs + max(0, c.ClockMs-m.clockMs)
	before := m.clockMs
	m.clockMs = max(m.clockMs, c.ClockMs)
	m.locks.extend(longer, before, m.clockMs)
	return Result{Outcome: OK}
}

// reap removes what has expired. Of locks and records that changes no answer: expiry is judged on the clock wherever one is
// looked up, so it does not matter that a node which was restored from a snapshot has others to remove. Answers show which
// events and previous signing secrets there are, so how many of those go depends on nothing else that is removed.
func (m *Machine) reap(limit int) {
	limit -= m.locks.reap(m.clockMs, limit)
	m.records.reap(m.clockMs, limit)
	m.sweepEvents(maxSweptPerEntry)
	m.sweepPreviousSecrets(maxSweptPerEntry)
}

// ReapDueMs returns the committed-clock instant from which an entry, even an empty one, finds housekeeping to do; ok is
// false while there is none to wait for. What was due may be gone by then, when locks were completed or released.
func (m *Machine) ReapDueMs() (dueMs int64, ok bool) {
	note := func(atMs int64, any bool) {
		if any && (!ok || atMs < dueMs) {
			dueMs, ok = atMs, true
		}
	}
	locks, _, anyLock := m.locks.buckets.first()
	note(locks, anyLock)
	records, _, anyRecord := m.records.slabs.first()
	note(records, anyRecord)
	if e, any := m.events.sweeps.Min(); any {
		note(e.SweepAtMs, true)
	}
	if s, any := m.overlaps.Min(); any {
		note(s.Previous.EndsAtMs, true)
	}
	return dueMs, ok
}

// Index is the log index of the last entry applied.
func (m *Machine) Index() uint64 { return m.index }

// Term is the term of the last entry applied.
func (m *Machine) Term() uint64 { return m.term }

// ClockMs is the committed clock in Unix milliseconds.
func (m *Machine) ClockMs() int64 { return m.clockMs }

// Digest is a rolling hash over every command applied since the cluster began and its result. Two machines that
// applied the same entries have the same digest; if they differ at the same index, one of them is damaged.
func (m *Machine) Digest() uint64 { return m.digest }

// Directory returns tenants, keys and members. The Directory may be kept and read beside Apply.
func (m *Machine) Directory() *Directory { return m.directory }

// Locks is the number of locks kept, lapsed ones included.
func (m *Machine) Locks() int { return m.locks.len() }

// Records is the number of completed records kept, expired ones that were not removed yet included.
func (m *Machine) Records() int { return m.records.len() }
