package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/syllecta/syllecta/fsm"
)

// bench is a proposer on a state machine without raft between them: a test commits an entry when it wants to.
type bench struct {
	t     testing.TB
	p     *proposer
	m     *fsm.Machine
	index uint64
	sizes []int // calls in each entry committed
}

func newBench(t testing.TB) *bench {
	clock := &clusterClock{}
	clock.set(time.Now())
	b := &bench{t: t, m: fsm.New(fsmConfig())}
	b.p = newProposer(clock, func(id fsm.RecordID) fsm.View { return b.m.View(id) }, newMetrics(prometheus.NewRegistry()))
	b.p.lead()
	b.call(fsm.CreateTenant{PublicID: "ten_1", Slug: "demo"})
	return b
}

// enqueue proposes without waiting for the results.
func (b *bench) enqueue(calls ...Call) *proposal {
	b.t.Helper()
	pr, err := newProposal(calls, time.Now())
	if err == nil {
		err = b.p.enqueue(pr)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return pr
}

// commit applies the next entry and delivers its results; false if there is none to commit.
func (b *bench) commit() bool {
	b.t.Helper()
	next := b.p.nextBatch()
	if next == nil {
		return false
	}
	b.apply(next)
	return true
}

func (b *bench) apply(next *batch) {
	b.t.Helper()
	b.index++
	b.sizes = append(b.sizes, len(next.slots))
	e, results, err := b.m.Apply(b.index, 1, fsm.EncodeEntry(b.p.clock.nowMs(), next.id, next.frames()...))
	if err != nil {
		b.t.Fatal(err)
	}
	b.p.onApply(b.index, 1, e, results)
}

// commitAll commits until there is nothing to commit.
func (b *bench) commitAll() {
	b.t.Helper()
	for range 10_000 {
		if !b.commit() {
			return
		}
	}
	b.t.Fatal("the proposer goes on for ever")
}

// call proposes a command, commits, and returns its result, which must be there then.
func (b *bench) call(cmd fsm.Command) fsm.Result {
	b.t.Helper()
	pr := b.enqueue(Call{Command: cmd})
	b.commitAll()
	return b.result(pr)
}

// result returns the result of a proposal of one call, which must be done.
func (b *bench) result(pr *proposal) fsm.Result {
	b.t.Helper()
	if !pr.isDone() || pr.err != nil {
		b.t.Fatalf("not done, or failed: %v", pr.err)
	}
	return pr.results[0]
}

func (b *bench) state(id fsm.RecordID) fsm.State { return b.m.View(id).State }

func record(key string) fsm.RecordID { return fsm.RecordID{Tenant: 1, Scope: "orders", Key: key} }

func waiting(cmd fsm.Command) Call { return Call{Command: cmd, Wait: MaxWait} }

func tokenOf(owner string) (token fsm.Token) {
	copy(token[:], owner)
	return token
}

func complete(id fsm.RecordID, body string) fsm.Complete {
	return fsm.Complete{ID: id, Status: 200, Headers: []byte("{}"), Body: []byte(body), TTLMs: 86_400_000}
}

// TestBatching: what arrives while an entry is in flight shares the next one, and each call gets its own result.
func TestBatching(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sizes = nil
	const calls = 3*maxBatchCalls + 7
	proposals := make([]*proposal, calls)
	for i := range proposals {
		proposals[i] = b.enqueue(Call{Command: claim(record(fmt.Sprint(i/2)), fmt.Sprint("owner", i))})
	}
	b.commitAll()
	if want := []int{maxBatchCalls, maxBatchCalls, maxBatchCalls, 7}; !slices.Equal(b.sizes, want) {
		t.Errorf("entries of %v calls, want %v", b.sizes, want)
	}
	for i, pr := range proposals {
		want := []fsm.Outcome{fsm.Granted, fsm.InProgress}[i%2]
		if got := b.result(pr); got.Outcome != want || want == fsm.Granted && got.Token != tokenOf(fmt.Sprint("owner", i)) {
			t.Fatalf("call %d: %+v", i, got)
		}
		if wantIndex := uint64(i/maxBatchCalls) + 2; pr.receipt != (Receipt{wantIndex, 1}) {
			t.Fatalf("call %d: receipt %+v, want index %d", i, pr.receipt, wantIndex)
		}
	}
	if calls, bytes := b.p.queued(); calls != 0 || bytes != 0 {
		t.Errorf("%d calls of %d bytes are still counted", calls, bytes)
	}
}

// TestBatchBytes: an entry is bounded by bytes, and a proposal that is larger alone still gets through.
func TestBatchBytes(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sizes = nil
	body := func(n int) string { return `"` + string(slices.Repeat([]byte{'x'}, n)) + `"` }
	for i := range 5 {
		b.enqueue(Call{Command: complete(record(fmt.Sprint(i)), body(maxBatchBytes/2-200))})
	}
	large := b.enqueue(
		Call{Command: complete(record("a"), body(800<<10))},
		Call{Command: complete(record("b"), body(800<<10))},
	)
	b.enqueue(Call{Command: complete(record("c"), "1")})
	b.commitAll()
	if want := []int{2, 2, 1, 2, 1}; !slices.Equal(b.sizes, want) {
		t.Errorf("entries of %v calls, want %v", b.sizes, want)
	}
	if got := b.result(large); got.Outcome != fsm.Stored {
		t.Errorf("%+v", got)
	}
}

// TestOneProposalOneEntry: calls proposed together are never spread over entries.
func TestOneProposalOneEntry(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sizes = nil
	const each = MaxCallsPerProposal - 1
	var proposals []*proposal
	for i := range 5 {
		var calls []Call
		for j := range each {
			calls = append(calls, Call{Command: claim(record(fmt.Sprint(i, ".", j)), "owner")})
		}
		proposals = append(proposals, b.enqueue(calls...))
	}
	b.commitAll()
	if want := []int{2 * each, 2 * each, each}; !slices.Equal(b.sizes, want) {
		t.Errorf("entries of %v calls, want %v", b.sizes, want)
	}
	for _, pr := range proposals {
		for _, r := range pr.results {
			if r.Outcome != fsm.Granted {
				t.Fatalf("%+v", r)
			}
		}
	}
}

func TestQueueBounds(t *testing.T) {
	t.Parallel()
	claims := func(n int) (calls []Call) {
		for i := range n {
			calls = append(calls, Call{Command: claim(record(fmt.Sprint(i)), "owner")})
		}
		return calls
	}
	large := []Call{{Command: complete(record("large"), `"`+string(slices.Repeat([]byte{'x'}, 1<<20-100))+`"`)}}
	for name, tc := range map[string]struct {
		calls []Call
		fit   int
	}{
		"by count": {claims(256), maxQueuedCalls / 256},
		"by bytes": {large, maxQueuedBytes / (1 << 20)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			for range tc.fit {
				b.enqueue(tc.calls...)
			}
			_, _, err := b.p.propose(t.Context(), tc.calls)
			if !errors.Is(err, ErrBusy) {
				t.Fatalf("one more: %v", err)
			}
			if got := counter(t, b.p.metrics.rejected); got != 1 {
				t.Errorf("%v rejections are counted", got)
			}
			b.commitAll()
			b.enqueue(tc.calls...) // there is room again
		})
	}
}

func counter(t *testing.T, m prometheus.Metric) float64 {
	t.Helper()
	var out dto.Metric
	if err := m.Write(&out); err != nil {
		t.Fatal(err)
	}
	return out.GetCounter().GetValue()
}

func TestEmptyProposal(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	pr := b.enqueue()
	if pr.isDone() {
		t.Fatal("done before it was committed")
	}
	b.commitAll()
	if !pr.isDone() || pr.err != nil || pr.receipt != (Receipt{2, 1}) {
		t.Fatalf("%v, receipt %+v", pr.err, pr.receipt)
	}
	if b.commit() {
		t.Fatal("another entry")
	}
	// Refused, and given up on.
	refused := b.enqueue()
	b.p.discard(b.p.nextBatch(), ErrBusy)
	if !errors.Is(refused.err, ErrBusy) {
		t.Errorf("discarded: %v", refused.err)
	}
	refused = b.enqueue()
	b.p.revoke()
	if !errors.Is(refused.err, ErrNotLeader) {
		t.Errorf("revoked: %v", refused.err)
	}
}

// TestCancelledWhileQueued: a call that was given up on before it was proposed is not proposed any more.
func TestCancelledWhileQueued(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error)
	go func() {
		_, _, err := b.p.propose(ctx, []Call{{Command: claim(record("1"), "owner")}})
		failed <- err
	}()
	waitFor(t, "the call to be queued", func() bool { calls, _ := b.p.queued(); return calls == 1 })
	cancel()
	if err := <-failed; !errors.Is(err, ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	if b.commit() || b.state(record("1")) != fsm.StateAbsent {
		t.Error("it was applied")
	}
	if calls, bytes := b.p.queued(); calls != 0 || bytes != 0 {
		t.Errorf("%d calls of %d bytes are still counted", calls, bytes)
	}
}

// TestCancelledInFlight: whether a call that was proposed is applied cannot be known to who does not wait for it.
func TestCancelledInFlight(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	pr := b.enqueue(Call{Command: claim(record("1"), "owner")})
	next := b.p.nextBatch()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.p.await(ctx, pr); !errors.Is(err, ErrOutcomeUnknown) {
		t.Errorf("got %v", err)
	}
	b.apply(next)
	if pr.receipt != (Receipt{b.index, 1}) || !errors.Is(pr.err, ErrOutcomeUnknown) {
		t.Errorf("after all: %v", pr.err)
	}
}

// waitFor waits until a condition holds.
func waitFor(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// TestSuspects: what becomes of an entry that raft gave up on is read off the log.
func TestSuspects(t *testing.T) {
	t.Parallel()
	const at = 10 // the entry's index
	type step func(b *bench, suspect *batch)
	var (
		suspected step = func(b *bench, suspect *batch) { b.p.suspect(suspect, at) }
		own       step = func(b *bench, suspect *batch) { b.index = at - 1; b.apply(suspect) }
		revoked   step = func(b *bench, _ *batch) { b.p.revoke() }
		closed    step = func(b *bench, _ *batch) { b.p.close() }

		withoutIndex step = func(b *bench, suspect *batch) { b.p.suspect(suspect, 0) }
	)
	other := func(index uint64) step {
		return func(b *bench, _ *batch) { b.p.onApply(index, 2, fsm.Entry{BatchID: fsm.BatchID{9}}, nil) }
	}
	snapshot := func(index uint64) step { return func(b *bench, _ *batch) { b.p.onRestore(index) } }
	after := func(d time.Duration) step {
		return func(b *bench, _ *batch) { b.p.expireSuspects(time.Now().Add(d)) }
	}
	const open = true
	for name, tc := range map[string]struct {
		steps []step
		want  error // nil: delivered
		open  bool  // neither yet
	}{
		"nothing seen yet":                 {[]step{suspected, other(at - 1)}, nil, open},
		"applied later":                    {[]step{suspected, own}, nil, false},
		"applied before raft gave up":      {[]step{own, suspected}, nil, false},
		"another took its place":           {[]step{suspected, other(at)}, ErrNotLeader, false},
		"a barrier took its place":         {[]step{suspected, other(at + 1)}, ErrNotLeader, false},
		"another took its place before":    {[]step{other(at + 3), suspected}, ErrNotLeader, false},
		"a snapshot took its place":        {[]step{suspected, snapshot(at)}, ErrOutcomeUnknown, false},
		"a snapshot jumped over it":        {[]step{suspected, snapshot(at + 5)}, ErrOutcomeUnknown, false},
		"an older snapshot":                {[]step{suspected, snapshot(at - 1)}, nil, open},
		"a snapshot before raft gave up":   {[]step{snapshot(at + 5), suspected}, ErrOutcomeUnknown, false},
		"a snapshot, then entries, before": {[]step{snapshot(at), other(at + 1), suspected}, ErrOutcomeUnknown, false},
		"no news":                          {[]step{suspected, after(settleTimeout + time.Second)}, ErrOutcomeUnknown, false},
		"no news, not for long":            {[]step{suspected, after(settleTimeout / 2)}, nil, open},
		"not led any more":                 {[]step{suspected, revoked}, nil, open},
		"not led, then applied":            {[]step{suspected, revoked, own}, nil, false},
		"no index":                         {[]step{withoutIndex}, ErrOutcomeUnknown, false},
		"raft did not take it":             {[]step{func(b *bench, s *batch) { b.p.discard(s, ErrBusy) }}, ErrBusy, false},
		"shut down":                        {[]step{suspected, closed}, ErrOutcomeUnknown, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			pr := b.enqueue(Call{Command: claim(record("1"), "owner")}, Call{Command: claim(record("2"), "owner")})
			empty := b.enqueue()
			suspect := b.p.nextBatch()
			for _, step := range tc.steps {
				step(b, suspect)
			}
			for _, pr := range []*proposal{pr, empty} {
				if pr.isDone() == tc.open {
					t.Fatalf("done: %v", pr.isDone())
				}
				if tc.open {
					continue
				}
				if !errors.Is(pr.err, tc.want) || tc.want == nil && pr.receipt.Index != at {
					t.Fatalf("got %v, receipt %+v", pr.err, pr.receipt)
				}
			}
			if len(b.p.batches) != 0 && !tc.open {
				t.Error("the batch is still kept")
			}
		})
	}
}

func TestRevokeAndLeadAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	queued := b.enqueue(Call{Command: claim(record("1"), "owner")})
	b.p.revoke()
	if !errors.Is(queued.err, ErrNotLeader) {
		t.Errorf("queued: %v", queued.err)
	}
	if _, _, err := b.p.propose(t.Context(), nil); !errors.Is(err, ErrNotLeader) {
		t.Errorf("proposed while not leading: %v", err)
	}
	if calls, bytes := b.p.queued(); calls != 0 || bytes != 0 || b.commit() {
		t.Errorf("%d calls of %d bytes are left", calls, bytes)
	}
	b.p.lead()
	if got := b.call(claim(record("1"), "owner")); got.Outcome != fsm.Granted {
		t.Errorf("%+v", got)
	}
}

// TestConcurrentProposals proposes from many goroutines through raft: calls share entries, and no result is mixed up.
// How many share one depends on the machine's load; that whatever is queued goes together is tested without raft.
func TestConcurrentProposals(t *testing.T) {
	t.Parallel()
	n := openNode(t, Config{BootstrapExpect: 1})
	waitForLeader(t, n)
	tenant := newTenant(t, n)
	before := n.raft.LastIndex()
	const callers, each = 200, 5
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			for j := range each {
				owner := fmt.Sprint("owner", i, "-", j)
				id := fsm.RecordID{Tenant: tenant, Scope: "s", Key: fmt.Sprint(i, ".", j)}
				results, _, err := n.Propose(t.Context(), Call{Command: claim(id, owner)})
				if err != nil || results[0].Outcome != fsm.Granted || results[0].Token != tokenOf(owner) {
					t.Errorf("%v, %+v", err, results)
				}
			}
		})
	}
	wg.Wait()
	if entries := n.raft.LastIndex() - before; entries >= callers*each {
		t.Errorf("%d entries for %d calls: none was shared", entries, callers*each)
	}
	if got := n.Usage(tenant).Claims; got != callers*each {
		t.Errorf("%d grants, want %d", got, callers*each)
	}
}

// TestUnfitProposals: what no node could apply must not get into the log, where it would stop them all for ever.
func TestUnfitProposals(t *testing.T) {
	t.Parallel()
	n := openNode(t, Config{BootstrapExpect: 1})
	waitForLeader(t, n)
	id := fsm.RecordID{Tenant: newTenant(t, n), Scope: "orders", Key: "1"}
	good := claim(id, "owner")
	unfit := map[string][]Call{"too many calls": slices.Repeat([]Call{{Command: good}}, MaxCallsPerProposal+1)}
	for name, spoil := range map[string]func(*fsm.Claim){
		"no owner":        func(c *fsm.Claim) { c.Owner = "" },
		"lease too short": func(c *fsm.Claim) { c.LeaseMs = 5 },
		"no key":          func(c *fsm.Claim) { c.ID.Key = "" },
		"no tenant":       func(c *fsm.Claim) { c.ID.Tenant = 0 },
		"scope too long":  func(c *fsm.Claim) { c.ID.Scope = string(make([]byte, fsm.MaxScopeBytes+1)) },
	} {
		c := good
		spoil(&c)
		unfit[name] = []Call{{Command: good}, {Command: c}}
	}
	unfit["body too large"] = []Call{{Command: complete(id, string(make([]byte, fsm.MaxBodyBytes+1)))}}
	for name, calls := range unfit {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		_, _, err := n.Propose(ctx, calls...)
		cancel()
		if err == nil || errors.Is(err, ErrOutcomeUnknown) {
			t.Fatalf("%s: %v", name, err)
		}
	}
	if v, _, err := n.Read(t.Context(), id); err != nil || v.State != fsm.StateAbsent {
		t.Errorf("%+v, %v: a part of an unfit proposal was applied", v, err)
	}
	if results, _, err := n.Propose(t.Context(), Call{Command: good}); err != nil || results[0].Outcome != fsm.Granted {
		t.Errorf("afterwards: %+v, %v", results, err)
	}
	select {
	case err := <-n.Fatal():
		t.Error(err)
	default:
	}
}
