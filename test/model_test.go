package test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// verb is what an operation asks for.
type verb uint8

const (
	verbClaim verb = iota
	verbPut
	verbGet
	verbDelete
	verbRenew
	verbRelease
)

var verbNames = [...]string{"claim", "put", "get", "delete", "renew", "release"}

// result is what an operation was told.
type result uint8

const (
	resultUnknown    result = iota // nothing: it may have been done, at any time from its call on
	resultGranted                  // claim: token and fence are set
	resultInProgress               // claim
	resultDone                     // put, renew, release; delete with existed
	resultLockLost                 // put, renew, release
	resultCompleted                // claim and get: body is set; put: another value is there
	resultAbsent                   // get
	resultLocked                   // get
	resultLapsed                   // get
	resultRefused                  // any: not done, for reasons that are not the record's
)

var resultNames = [...]string{"?", "granted", "in progress", "done", "lock lost", "completed", "absent", "locked",
	"lapsed",
	"refused"}

// operation is one call of a history on one key. Instants are nanoseconds since the history began.
type operation struct {
	verb  verb
	owner string // claim
	token string // put (optional), renew, release
	body  string // put
	lease int64  // claim, renew: nanoseconds
	waits bool   // claim

	call, end int64 // end is endOfTime for what is not known to have ended

	result   result
	gotToken string
	fence    uint64
	gotBody  string
	existed  bool
	client   int
	key      string
	note     string // of a refusal or a lost answer, for people
}

const endOfTime = math.MaxInt64

func (o *operation) String() string {
	s := fmt.Sprintf("%s %s", verbNames[o.verb], o.key)
	for _, part := range []struct{ name, value string }{
		{"owner", o.owner}, {"token", o.token}, {"body", o.body},
	} {
		if part.value != "" {
			s += fmt.Sprintf(" %s=%s", part.name, part.value)
		}
	}
	s += " → " + resultNames[o.result]
	switch {
	case o.gotToken != "":
		s += fmt.Sprintf(" token=%s fence=%d", o.gotToken, o.fence)
	case o.gotBody != "":
		s += " body=" + o.gotBody
	case o.verb == verbDelete:
		s += fmt.Sprintf(" existed=%t", o.existed)
	}
	if o.note != "" {
		s += " (" + o.note + ")"
	}
	return s
}

// keyState is the model's state of one key: the life of a record as the API documents it, and not how that is done.
type keyState struct {
	locked    bool
	completed bool
	owner     string // locked
	// token and fence are "" and 0 for a lock that was granted to a claim that was never answered.
	token string
	fence uint64
	// leaseFrom is the latest call that is known to have begun before the lease did: the lease cannot end before
	// leaseFrom + lease.
	leaseFrom, lease int64
	// givenBack says that the lock went to a claim whose caller may have left while it waited: the node then gives the
	// lock back by itself.
	givenBack bool
	body      string // completed
	// since is the earliest instant at which this state can be: that of the last lease that ran out.
	since int64
}

// clockAllowance is what a cluster's clock may be ahead of a lease by: it is slewed by at most a thousandth, and when
// all nodes start together it is set anew from the wall clocks.
func clockAllowance(lease int64) int64 { return lease/500 + int64(100*time.Millisecond) }

// lapse is the earliest instant at which the lease can be over.
func (s *keyState) lapse() int64 { return s.leaseFrom + s.lease - clockAllowance(s.lease) }

// mayHaveLapsed reports whether the lease can be over by the end of o.
func (s *keyState) mayHaveLapsed(o *operation) bool { return o.end >= s.lapse() }

// steps returns every state that can follow s if o took effect there and was told what it was; none if it cannot be.
func steps(s keyState, o *operation) []keyState {
	if o.end < s.since {
		return cannot
	}
	next := stepsFrom(s, o)
	if s.givenBack {
		next = append(next, stepsFrom(keyState{}, o)...)
	}
	for i := range next {
		next[i].since = max(next[i].since, s.since)
	}
	return next
}

func stepsFrom(s keyState, o *operation) []keyState {
	switch o.verb {
	case verbClaim:
		return claimSteps(s, o)
	case verbPut:
		return putSteps(s, o)
	case verbGet:
		return getSteps(s, o)
	case verbDelete:
		return deleteSteps(s, o)
	case verbRenew:
		return renewSteps(s, o)
	default:
		return releaseSteps(s, o)
	}
}

var (
	stays  = func(s keyState) []keyState { return []keyState{s} }
	cannot []keyState
)

func claimSteps(s keyState, o *operation) []keyState {
	grant := keyState{locked: true, owner: o.owner, token: o.gotToken, fence: o.fence, leaseFrom: o.call, lease: o.lease}
	free := !s.completed && (!s.locked || s.mayHaveLapsed(o))
	if s.locked {
		grant.since = s.lapse()
	}
	switch o.result {
	case resultUnknown:
		if free {
			grant.givenBack = o.waits
			return []keyState{s, grant}
		}
		return stays(s)
	case resultGranted:
		var next []keyState
		if s.locked && s.owner == o.owner && (s.token == "" || s.token == o.gotToken && s.fence == o.fence) {
			reentered := s
			reentered.token, reentered.fence, reentered.givenBack = o.gotToken, o.fence, false
			next = append(next, reentered)
		}
		if free && (!s.locked || s.token != o.gotToken && s.fence < o.fence) {
			next = append(next, grant)
		}
		return next
	case resultInProgress:
		if s.locked && s.owner != o.owner {
			return stays(s)
		}
	case resultCompleted:
		if s.completed && s.body == o.gotBody {
			return stays(s)
		}
	}
	return cannot
}

func putSteps(s keyState, o *operation) []keyState {
	lost := o.token != "" && !s.completed && (!s.locked || s.token != o.token)
	different := s.completed && s.body != o.body
	switch {
	case o.result == resultUnknown && (lost || different):
		return stays(s)
	case o.result == resultUnknown:
		return []keyState{s, {completed: true, body: o.body}}
	case o.result == resultLockLost && lost, o.result == resultCompleted && different:
		return stays(s)
	case o.result == resultDone && !lost && !different:
		return stays(keyState{completed: true, body: o.body})
	default:
		return cannot
	}
}

func getSteps(s keyState, o *operation) []keyState {
	fits := false
	switch o.result {
	case resultCompleted:
		fits = s.completed && s.body == o.gotBody
	case resultAbsent:
		fits = !s.completed && !s.locked
	case resultLocked:
		fits = s.locked
	case resultLapsed:
		fits = s.locked && s.mayHaveLapsed(o)
	}
	if fits {
		return stays(s)
	}
	return cannot
}

func deleteSteps(s keyState, o *operation) []keyState {
	switch {
	case o.result == resultUnknown:
		return []keyState{s, {}}
	case o.existed == (s.locked || s.completed):
		return stays(keyState{})
	default:
		return cannot
	}
}

func renewSteps(s keyState, o *operation) []keyState {
	held := s.locked && s.token == o.token
	renewed := s
	renewed.leaseFrom, renewed.lease = o.call, o.lease
	switch {
	case o.result == resultUnknown && held:
		return []keyState{s, renewed}
	case o.result == resultUnknown, o.result == resultLockLost && !held:
		return stays(s)
	case o.result == resultDone && held:
		return stays(renewed)
	default:
		return cannot
	}
}

func releaseSteps(s keyState, o *operation) []keyState {
	held := s.locked && s.token == o.token
	lost := s.locked && !held
	switch {
	case o.result == resultUnknown && held:
		return []keyState{s, {}}
	case o.result == resultUnknown, o.result == resultLockLost && lost:
		return stays(s)
	case o.result == resultDone && held:
		return stays(keyState{})
	case o.result == resultDone && !lost:
		return stays(s)
	default:
		return cannot
	}
}

// recordModel is the model for porcupine, one key at a time.
var recordModel = (&porcupine.NondeterministicModel{
	Init: func() []any { return []any{keyState{}} },
	Step: func(state, input, _ any) []any {
		var next []any
		for _, s := range steps(state.(keyState), input.(*operation)) {
			next = append(next, s)
		}
		return next
	},
	DescribeOperation: func(input, _ any) string { return input.(*operation).String() },
	DescribeState:     func(state any) string { return fmt.Sprintf("%+v", state) },
}).ToModel()

// modelCase is a history and whether a correct cluster can produce it.
type modelCase struct {
	name    string
	fine    bool
	history []operation
}

// TestModel checks the checker.
func TestModel(t *testing.T) {
	t.Parallel()
	for _, tc := range modelCases() {
		h := &history{}
		for i := range tc.history {
			h.add(&tc.history[i])
		}
		if got := h.check() == nil; got != tc.fine {
			t.Errorf("%s: accepted is %t, want %t", tc.name, got, tc.fine)
		}
	}
}

// TestFences checks the check of fences, which looks across keys.
func TestFences(t *testing.T) {
	t.Parallel()
	on := func(key string, o operation) operation {
		o.key = key
		return o
	}
	first := on("x", at(1, 2, claim("a", resultGranted, "A", 5)))
	for _, tc := range []modelCase{
		{"a higher fence", true, []operation{first, on("y", at(3, 4, claim("b", resultGranted, "B", 6)))}},
		{"a lower fence", false, []operation{first, on("y", at(3, 4, claim("b", resultGranted, "B", 4)))}},
		{"a lower fence at the same time", true, []operation{first, on("y", at(1, 3, claim("b", resultGranted, "B", 4)))}},
		{"the same fence", false, []operation{first, on("y", at(1, 3, claim("b", resultGranted, "B", 5)))}},
		{"re-entry", true, []operation{first, on("y", at(3, 4, claim("b", resultGranted, "B", 6))),
			on("x", at(5, 6, claim("a", resultGranted, "A", 5)))}},
	} {
		h := &history{}
		for i := range tc.history {
			h.add(&tc.history[i])
		}
		if got := h.checkFences() == nil; got != tc.fine {
			t.Errorf("%s: accepted is %t, want %t", tc.name, got, tc.fine)
		}
	}
}

// Operations of the cases; instants are seconds, and every lease is ten of them.

func at(call, end int64, o operation) operation {
	o.call, o.end = call*int64(time.Second), end*int64(time.Second)
	return o
}

func unanswered(call int64, o operation) operation {
	o.call, o.end = call*int64(time.Second), endOfTime
	return o
}

func waiting(o operation) operation {
	o.waits = true
	return o
}

const caseLease = int64(10 * time.Second)

func claim(owner string, r result, token string, fence uint64) operation {
	return operation{
		verb: verbClaim, owner: owner, lease: caseLease, result: r, gotToken: token, fence: fence,
	}
}

func put(token, body string, r result) operation {
	return operation{verb: verbPut, token: token, body: body, result: r}
}

func get(r result, body string) operation { return operation{verb: verbGet, result: r, gotBody: body} }

func modelCases() []modelCase {
	grant := at(1, 2, claim("a", resultGranted, "A", 1))
	stored := at(3, 4, put("A", "x", resultDone))
	renewed := operation{verb: verbRenew, token: "A", lease: caseLease, result: resultDone}
	removed := operation{verb: verbDelete, result: resultDone, existed: true}
	return []modelCase{
		{"the usual", true, []operation{grant, at(1, 3, claim("b", resultInProgress, "", 0)), stored,
			at(5, 6, get(resultCompleted, "x"))}},
		{"two locks", false, []operation{grant, at(3, 4, claim("b", resultGranted, "B", 2))}},
		{"two locks at once", false, []operation{grant, at(1, 2, claim("b", resultGranted, "B", 2))}},
		{"a lapsed lock", true, []operation{grant, at(12, 13, claim("b", resultGranted, "B", 2))}},
		{"a lapsed lock with an older fence", false, []operation{grant, at(12, 13, claim("b", resultGranted, "B", 1))}},
		{"a re-entered lock", true, []operation{grant, at(3, 4, claim("a", resultGranted, "A", 1))}},
		{"a re-entered lock with another token", false, []operation{grant, at(3, 4, claim("a", resultGranted, "B", 2))}},
		{"a lost answer, re-entered", true, []operation{unanswered(1, claim("a", resultUnknown, "", 0)),
			at(3, 4, claim("b", resultInProgress, "", 0)), at(3, 4, claim("a", resultGranted, "A", 1))}},
		{"a waiter that left", true, []operation{waiting(unanswered(1, claim("a", resultUnknown, "", 0))),
			at(3, 4, claim("b", resultInProgress, "", 0)), at(5, 6, claim("b", resultGranted, "B", 2))}},
		{"a waiter that came back", false, []operation{waiting(unanswered(1, claim("a", resultUnknown, "", 0))),
			at(3, 4, claim("a", resultGranted, "A", 1)), at(5, 6, claim("b", resultGranted, "B", 2))}},
		{"a lost answer that never was", true, []operation{unanswered(1, claim("a", resultUnknown, "", 0)),
			at(3, 4, claim("b", resultGranted, "B", 1))}},
		{"a lost PUT", false, []operation{grant, stored, at(5, 6, get(resultLocked, ""))}},
		{"a lost record", false, []operation{grant, stored, at(5, 6, get(resultAbsent, ""))}},
		{"a changed record", false, []operation{grant, stored, at(5, 6, get(resultCompleted, "y"))}},
		{"a lock on a record", false, []operation{grant, stored, at(5, 6, claim("b", resultGranted, "B", 2))}},
		{"a stale read", false, []operation{grant, at(5, 6, get(resultAbsent, ""))}},
		{"a read beside a grant", true, []operation{grant, at(1, 2, get(resultAbsent, ""))}},
		{"an unknown PUT that shows late", true, []operation{grant, unanswered(3, put("A", "x", resultUnknown)),
			at(4, 5, get(resultLocked, "")), at(6, 7, get(resultCompleted, "x"))}},
		{"an unknown PUT that shows and vanishes", false, []operation{grant, unanswered(3, put("A", "x", resultUnknown)),
			at(4, 5, get(resultCompleted, "x")), at(6, 7, get(resultLocked, ""))}},
		{"a PUT with a token of the past", false, []operation{grant, at(12, 13, claim("b", resultGranted, "B", 2)),
			at(14, 15, put("A", "x", resultDone))}},
		{"a refused PUT of the holder", false, []operation{grant, at(3, 4, put("A", "x", resultLockLost))}},
		{"a lapse too early", false, []operation{grant, at(5, 6, get(resultLapsed, ""))}},
		{"a renewed lease that lapses too early", false, []operation{grant,
			at(8, 9, renewed),
			at(12, 13, claim("b", resultGranted, "B", 2))}},
		{"a deleted record", true, []operation{grant, stored,
			at(5, 6, removed), at(7, 8, get(resultAbsent, ""))}},
		{"a record that outlives its deletion", false, []operation{grant, stored,
			at(5, 6, removed), at(7, 8, get(resultCompleted, "x"))}},
		{"a released lock", true, []operation{grant, at(3, 4, operation{verb: verbRelease, token: "A", result: resultDone}),
			at(5, 6, claim("b", resultGranted, "B", 2))}},
		{"somebody else's release", false, []operation{grant,
			at(3, 4, operation{verb: verbRelease, token: "Z", result: resultDone}), at(5, 6, get(resultLocked, ""))}},
	}
}
