package cluster

import (
	"bytes"
	"cmp"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/syllecta/syllecta/fsm"
)

// simPlace is where a command stands in the log.
type simPlace struct {
	entry *simEntry
	at    int
}

func (p simPlace) result() fsm.Result { return p.entry.results[p.at] }

// places returns where each recognisable command stands. That of a claim that waits may stand in several places.
func (j *simJournal) places() map[simIdentity][]simPlace {
	places := make(map[simIdentity][]simPlace)
	for _, e := range j.ordered() {
		for i, cmd := range e.Commands {
			if id := identify(cmd); id.kind != "" {
				places[id] = append(places[id], simPlace{e, i})
			}
		}
	}
	return places
}

// check compares what the clients saw with the log, and with each other.
func (h *simHistory) check(t *testing.T, j *simJournal) {
	t.Helper()
	places := j.places()
	h.checkRefused(t, places)
	h.checkAcknowledged(t, places)
	h.checkFences(t)
	h.checkLinearizable(t, j, places)
}

// checkRefused checks that a call that was answered "not applied" is not in the log (R6).
func (h *simHistory) checkRefused(t *testing.T, places map[simIdentity][]simPlace) {
	t.Helper()
	refused := make(map[simIdentity]*simOp)
	for _, o := range h.ops {
		if o.command == nil {
			continue
		}
		if id := identify(o.command); id.kind != "" && o.unapplied() {
			refused[id] = o
		}
	}
	for _, o := range h.ops {
		if o.command != nil && !o.unapplied() {
			delete(refused, identify(o.command)) // asked again
		}
	}
	for id, o := range refused {
		if len(places[id]) > 0 {
			t.Errorf("refused, yet in the log at index %d: %v", places[id][0].entry.index, o)
		}
	}
}

// checkAcknowledged checks that the log holds what clients were told.
func (h *simHistory) checkAcknowledged(t *testing.T, places map[simIdentity][]simPlace) {
	t.Helper()
	for _, o := range h.ops {
		if o.err != nil || o.command == nil {
			continue
		}
		found := places[identify(o.command)]
		_, claim := o.command.(fsm.Claim)
		if len(found) == 0 && claim && (o.result.Outcome == fsm.Cached || o.result.Outcome == fsm.InProgress) {
			continue // answered without the log, as a read is: checkLinearizable looks at it
		}
		if len(found) == 0 && identify(o.command).kind != "" {
			t.Errorf("acknowledged, but not in the log: %v", o)
			continue
		}
		switch granted := claim && o.result.Outcome == fsm.Granted; {
		case granted || claim && o.wait == 0:
			if !slices.ContainsFunc(found, func(p simPlace) bool { return sameResult(p.result(), o.result) }) {
				t.Errorf("the log has another result, %+v: %v", found[0].result(), o)
			}
		case claim:
			checkNeverHolds(t, o, found)
		}
	}
}

// checkNeverHolds checks that a claim that was not answered with a grant holds no lock behind the entry it met.
func checkNeverHolds(t *testing.T, o *simOp, found []simPlace) {
	t.Helper()
	for _, p := range found {
		if r := p.result(); r.Outcome != fsm.Granted || r.Reentered {
			continue
		}
		freed := slices.ContainsFunc(p.entry.Commands[p.at+1:], func(later fsm.Command) bool {
			_, claim := later.(fsm.Claim)
			return !claim && recordOf(later) == o.id
		})
		if !freed {
			t.Errorf("granted at index %d to a client that was told otherwise: %v", p.entry.index, o)
		}
	}
}

// checkFences checks that a grant that was asked for after another was received has the higher fence (L4).
func (h *simHistory) checkFences(t *testing.T) {
	t.Helper()
	var grants []*simOp
	for _, o := range h.ops {
		if o.err == nil && o.result.Outcome == fsm.Granted && !o.result.Reentered {
			grants = append(grants, o)
		}
	}
	byCall := slices.SortedFunc(slices.Values(grants), func(a, b *simOp) int { return a.call.Compare(b.call) })
	byReturn := slices.SortedFunc(slices.Values(grants), func(a, b *simOp) int { return a.ret.Compare(b.ret) })
	var received *simOp // with the highest fence, before the call at hand
	for _, o := range byCall {
		for len(byReturn) > 0 && byReturn[0].ret.Before(o.call) {
			if received == nil || byReturn[0].result.Fence > received.result.Fence {
				received = byReturn[0]
			}
			byReturn = byReturn[1:]
		}
		if received != nil && o.result.Fence <= received.result.Fence {
			t.Errorf("the fence did not rise from\n%v to\n%v", received, o)
		}
	}
}

// simPatience bounds the search for a linear order of one simulation's history.
const simPatience = 30 * time.Second

// checkLinearizable checks that what clients saw of each key has a linear order (R1, R2, R3, R5). Calls of unknown
// outcome have the one that the log tells.
func (h *simHistory) checkLinearizable(t *testing.T, j *simJournal, places map[simIdentity][]simPlace) {
	t.Helper()
	var history []porcupine.Operation
	for _, o := range slices.Concat(h.resolved(places), h.unasked(j)) {
		ret := int64(math.MaxInt64)
		if !o.ret.IsZero() {
			ret = o.ret.UnixNano()
		}
		history = append(history, porcupine.Operation{
			ClientId: o.client, Input: o, Call: o.call.UnixNano(), Output: o, Return: ret,
		})
	}
	model := simModel.ToModel()
	for id, ops := range byRecord(history) {
		switch porcupine.CheckOperationsTimeout(model, ops, simPatience) {
		case porcupine.Illegal:
			t.Errorf("no linear order explains what clients saw of %v:", id)
			slices.SortFunc(ops, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
			for _, o := range ops {
				t.Log(o.Input)
			}
		case porcupine.Unknown:
			t.Errorf("found no linear order of %d calls on %v in time", len(ops), id)
		}
	}
}

func byRecord(history []porcupine.Operation) map[fsm.RecordID][]porcupine.Operation {
	keys := make(map[fsm.RecordID][]porcupine.Operation)
	for _, o := range history {
		id := o.Input.(*simOp).id
		keys[id] = append(keys[id], o)
	}
	return keys
}

// resolved returns the calls that had, or may have had, an effect or an answer.
func (h *simHistory) resolved(places map[simIdentity][]simPlace) (ops []*simOp) {
	for _, o := range h.ops {
		switch {
		case o.unapplied():
			continue
		case o.err == nil:
			ops = append(ops, o)
			continue
		}
		known := *o
		if _, ok := o.command.(fsm.Delete); ok {
			known.ret = time.Time{} // at any time from the call on, or never
			ops = append(ops, &known)
			continue
		}
		found := places[identify(o.command)]
		if len(found) == 0 {
			continue
		}
		p := found[len(found)-1]
		if i := slices.IndexFunc(found, func(p simPlace) bool { return p.result().Outcome == fsm.Granted }); i >= 0 {
			p = found[i]
		}
		known.err, known.result, known.ret = nil, p.result(), p.entry.at
		ops = append(ops, &known)
	}
	return ops
}

// unasked returns the releases that no client asked for: of locks granted to waiters who had left.
func (h *simHistory) unasked(j *simJournal) (ops []*simOp) {
	asked := make(map[simIdentity]bool)
	for _, o := range h.ops {
		if r, ok := o.command.(fsm.Release); ok {
			asked[identify(r)] = true
		}
	}
	for _, e := range j.ordered() {
		for i, cmd := range e.Commands {
			if r, ok := cmd.(fsm.Release); ok && !asked[identify(r)] {
				ops = append(ops, &simOp{client: -1, command: r, id: r.ID, call: e.at, ret: e.at, result: e.results[i]})
			}
		}
	}
	return ops
}

// simState is what the model knows of a record.
type simState struct {
	state fsm.State // absent, locked or completed
	owner string
	token fsm.Token
	body  string
	until int64 // nanoseconds: not before this does the lock lapse or the record expire
}

// simModel is the protocol as a client may rely on it. Time only allows a lock to lapse and a record to expire here;
// that they do so is for other tests.
var simModel = porcupine.NondeterministicModel{
	Init: func() []any { return []any{simState{}} },
	Step: func(state, _, output any) (next []any) {
		s, o := state.(simState), output.(*simOp)
		if o.err != nil { // a delete of unknown outcome
			return []any{s, simState{}}
		}
		if after, ok := s.step(o); ok {
			next = append(next, after)
		}
		if expired := (simState{}); s.state == fsm.StateCompleted && s.over(o) {
			if after, ok := expired.step(o); ok {
				next = append(next, after)
			}
		}
		return next
	},
}

// over reports whether time may have ended the lock's lease or the record's life when o returned.
func (s simState) over(o *simOp) bool {
	return o.ret.IsZero() || o.ret.UnixNano() >= s.until-int64(tolerance(simLongest))
}

// simLongest is the longest lease and short life that clients ask for. What lives for a day outlives every simulation.
const simLongest = 20 * time.Second

// step returns the state after o, if o's answer is right in state s.
func (s simState) step(o *simOp) (next simState, ok bool) {
	switch cmd := o.command.(type) {
	case nil:
		return s, s.read(o)
	case fsm.Claim:
		return s.claim(cmd, o)
	case fsm.Complete:
		return s.complete(cmd, o)
	case fsm.Renew:
		holds := s.state == fsm.StateLocked && s.token == cmd.Token
		if holds {
			s.until = o.call.Add(time.Duration(cmd.LeaseMs) * time.Millisecond).UnixNano()
		}
		return s, holds == (o.result.Outcome == fsm.Renewed)
	case fsm.Release:
		return s.release(cmd, o)
	case fsm.Delete:
		return simState{}, o.result.Existed == (s.state != fsm.StateAbsent)
	}
	return s, false
}

func (s simState) read(o *simOp) bool {
	switch o.view.State {
	case fsm.StateLapsed:
		return s.state == fsm.StateLocked && s.over(o)
	case fsm.StateCompleted:
		return s.state == fsm.StateCompleted && s.body == string(o.view.Record.Body)
	default:
		return s.state == o.view.State
	}
}

func (s simState) claim(cmd fsm.Claim, o *simOp) (simState, bool) {
	switch r := o.result; r.Outcome {
	case fsm.Granted:
		until := o.call.Add(time.Duration(r.LeaseMs) * time.Millisecond).UnixNano()
		if r.Token != cmd.Token { // re-entered
			right := s.state == fsm.StateLocked && s.token == r.Token && s.owner == cmd.Owner
			s.until = max(s.until, until)
			return s, right
		}
		free := s.state == fsm.StateAbsent || s.state == fsm.StateLocked && s.over(o)
		return simState{state: fsm.StateLocked, owner: cmd.Owner, token: cmd.Token, until: until}, free
	case fsm.InProgress:
		return s, s.state == fsm.StateLocked && s.owner != cmd.Owner
	case fsm.Cached:
		return s, s.state == fsm.StateCompleted && s.body == string(r.Record.Body)
	}
	return s, false
}

func (s simState) complete(cmd fsm.Complete, o *simOp) (simState, bool) {
	holds := s.state == fsm.StateLocked && s.token == cmd.Token
	stored := simState{
		state: fsm.StateCompleted, body: string(cmd.Body),
		until: o.call.Add(time.Duration(cmd.TTLMs) * time.Millisecond).UnixNano(),
	}
	switch o.result.Outcome {
	case fsm.Stored:
		if s.state == fsm.StateCompleted {
			return s, bytes.Equal([]byte(s.body), cmd.Body)
		}
		return stored, cmd.Token.IsZero() || holds
	case fsm.AlreadyCompleted:
		return s, s.state == fsm.StateCompleted && s.body != string(cmd.Body)
	case fsm.LockLost:
		return s, s.state != fsm.StateCompleted && !cmd.Token.IsZero() && !holds
	}
	return s, false
}

func (s simState) release(cmd fsm.Release, o *simOp) (simState, bool) {
	holds := s.state == fsm.StateLocked && s.token == cmd.Token
	switch {
	case o.result.Outcome == fsm.LockLost:
		return s, s.state == fsm.StateLocked && !holds
	case o.result.Existed:
		return simState{}, holds
	default:
		return s, s.state != fsm.StateLocked
	}
}
