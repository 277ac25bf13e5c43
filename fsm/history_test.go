package fsm

import (
	"errors"
	"flag"
	"fmt"
	"hash/maphash"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var historiesFlag = flag.Int("histories", 10_000,
	"how many random histories TestRandomHistories runs; TestDeterminism runs one, longer, for every 800 of them")

// The random histories use few keys, owners, values and lengths, so that commands meet each other.
var (
	historyIDs = []RecordID{{1, "s", "a"}, {1, "s", "b"}, {2, "s", "a"}}
	// A minute before a month of 29 days begins and one of 31 ends.
	historyStartMs = time.Date(2028, time.January, 31, 23, 59, 0, 0, time.UTC).UnixMilli()
	historySeed    = maphash.MakeSeed()
)

// step is one command of a history.
type step struct {
	stampMs int64
	cmd     Command
}

// trial runs a history on a machine and the model side by side.
type trial struct {
	m      *Machine
	model  *model
	index  uint64
	tokens map[RecordID][]Token // of all grants, the latest last
	watch  invariants
	// audits is how many entries of the audit log were compared, lastHash the last one's.
	audits   int
	lastHash [32]byte
	// outcomes counts the answers, to show what the histories have reached.
	outcomes [TenantSuspended + 1]int
}

func newTrial(hashMask uint64) *trial {
	tr := &trial{
		m:      New(Config{HashSeed: historySeed}),
		tokens: make(map[RecordID][]Token),
		watch:  invariants{held: make(map[RecordID]holder), stored: make(map[RecordID]View)},
		model: &model{
			tenants: make(map[TenantID]*Tenant),
			used:    make(map[TenantID]map[string]int64),
			fence:   1 << 40,
			records: make(map[RecordID]*modelRecord),
			now:     historyStartMs,
			level:   1,
			control: newModelControl(),
		},
	}
	tr.m.hasher.mask = hashMask
	for i, limit := range []int64{0, 4} {
		t := Tenant{
			ID: TenantID(i + 1), PublicID: fmt.Sprint("ten_", i), Slug: fmt.Sprint(i), MonthlyClaims: limit,
			CreatedAtMs: historyStartMs,
		}
		tr.model.tenants[t.ID] = &t
		cmd := CreateTenant{PublicID: t.PublicID, Slug: t.Slug, MonthlyClaims: limit}
		if _, err := tr.apply(step{historyStartMs, cmd}); err != nil {
			panic(err)
		}
	}
	return tr
}

func (tr *trial) apply(s step) (Result, error) {
	tr.index++
	check := expectReplay(tr.m, s.stampMs, s.cmd)
	_, results, err := tr.m.Apply(tr.index, 1, EncodeEntry(s.stampMs, BatchID{}, Encode(s.cmd)))
	if err != nil {
		return Result{}, err
	}
	return results[0], check(results)
}

// do applies one step to both, and compares the result, the view of every key, and the invariants.
func (tr *trial) do(s step) error {
	entryMs := max(tr.m.clockMs, s.stampMs)
	before := tr.viewsAt(entryMs)
	got, err := tr.apply(s)
	if err != nil {
		return err
	}
	tr.outcomes[got.Outcome]++
	if want := tr.model.apply(s.stampMs, s.cmd); !sameResult(&got, &want) {
		return fmt.Errorf("result is\n%+v, want\n%+v", got, want)
	}
	if err := errors.Join(tr.compareDirectory(s.cmd), tr.compareUsage(), tr.compareAudit(s.cmd)); err != nil {
		return err
	}
	after := tr.viewsAt(tr.m.clockMs)
	for i, id := range historyIDs {
		if want := tr.model.view(id); !sameView(&after[i], &want) {
			return fmt.Errorf("view of %v is\n%+v, want\n%+v", id, after[i], want)
		}
	}
	if c, ok := s.cmd.(Claim); ok && got.Outcome == Granted && !got.Reentered {
		tr.tokens[c.ID] = append(tr.tokens[c.ID], got.Token)
	}
	return tr.watch.check(entryMs, tr.m.clockMs, s.cmd, got, before, after)
}

// compareDirectory compares feature level, members, tenants, plans and keys after a command that may have changed them.
func (tr *trial) compareDirectory(cmd Command) error {
	switch cmd.(type) {
	case Claim, Complete, Renew, Release, Delete, Establish:
		return nil
	}
	d := tr.m.Directory()
	got := fmt.Sprintf("%d %s\n%s%s", d.FeatureLevel, d.FeatureVersion, dumpMembers(d.Members()),
		dumpControl(d.Tenants(), d.Plans(), d.Keys))
	if want := tr.model.directory(); got != want {
		return fmt.Errorf("the directory is\n%s, want\n%s", got, want)
	}
	return nil
}

// viewsAt returns what would be read of every key if nothing but the clock changed.
func (tr *trial) viewsAt(nowMs int64) [3]View {
	m := *tr.m
	m.clockMs = nowMs
	return [3]View{m.View(historyIDs[0]), m.View(historyIDs[1]), m.View(historyIDs[2])}
}

// next draws a step; pick(n) returns a number below n. Clock steps favour the instants at which something changes.
func (tr *trial) next(pick func(n int) int) step {
	id := historyIDs[pick(len(historyIDs))]
	return step{tr.nextStamp(pick), tr.nextCommand(pick, id)}
}

func (tr *trial) nextStamp(pick func(n int) int) int64 {
	now := tr.model.now
	around := func(ms int64) int64 { return ms + int64(pick(3)) - 1 }
	switch pick(10) {
	case 0, 1, 2:
		return now
	case 3:
		return now - int64(pick(100_000))
	case 4:
		return now + 1
	case 5:
		return now + int64(pick(3_000))
	case 6, 7:
		return around(tr.model.view(historyIDs[pick(len(historyIDs))]).ChangesAtMs)
	case 8:
		return around(tr.model.view(historyIDs[pick(len(historyIDs))]).ExpiresAtMs)
	default:
		at := time.UnixMilli(now).UTC()
		switch pick(8) {
		case 0:
			return around(time.Date(at.Year(), at.Month()+1, 1, 0, 0, 0, 0, time.UTC).UnixMilli())
		case 1:
			return around(time.Date(at.Year(), at.Month(), at.Day()+1, 0, 0, 0, 0, time.UTC).UnixMilli())
		case 2:
			return around(time.Date(at.Year(), at.Month(), at.Day()+1+pick(410), 0, 0, 0, 0, time.UTC).UnixMilli())
		default:
			return now + int64(pick(40_000))
		}
	}
}

func (tr *trial) nextCommand(pick func(n int) int, id RecordID) Command {
	lease := []int64{1_000, 1_000, 5_000, 20_000, NeverMs}[pick(5)]
	ttl := []int64{1, 900, 4_000, 30_000}[pick(4)]
	switch kind := pick(32); {
	case kind < 10:
		return Claim{
			ID: id, Owner: []string{"x", "y"}[pick(2)], Token: Token{byte(tr.index), byte(tr.index >> 8), 1},
			LeaseMs: lease, TTLMs: ttl, Fingerprint: []string{"", "", "", "f", "g"}[pick(5)],
		}
	case kind < 15:
		return Complete{
			ID: id, Token: tr.nextToken(pick, id), Status: 200, Headers: []byte(`{}`),
			Body: []byte{"12"[pick(2)]}, TTLMs: ttl, InheritTTL: pick(2) == 0,
		}
	case kind < 17:
		return Renew{ID: id, Token: tr.nextToken(pick, id), LeaseMs: lease, KeepLease: pick(2) == 0}
	case kind < 19:
		return Release{ID: id, Token: tr.nextToken(pick, id)}
	case kind < 21:
		return Delete{ID: id}
	case kind < 22:
		first := Establish{GraceMs: int64(pick(4)) * 500}
		if pick(3) == 0 {
			first.ClockMs = tr.model.now + int64(pick(60_000)) - 10_000
		}
		return first
	case kind < 23:
		return UpdateTenant{Tenant: id.Tenant, SetMonthlyClaims: true, MonthlyClaims: int64(pick(6))}
	case kind < 26:
		return nextMemberCommand(pick)
	case kind < 29:
		return tr.nextControlCommand(pick, id.Tenant)
	case kind < 31:
		return tr.nextAudited(pick, id.Tenant)
	default:
		unknown := RecordID{99, id.Scope, id.Key}
		return Claim{ID: unknown, Owner: "x", Token: Token{1}, LeaseMs: lease, TTLMs: ttl}
	}
}

// nextMemberCommand draws a command about one of three nodes with two disks each, or the feature level.
func nextMemberCommand(pick func(n int) int) Command {
	node := []string{"n1", "n2", "n3"}[pick(3)]
	switch kind := pick(9); {
	case kind < 6:
		return AdmitMember{NodeID: node, DiskID: []string{"", "", "d", "d", "e"}[pick(5)], NonVoter: pick(2) == 0}
	case kind < 7:
		return RetireMember{NodeID: node}
	default:
		return RaiseFeatureLevel{Level: uint32(1 + pick(FeatureLevel)), Version: []string{"v1", "v2"}[pick(2)]}
	}
}

// nextToken draws the current token, an outdated one, none, or one that never was.
func (tr *trial) nextToken(pick func(n int) int, id RecordID) Token {
	granted := tr.tokens[id]
	switch kind := pick(8); {
	case kind < 4 && len(granted) > 0:
		return granted[len(granted)-1]
	case kind < 6 && len(granted) > 0:
		return granted[pick(len(granted))]
	case kind < 7:
		return Token{}
	default:
		return Token{0xFF, 0xFF, 0xFF}
	}
}

// TestRandomHistories compares the machine with the model over many short histories. A failure is reported with the
// shortest history found that shows it.
func TestRandomHistories(t *testing.T) {
	t.Parallel()
	const shards, steps = 4, 24
	for shard := range shards {
		t.Run(fmt.Sprint("shard ", shard), func(t *testing.T) {
			t.Parallel()
			var reached [TenantSuspended + 1]int
			for n := range *historiesFlag / shards {
				seed := uint64(n*shards + shard)
				rng := rand.New(rand.NewPCG(seed, 42))
				mask := hashMasks[n%len(hashMasks)]
				tr := newTrial(mask)
				var done []step
				for range steps {
					done = append(done, tr.next(rng.IntN))
					if err := tr.do(done[len(done)-1]); err != nil {
						t.Fatalf("seed %d: %v", seed, shortest(mask, done))
					}
				}
				for outcome, count := range tr.outcomes {
					reached[outcome] += count
				}
			}
			for outcome := OK; outcome <= TenantSuspended; outcome++ {
				if reached[outcome] < 100 && outcome != TenantCreated && outcome != LimitReached {
					t.Errorf("outcome %d was reached %d times only", outcome, reached[outcome])
				}
			}
		})
	}
}

// TestHistories is the same over longer histories that rapid draws, and shortens when one fails.
func TestHistories(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		tr := newTrial(rapid.SampledFrom(hashMasks).Draw(rt, "hash mask"))
		pick := func(n int) int { return rapid.IntRange(0, n-1).Draw(rt, "pick") }
		for range rapid.IntRange(1, 80).Draw(rt, "steps") {
			s := tr.next(pick)
			if err := tr.do(s); err != nil {
				rt.Fatalf("%d %T%+v: %v", s.stampMs-historyStartMs, s.cmd, s.cmd, err)
			}
		}
	})
}

// shortest drops steps of a failing history for as long as it still fails, and describes what is left.
func shortest(mask uint64, steps []step) error {
	failure := replay(mask, steps)
	for i := 0; i < len(steps); {
		fewer := append(append([]step(nil), steps[:i]...), steps[i+1:]...)
		if err := replay(mask, fewer); err != nil {
			steps, failure, i = fewer, err, 0
		} else {
			i++
		}
	}
	var b strings.Builder
	for _, s := range steps {
		fmt.Fprintf(&b, "\n%+d %T%+v", s.stampMs-historyStartMs, s.cmd, s.cmd)
	}
	return fmt.Errorf("hash mask %#x:%s\n%w", mask, b.String(), failure)
}

func replay(mask uint64, steps []step) error {
	tr := newTrial(mask)
	for _, s := range steps {
		if err := tr.do(s); err != nil {
			return err
		}
	}
	return nil
}

// invariants watches the machine's answers alone, without the model.
type invariants struct {
	fence  uint64
	held   map[RecordID]holder
	stored map[RecordID]View
}

// holder is whoever was last told to hold a lock, until the lease it was told ends.
type holder struct {
	token   Token
	untilMs int64
}

// check is told the clock at which the command was judged, and the one it left.
func (w *invariants) check(entryMs, nowMs int64, cmd Command, r Result, before, after [3]View) error {
	switch c := cmd.(type) {
	case Claim:
		if r.Outcome != Granted {
			break
		}
		if err := w.granted(nowMs, c.ID, r); err != nil {
			return err
		}
	case Complete:
		if r.Outcome != Stored {
			return unchanged(before, after)
		}
		delete(w.held, c.ID)
		if old, known := w.stored[c.ID]; !known || nowMs >= old.ExpiresAtMs {
			w.stored[c.ID] = viewOf(after, c.ID)
		}
	case Renew:
		if r.Outcome == Renewed {
			w.held[c.ID] = holder{c.Token, untilMs(r.LeaseEndMs)}
		}
	case Release:
		if r.Existed {
			delete(w.held, c.ID)
		}
	case Delete:
		delete(w.held, c.ID)
		delete(w.stored, c.ID)
	case Establish:
		for id, h := range w.held {
			if h.untilMs > entryMs && h.untilMs != math.MaxInt64 {
				w.held[id] = holder{h.token, h.untilMs + c.GraceMs + nowMs - entryMs}
			}
		}
	}
	return w.checkStored(nowMs, after)
}

// granted refuses a grant whose fence does not rise, and one within another's lease.
func (w *invariants) granted(nowMs int64, id RecordID, r Result) error {
	h, held := w.held[id]
	live := held && nowMs < h.untilMs
	switch {
	case r.Reentered && (!live || h.token != r.Token):
		return errors.New("re-entered a lock that was not held")
	case r.Reentered:
		return nil
	case live:
		return errors.New("granted while a lease is live")
	case r.Fence <= w.fence || r.Fence >= maxExactInteger:
		return fmt.Errorf("fence %d after %d", r.Fence, w.fence)
	}
	w.fence = r.Fence
	w.held[id] = holder{r.Token, untilMs(r.LeaseEndMs)}
	return nil
}

// checkStored wants every completed record as it was when it was stored, until it expires.
func (w *invariants) checkStored(nowMs int64, after [3]View) error {
	for id, want := range w.stored {
		if nowMs >= want.ExpiresAtMs {
			delete(w.stored, id)
			continue
		}
		if got := viewOf(after, id); !sameView(&got, &want) {
			return fmt.Errorf("completed record %v became\n%+v, was\n%+v", id, got, want)
		}
	}
	return nil
}

func viewOf(views [3]View, id RecordID) View {
	for i := range historyIDs {
		if historyIDs[i] == id {
			return views[i]
		}
	}
	panic("not a key of the histories")
}

func unchanged(before, after [3]View) error {
	for i := range before {
		if !sameView(&before[i], &after[i]) {
			return fmt.Errorf("a refused PUT changed\n%+v to\n%+v", before[i], after[i])
		}
	}
	return nil
}

func untilMs(endMs int64) int64 {
	if endMs == NeverMs {
		return math.MaxInt64
	}
	return endMs
}
