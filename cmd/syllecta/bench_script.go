package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"

	"github.com/syllecta/syllecta/fsm"
)

// benchCall is a kind of request.
type benchCall int

const (
	callClaim benchCall = iota
	callPut
	callRelease
	callBatch
	benchCalls // how many there are
)

func (c benchCall) String() string { return [...]string{"claim", "put", "release", "batch"}[c] }

// line is the method and path of the request.
func (c benchCall) line() string {
	return [...]string{"POST /v1/record", "PUT /v1/record", "POST /v1/record/release", "POST /v1/records"}[c]
}

// script is what one connection asks for, request by request.
type script interface {
	// next is the next request. Its body is good until the following call.
	next() (benchCall, []byte)
	// answered is told how the request went that next returned last; answer is nil if it failed.
	answered(o benchOutcome, answer []byte)
}

// Of 100 claims of mixed so many are of new keys; so many of those and of completed ones; the others of held ones.
const (
	mixedNew     = 70
	mixedNewKept = 95
	heldKeys     = 100
)

// script makes the script of one connection of the run.
func (l *workload) script(connection int) script {
	fresh := counter{next: uint64(connection), step: uint64(l.options.connections)}
	rng := rand.New(rand.NewPCG(uint64(connection), uint64(len(l.options.scenario))))
	keys := l.options.keys
	switch l.options.scenario {
	case scenarioComplete:
		return &twoStep{
			first: l.claimBody(freshKey, ""), then: l.putBody(freshKey, tokenMember), thenCall: callPut, number: fresh.take,
		}
	case scenarioContend:
		// Whoever lost an answer re-enters its own lock when it meets the key again, and releases it.
		owner := fmt.Sprintf(`,"owner":"%s-%d"`, l.space.run, connection)
		return &twoStep{
			first: l.claimBody(hotKey, owner), then: l.releaseBody(hotKey), thenCall: callRelease,
			number: func() uint64 { return rng.Uint64N(uint64(keys)) },
		}
	case scenarioReplay:
		return &mixture{rng: rng, kept: l.claimBody(keptKey, ""), keptKeys: keys, upToKept: 100}
	case scenarioMixed:
		return &mixture{
			rng: rng, fresh: l.claimBody(freshKey, ""), numbers: fresh, upToFresh: mixedNew,
			kept: l.claimBody(keptKey, ""), keptKeys: keys, upToKept: mixedNewKept, held: l.claimBody(heldKey, ""),
		}
	case scenarioBatch:
		return &batches{body: l.batchBody(), numbers: fresh}
	default:
		return &mixture{rng: rng, fresh: l.claimBody(freshKey, ""), numbers: fresh, upToFresh: 100}
	}
}

// counter numbers the new keys of one connection: no two connections meet.
type counter struct{ next, step uint64 }

func (c *counter) take() uint64 {
	n := c.next
	c.next += c.step
	return n
}

// mixture claims keys: of 100, upToFresh are new, those from there to upToKept completed, the others held.
type mixture struct {
	rng       *rand.Rand
	fresh     *benchBody
	numbers   counter
	kept      *benchBody
	keptKeys  int
	held      *benchBody
	upToFresh int
	upToKept  int
}

func (m *mixture) next() (benchCall, []byte) {
	b, number := m.held, uint64(0)
	switch n := m.rng.IntN(100); {
	case n < m.upToFresh:
		b, number = m.fresh, m.numbers.take()
	case n < m.upToKept:
		b, number = m.kept, m.rng.Uint64N(uint64(m.keptKeys))
	default:
		number = m.rng.Uint64N(heldKeys)
	}
	b.setKey(0, number)
	return callClaim, b.text
}

func (m *mixture) answered(benchOutcome, []byte) {}

// twoStep claims a key and, if it gets the lock, goes on with it.
type twoStep struct {
	first, then *benchBody
	thenCall    benchCall
	number      func() uint64
	current     uint64
	granted     bool
}

func (s *twoStep) next() (benchCall, []byte) {
	if s.granted {
		s.then.setKey(0, s.current)
		return s.thenCall, s.then.text
	}
	s.current = s.number()
	s.first.setKey(0, s.current)
	return callClaim, s.first.text
}

var tokenName = []byte(`"token":"`)

func (s *twoStep) answered(o benchOutcome, answer []byte) {
	s.granted = false
	if o != outcomeLocked {
		return
	}
	_, token, found := bytes.Cut(answer, tokenName)
	if found && len(token) >= tokenBytes {
		s.then.setToken(token[:tokenBytes])
		s.granted = true
	}
}

// batches claims many new keys at a time.
type batches struct {
	body    *benchBody
	numbers counter
}

func (b *batches) next() (benchCall, []byte) {
	for i := range b.body.keys {
		b.body.setKey(i, b.numbers.take())
	}
	return callBatch, b.body.text
}

func (b *batches) answered(benchOutcome, []byte) {}

// heldMembers make a claim whose lock outlives the run.
func (o *benchOptions) heldMembers() string {
	return fmt.Sprintf(`,"lockMs":%d`, min(o.ttlSeconds*1000, fsm.MaxLeaseMs))
}
