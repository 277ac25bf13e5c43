package fsm

import (
	"bytes"
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
	case UpdateTenant:
		o.tenants[c.Tenant].MonthlyClaims = c.MonthlyClaims
		updated := *o.tenants[c.Tenant]
		return Result{Outcome: OK, Tenant: &updated}
	}
	panic("the model does not know this command")
}

func (o *model) claim(c Claim) Result {
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
	today := time.UnixMilli(o.now).UTC()
	month := today.Format("2006-01")
	if o.used[tenant.ID] == nil {
		o.used[tenant.ID] = make(map[string]int64)
	}
	if tenant.MonthlyClaims != 0 && o.used[tenant.ID][month] >= tenant.MonthlyClaims {
		reset := time.Date(today.Year(), today.Month()+1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
		return Result{Outcome: UsageLimitExceeded, Limit: tenant.MonthlyClaims, ResetAtMs: reset}
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
