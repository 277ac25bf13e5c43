package fsm

import "testing"

// keyStates brings the record "k" into each of its states; tok(1) held the lock in all of them but absent.
var keyStates = []struct {
	name  string
	reach func(j *journal)
}{
	{"absent", func(*journal) {}},
	{"locked", func(j *journal) { j.apply(noon2026, claimBy("a", tok(1))) }},
	{"lapsed", func(j *journal) {
		j.apply(noon2026, claimBy("a", tok(1)))
		j.advance(noon2026 + leaseMs)
	}},
	{"taken over", func(j *journal) {
		j.apply(noon2026, claimBy("a", tok(1)))
		j.apply(noon2026+leaseMs, claimBy("b", tok(2)))
	}},
	{"completed", func(j *journal) {
		j.apply(noon2026, claimBy("a", tok(1)))
		j.apply(noon2026, completeWith(tok(1), `1`))
	}},
	{"lock expired", func(j *journal) {
		j.apply(noon2026, claimBy("a", tok(1)))
		j.advance(noon2026 + ttlMs)
	}},
	{"record expired", func(j *journal) {
		j.apply(noon2026, claimBy("a", tok(1)))
		j.apply(noon2026, completeWith(tok(1), `1`))
		j.advance(noon2026 + 2*ttlMs)
	}},
}

// inEveryState issues a command in each state and wants the outcome of that state. A refusal must change nothing.
func inEveryState(t *testing.T, cmd Command, want map[string]Result) {
	t.Helper()
	for _, state := range keyStates {
		t.Run(state.name, func(t *testing.T) {
			t.Parallel()
			j := newJournal(t)
			state.reach(j)
			before := dumpRecords(j.m)
			expected, listed := want[state.name]
			if !listed {
				t.Fatalf("no expectation for state %q", state.name)
			}
			if expected.ExpiresAtMs < 0 { // relative to the clock of that state
				expected.ExpiresAtMs = j.m.ClockMs() - expected.ExpiresAtMs
			}
			if expected.LeaseEndMs < 0 {
				expected.LeaseEndMs = j.m.ClockMs() - expected.LeaseEndMs
			}
			got := j.apply(0, cmd)
			wantResult(t, state.name, got, expected)
			refused := got.Outcome == LockLost || got.Outcome == AlreadyCompleted
			if after := dumpRecords(j.m); refused && after != before {
				t.Errorf("refused, yet the state went from\n%s\nto\n%s", before, after)
			}
		})
	}
}

func TestCompleteWithToken(t *testing.T) {
	t.Parallel()
	stored := Result{Outcome: Stored, ExpiresAtMs: -2 * ttlMs}
	inEveryState(t, completeWith(tok(1), `1`), map[string]Result{
		"absent": {Outcome: LockLost}, "locked": stored, "lapsed": stored, "taken over": {Outcome: LockLost},
		"completed": stored, "lock expired": {Outcome: LockLost}, "record expired": {Outcome: LockLost},
	})
}

func TestCompleteWithoutToken(t *testing.T) {
	t.Parallel()
	stored := Result{Outcome: Stored, ExpiresAtMs: -2 * ttlMs}
	inEveryState(t, completeWith(Token{}, `1`), map[string]Result{
		"absent": stored, "locked": stored, "lapsed": stored, "taken over": stored, "completed": stored,
		"lock expired": stored, "record expired": stored,
	})
}

func TestCompleteWithForeignToken(t *testing.T) {
	t.Parallel()
	lost := Result{Outcome: LockLost}
	inEveryState(t, completeWith(tok(9), `2`), map[string]Result{
		"absent": lost, "locked": lost, "lapsed": lost, "taken over": lost, "completed": {Outcome: AlreadyCompleted},
		"lock expired": lost, "record expired": lost,
	})
}

// A second PUT is a retry if status, headers and body are the same bytes, whatever its token and TTL.
func TestCompleteAgain(t *testing.T) {
	t.Parallel()
	same := completeWith(tok(1), `{"a":1}`)
	changed := func(f func(c *Complete)) Complete {
		c := same
		f(&c)
		return c
	}
	tests := []struct {
		name string
		cmd  Complete
		want Outcome
	}{
		{"same", same, Stored},
		{"no token", changed(func(c *Complete) { c.Token = Token{} }), Stored},
		{"outdated token", changed(func(c *Complete) { c.Token = tok(7) }), Stored},
		{"other TTL", changed(func(c *Complete) { c.TTLMs = 1_000 }), Stored},
		{"inherited TTL", changed(func(c *Complete) { c.InheritTTL = true }), Stored},
		{"other status", changed(func(c *Complete) { c.Status = 200 }), AlreadyCompleted},
		{"other headers", changed(func(c *Complete) { c.Headers = []byte(`{}`) }), AlreadyCompleted},
		{"other spacing of headers", changed(func(c *Complete) { c.Headers = []byte(`{"a": "b"}`) }), AlreadyCompleted},
		{"other body", changed(func(c *Complete) { c.Body = []byte(`{"a":2}`) }), AlreadyCompleted},
		{"other spelling of body", changed(func(c *Complete) { c.Body = []byte(`{"a":1.0}`) }), AlreadyCompleted},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			j := newJournal(t)
			j.apply(noon2026, claimBy("a", tok(1)))
			first := j.apply(noon2026, same)
			before := dumpRecords(j.m)
			want := Result{Outcome: tt.want}
			if tt.want == Stored {
				want.ExpiresAtMs = first.ExpiresAtMs
			}
			wantResult(t, tt.name, j.apply(noon2026+9, tt.cmd), want)
			if after := dumpRecords(j.m); after != before {
				t.Errorf("a completed record changed from\n%s\nto\n%s", before, after)
			}
		})
	}
}

// Without headers, a record answers an empty object, and that is what a retry is compared with.
func TestCompleteWithEmptyHeaders(t *testing.T) {
	t.Parallel()
	j := newJournal(t)
	c := completeWith(Token{}, `null`)
	c.Headers = []byte(`{}`)
	j.apply(noon2026, c)
	if got := string(j.m.View(c.ID).Record.Headers); got != `{}` {
		t.Errorf("headers %q, want {}", got)
	}
	if got := j.apply(noon2026, c); got.Outcome != Stored {
		t.Errorf("retry: %+v, want Stored", got)
	}
}

// The TTL counts from completion, and is the lock's only where the completion names none and there is a lock.
func TestCompleteTTL(t *testing.T) {
	t.Parallel()
	const late = 30_000
	tests := []struct {
		name            string
		claimed         bool
		inherit         bool
		wantExpiresAtMs int64
	}{
		{"own, on a lock", true, false, noon2026 + late + 2*ttlMs},
		{"the lock's", true, true, noon2026 + late + ttlMs},
		{"own, on absent", false, false, noon2026 + late + 2*ttlMs},
		{"nothing to inherit", false, true, noon2026 + late + 2*ttlMs},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			j := newJournal(t)
			if tt.claimed {
				j.apply(noon2026, claimBy("a", tok(1)))
			}
			c := completeWith(Token{}, `1`)
			c.InheritTTL = tt.inherit
			got := j.apply(noon2026+late, c)
			wantResult(t, tt.name, got, Result{Outcome: Stored, ExpiresAtMs: tt.wantExpiresAtMs})
			j.advance(tt.wantExpiresAtMs - 1)
			if v := j.m.View(c.ID); v.State != StateCompleted || v.Record.CreatedAtMs != noon2026+late {
				t.Errorf("just before expiry: %+v", v)
			}
			j.advance(tt.wantExpiresAtMs)
			wantView(t, "at expiry", j.m.View(c.ID), View{})
		})
	}
}

// A PUT spends no usage, and none is needed for it.
func TestCompleteIsFree(t *testing.T) {
	t.Parallel()
	j := newJournal(t)
	j.apply(noon2026, UpdateTenant{Tenant: 1, SetMonthlyClaims: true, MonthlyClaims: 1})
	other := claimBy("a", tok(1))
	other.ID = recordID("other")
	j.apply(noon2026, other)
	if got := j.apply(noon2026, completeWith(Token{}, `1`)); got.Outcome != Stored {
		t.Errorf("PUT with the month used up: %+v, want Stored", got)
	}
	if _, claims := j.m.Usage(1); claims != 1 {
		t.Errorf("%d claims counted, want 1", claims)
	}
}
