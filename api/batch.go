package api

import (
	"strconv"
	"time"

	"github.com/syllecta/syllecta/cluster"
	"github.com/syllecta/syllecta/fsm"
)

// maxBatchAnswerBytes bounds the answer of one POST /v1/records. A stored record that does not fit is refused in its
// place: a few kilobytes of keys must not buy hundreds of megabytes of bodies.
const maxBatchAnswerBytes = 8 << 20

// postRecords answers POST /v1/records: many claims in one log entry at most. A claim that is not valid refuses them all before
// anything is done; what the log refuses is a problem in its place among the results.
func postRecords(x *exchange) {
	claims, p := decodeClaims(x.body, x.limits())
	if p != nil {
		x.refuse(p)
		return
	}
	var longest time.Duration
	calls := make([]cluster.Call, len(claims))
	for i := range claims {
		c := &claims[i]
		x.complement(&c.Claim, ":"+strconv.Itoa(i))
		calls[i] = cluster.Call{Command: c.Claim, Wait: c.wait}
		longest = max(longest, c.wait)
	}
	if !x.takeClaims(calls...) {
		return
	}
	ctx, cancel := x.deadline(longest)
	defer cancel()
	results, ok := x.claim(ctx, calls...)
	if !ok {
		return
	}
	b := append(x.out.b[:0], `{"results":[`...)
	for i := range results {
		if i > 0 {
			b = append(b, ',')
		}
		if r := &results[i]; r.Outcome == fsm.Cached && len(b)+len(r.Record.Body) > maxBatchAnswerBytes {
			p := bodyTooLarge.problem("the answers together exceed %d bytes: ask for this record by itself", maxBatchAnswerBytes)
			b = p.append(b, x.id)
			continue
		}
		b = appendClaim(b, &results[i], x.id, x.s.now())
	}
	x.out.b = append(b, `]}`...)
	x.ok("batch")
}
