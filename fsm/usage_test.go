package fsm

import (
	"testing"
	"time"
)

func TestUsageMonths(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name        string
		last        string // the last instant of a month
		month, next Month
		following   string // the first instant of the month after the next
	}{
		{"30 days", "2026-11-30T23:59:59.999Z", 202611, 202612, "2027-01-01T00:00:00Z"},
		{"December", "2026-12-31T23:59:59.999Z", 202612, 202701, "2027-02-01T00:00:00Z"},
		{"January", "2027-01-31T23:59:59.999Z", 202701, 202702, "2027-03-01T00:00:00Z"},
		{"common February", "2027-02-28T23:59:59.999Z", 202702, 202703, "2027-04-01T00:00:00Z"},
		{"leap February", "2028-02-29T23:59:59.999Z", 202802, 202803, "2028-04-01T00:00:00Z"},
		{"century February", "2100-02-28T23:59:59.999Z", 210002, 210003, "2100-04-01T00:00:00Z"},
		{"400-year February", "2400-02-29T23:59:59.999Z", 240002, 240003, "2400-04-01T00:00:00Z"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			last := instant(t, tt.last)
			j := limitedJournal(t, last-5, 2)
			refusedUntil := func(ms int64) Result { return Result{Outcome: UsageLimitExceeded, Limit: 2, ResetAtMs: ms} }

			j.grant(last - 1)
			j.grant(last)
			j.wantUsage(tt.month, 2)
			wantResult(t, "last instant", j.next(last), refusedUntil(last+1))
			j.grant(last + 1)
			j.wantUsage(tt.next, 1)
			wantResult(t, "stamp behind the clock", j.next(last), granted(tok(1), 4, last+1+leaseMs))
			wantResult(t, "next month is full", j.next(last+1), refusedUntil(instant(t, tt.following)))
		})
	}
}

// Usage of a month ends with it even if nobody claims anything for a long time.
func TestUsageOfAnIdleTenant(t *testing.T) {
	t.Parallel()
	j := limitedJournal(t, noon2026, 1)
	j.grant(noon2026)
	j.advance(instant(t, "2027-11-30T23:59:59.999Z"))
	j.wantUsage(202711, 0)
	j.grant(noon2026)
	j.wantUsage(202711, 1)
}

func TestUsageIsPerTenant(t *testing.T) {
	t.Parallel()
	j := limitedJournal(t, noon2026, 1)
	j.apply(noon2026, CreateTenant{PublicID: "ten_2", Slug: "umbrella", MonthlyClaims: 1})
	j.grant(noon2026)
	c := claimBy("a", tok(1))
	c.ID.Tenant = 2
	wantResult(t, "another tenant", j.apply(noon2026, c), granted(tok(1), 2, noon2026+leaseMs))
	for tenant := TenantID(1); tenant <= 2; tenant++ {
		if _, claims := j.m.Usage(tenant); claims != 1 {
			t.Errorf("tenant %d used %d, want 1", tenant, claims)
		}
	}
	if _, claims := j.m.Usage(3); claims != 0 {
		t.Errorf("a tenant that does not exist used %d", claims)
	}
}

// Only a grant counts and only a grant is refused: with the month used up everything else works on.
func TestUsageCountsGrantsOnly(t *testing.T) {
	t.Parallel()
	j := limitedJournal(t, noon2026, 1)
	j.apply(noon2026, claimBy("a", tok(1)))
	steps := []struct {
		name string
		cmd  Command
		want Outcome
	}{
		{"re-entry", claimBy("a", tok(2)), Granted},
		{"in progress", claimBy("b", tok(2)), InProgress},
		{"renew", Renew{ID: recordID("k"), Token: tok(1), KeepLease: true}, Renewed},
		{"complete", completeWith(tok(1), `1`), Stored},
		{"replay", claimBy("b", tok(2)), Cached},
		{"delete", Delete{ID: recordID("k")}, Deleted},
		{"a new grant", claimBy("b", tok(2)), UsageLimitExceeded},
	}
	for _, s := range steps {
		if got := j.apply(noon2026, s.cmd); got.Outcome != s.want {
			t.Errorf("%s: %+v, want outcome %d", s.name, got, s.want)
		}
		j.wantUsage(202611, 1)
	}
}

// A take-over that is refused for usage leaves the lapsed lock to its holder.
func TestUsageRefusesTakeOver(t *testing.T) {
	t.Parallel()
	j := limitedJournal(t, noon2026, 1)
	j.apply(noon2026, claimBy("a", tok(1)))
	if got := j.apply(noon2026+leaseMs, claimBy("b", tok(2))); got.Outcome != UsageLimitExceeded {
		t.Fatalf("take-over: %+v, want UsageLimitExceeded", got)
	}
	if got := j.apply(noon2026+leaseMs, completeWith(tok(1), `1`)); got.Outcome != Stored {
		t.Errorf("late PUT of the holder: %+v, want Stored", got)
	}
}

// A limit takes effect at once; one below what is used already refuses until the month is over.
func TestUsageLimitChanges(t *testing.T) {
	t.Parallel()
	j := limitedJournal(t, noon2026, 0)
	for range 5 {
		j.grant(noon2026)
	}
	j.apply(noon2026, UpdateTenant{Tenant: 1, SetMonthlyClaims: true, MonthlyClaims: 3})
	want := Result{Outcome: UsageLimitExceeded, Limit: 3, ResetAtMs: instant(t, "2026-12-01T00:00:00Z")}
	wantResult(t, "lowered", j.next(noon2026), want)
	j.apply(noon2026, UpdateTenant{Tenant: 1, SetMonthlyClaims: true, MonthlyClaims: 6})
	j.grant(noon2026)
	want.Limit = 6
	wantResult(t, "raised by what is left", j.next(noon2026), want)
	j.wantUsage(202611, 6)
}

func TestClaimOfUnknownTenant(t *testing.T) {
	t.Parallel()
	j := newJournal(t)
	c := claimBy("a", tok(1))
	c.ID.Tenant = 2
	wantResult(t, "claim", j.apply(noon2026, c), Result{Outcome: NotFound})
}

// limited is a journal whose tenant has a monthly limit; each claim is of another key.
type limited struct {
	*journal
	keys int
}

func limitedJournal(t *testing.T, stampMs, limit int64) *limited {
	t.Helper()
	j := &limited{journal: &journal{tb: t, m: New(testConfig())}}
	j.apply(stampMs, CreateTenant{PublicID: "ten_1", Slug: "acme", MonthlyClaims: limit})
	return j
}

func (j *limited) next(stampMs int64) Result {
	j.tb.Helper()
	j.keys++
	c := claimBy("a", tok(1))
	c.ID = recordID("key " + string(rune('a'+j.keys)))
	return j.apply(stampMs, c)
}

func (j *limited) grant(stampMs int64) {
	j.tb.Helper()
	if got := j.next(stampMs); got.Outcome != Granted {
		j.tb.Fatalf("claim %d: %+v, want a grant", j.keys, got)
	}
}

func (j *limited) wantUsage(month Month, claims int64) {
	j.tb.Helper()
	if m, c := j.m.Usage(1); m != month || c != claims {
		j.tb.Errorf("usage is %d in %d, want %d in %d", c, m, claims, month)
	}
}

func instant(t *testing.T, text string) int64 {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatal(err)
	}
	return at.UnixMilli()
}
