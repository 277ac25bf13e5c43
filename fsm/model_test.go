package fsm

import (
	"bytes"
	"fmt"
	"math"
	"time"
)

// model is the record's life in the plainest form: one map, one clock, nothing encoded, nothing removed ahead of need.
// The random histories compare the machine with it.
type model struct {
	now     int64
	fence   uint64
	tenants map[TenantID]*Tenant
	used    map[TenantID]map[string]int64 // grants by month, "2026-11"
	records map[RecordID]*modelRecord
	// members in order of admission, retired in order of retirement
	members, retired []Member
	level            uint32
	version          string
	control          modelControl
}

// modelRecord is a lock, or the record that took its place. An endless lease ends at math.MaxInt64.
type modelRecord struct {
	owner, fingerprint               string
	token                            Token
	fence                            uint64
	leaseMs, leaseEnd, created, life int64
	completed                        *Record
}

func (o *model) find(id RecordID) *modelRecord {
	r := o.records[id]
	if r != nil && o.now >= r.expires() {
		return nil
	}
	return r
}

func (r *modelRecord) expires() int64 {
	if r.completed != nil {
		return r.completed.ExpiresAtMs
	}
	return max(r.leaseEnd, r.created+r.life)
}

// never translates an endless instant into how the machine answers it.
func never(ms int64) int64 {
	if ms == math.MaxInt64 {
		return NeverMs
	}
	return ms
}

func (o *model) remaining(r *modelRecord) int64 {
	if r.leaseEnd == math.MaxInt64 {
		return NeverMs
	}
	return r.leaseEnd - o.now
}

func (o *model) endOf(leaseMs int64) int64 {
	if leaseMs == NeverMs {
		return math.MaxInt64
	}
	return o.now + leaseMs
}

func (o *model) apply(stamp int64, cmd Command) Result {
	o.now = max(o.now, stamp)
	switch c := cmd.(type) {
	case Claim:
		return o.claim(c)
	case Complete:
		return o.complete(c)
	case Renew:
		r := o.find(c.ID)
		if r == nil || r.completed != nil || r.token != c.Token {
			return Result{Outcome: LockLost}
		}
		if !c.KeepLease {
			r.leaseMs = c.LeaseMs
		}
		r.leaseEnd = o.endOf(r.leaseMs)
		return Result{Outcome: Renewed, LeaseMs: r.leaseMs, LeaseEndMs: never(r.leaseEnd)}
	case Release:
		r := o.find(c.ID)
		if r == nil || r.completed != nil {
			return Result{Outcome: OK}
		}
		if r.token != c.Token {
			return Result{Outcome: LockLost}
		}
		delete(o.records, c.ID)
		return Result{Outcome: OK, Existed: true}
	case Delete:
		existed := o.find(c.ID) != nil
		delete(o.records, c.ID)
		return Result{Outcome: Deleted, Existed: existed}
	case Establish:
		still := max(0, c.ClockMs-o.now) // time that the clock missed; nobody's lease ran
		for _, r := range o.records {
			if r.leaseEnd > o.now && r.leaseEnd != math.MaxInt64 {
				r.leaseEnd += c.GraceMs + still
			}
		}
		o.now += still
		return Result{Outcome: OK}
	case Tally:
		return o.tally(c)
	case Audited:
		return o.change(c.Command)
	}
	return o.change(cmd)
}

func (o *model) admit(c AdmitMember) Result {
	for _, gone := range o.retired {
		if gone.NodeID == c.NodeID {
			return Result{Outcome: Conflict, Member: &gone}
		}
	}
	for i, x := range o.members {
		switch {
		case x.NodeID != c.NodeID:
			continue
		case x.DiskID == "" || c.DiskID == x.DiskID:
			x.DiskID = c.DiskID
		case c.DiskID != "":
			return Result{Outcome: Conflict, Member: &x}
		}
		x.NonVoter = c.NonVoter
		o.members[i] = x
		return Result{Outcome: OK, Existed: true, Member: &x}
	}
	if len(o.members) == 64 {
		return Result{Outcome: LimitReached, Limit: 64}
	}
	x := Member{NodeID: c.NodeID, DiskID: c.DiskID, NonVoter: c.NonVoter, AdmittedAtMs: o.now}
	o.members = append(o.members, x)
	return Result{Outcome: OK, Member: &x}
}

func (o *model) retire(c RetireMember) Result {
	for _, gone := range o.retired {
		if gone.NodeID == c.NodeID {
			return Result{Outcome: OK, Member: &gone}
		}
	}
	gone, existed := Member{NodeID: c.NodeID}, false
	for i, x := range o.members {
		if x.NodeID == c.NodeID {
			gone, existed = x, true
			o.members = append(o.members[:i:i], o.members[i+1:]...)
			break
		}
	}
	gone.RetiredAtMs = o.now
	if o.retired = append(o.retired, gone); len(o.retired) > 1024 {
		o.retired = o.retired[1:]
	}
	return Result{Outcome: OK, Existed: existed, Member: &gone}
}

// directory writes out level and members as dumpMembers does, tenants, plans and keys.
func (o *model) directory() string {
	var all []*Member
	for _, list := range [][]Member{o.members, o.retired} {
		for i := range list {
			all = append(all, &list[i])
		}
	}
	return fmt.Sprintf("%d %s\n%s%s", o.level, o.version, dumpMembers(all), o.dumpControl())
}

func (o *model) claim(c Claim) Result {
	r := o.decide(c)
	o.countAnswer(c.ID.Tenant, r)
	return r
}

func (o *model) decide(c Claim) Result {
	r := o.find(c.ID)
	switch {
	case r == nil:
		return o.grant(c)
	case r.fingerprint != "" && c.Fingerprint != "" && r.fingerprint != c.Fingerprint:
		return Result{Outcome: FingerprintMismatch, Fingerprint: r.fingerprint}
	case r.completed != nil:
		return Result{Outcome: Cached, Record: *r.completed}
	case o.now >= r.leaseEnd:
		if c.Fingerprint == "" {
			c.Fingerprint = r.fingerprint
		}
		return o.grant(c)
	case r.owner == c.Owner:
		return Result{Outcome: Granted, Reentered: true, Token: r.token, Fence: r.fence, LeaseMs: o.remaining(r),
			LeaseEndMs: never(r.leaseEnd), Fingerprint: r.fingerprint}
	}
	retry := int64(1500)
	if left := o.remaining(r); left != NeverMs && left < retry {
		retry = left
	}
	return Result{Outcome: InProgress, RetryAfterMs: retry, LeaseRemainingMs: o.remaining(r),
		LeaseEndMs: never(r.leaseEnd), Fingerprint: r.fingerprint}
}

func (o *model) grant(c Claim) Result {
	tenant := o.tenants[c.ID.Tenant]
	if tenant == nil {
		return Result{Outcome: NotFound}
	}
	if tenant.Suspended {
		return Result{Outcome: TenantSuspended}
	}
	limit := tenant.MonthlyClaims
	if limit == 0 && tenant.Plan != "" {
		limit = o.control.plans[tenant.Plan].MonthlyClaims
	}
	today := time.UnixMilli(o.now).UTC()
	month := today.Format("2006-01")
	if o.used[tenant.ID] == nil {
		o.used[tenant.ID] = make(map[string]int64)
	}
	if limit != 0 && o.used[tenant.ID][month] >= limit {
		reset := time.Date(today.Year(), today.Month()+1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
		return Result{Outcome: UsageLimitExceeded, Limit: limit, ResetAtMs: reset}
	}
	o.used[tenant.ID][month]++
	o.fence++
	r := &modelRecord{
		owner: c.Owner, fingerprint: c.Fingerprint, token: c.Token, fence: o.fence,
		leaseMs: c.LeaseMs, leaseEnd: o.endOf(c.LeaseMs), created: o.now, life: c.TTLMs,
	}
	o.records[c.ID] = r
	return Result{Outcome: Granted, Token: r.token, Fence: r.fence, LeaseMs: r.leaseMs, LeaseEndMs: never(r.leaseEnd),
		Fingerprint: r.fingerprint}
}

func (o *model) complete(c Complete) Result {
	r := o.find(c.ID)
	if r != nil && r.completed != nil {
		old := r.completed
		if old.Status != c.Status || !bytes.Equal(old.Headers, c.Headers) || !bytes.Equal(old.Body, c.Body) {
			return Result{Outcome: AlreadyCompleted, Fingerprint: r.fingerprint}
		}
		return Result{Outcome: Stored, ExpiresAtMs: old.ExpiresAtMs, Fingerprint: r.fingerprint}
	}
	if !c.Token.IsZero() && (r == nil || r.token != c.Token) {
		return Result{Outcome: LockLost}
	}
	done := &modelRecord{completed: &Record{
		Status: c.Status, Headers: c.Headers, Body: c.Body, CreatedAtMs: o.now, ExpiresAtMs: o.now + c.TTLMs,
	}}
	if r != nil {
		done.fingerprint, done.completed.Fingerprint = r.fingerprint, r.fingerprint
		if c.InheritTTL {
			done.completed.ExpiresAtMs = o.now + r.life
		}
	}
	o.records[c.ID] = done
	return Result{Outcome: Stored, ExpiresAtMs: done.completed.ExpiresAtMs, Fingerprint: done.fingerprint}
}

func (o *model) view(id RecordID) View {
	r := o.find(id)
	switch {
	case r == nil:
		return View{}
	case r.completed != nil:
		at := r.completed.ExpiresAtMs
		return View{State: StateCompleted, Record: *r.completed, Fingerprint: r.fingerprint, ExpiresAtMs: at, ChangesAtMs: at}
	case o.now < r.leaseEnd:
		return View{State: StateLocked, Fingerprint: r.fingerprint, LeaseRemainingMs: o.remaining(r),
			LeaseEndMs: never(r.leaseEnd), ExpiresAtMs: never(r.expires()), ChangesAtMs: never(r.leaseEnd)}
	default:
		return View{State: StateLapsed, Fingerprint: r.fingerprint, LeaseEndMs: r.leaseEnd, ExpiresAtMs: r.expires(),
			ChangesAtMs: r.expires()}
	}
}
