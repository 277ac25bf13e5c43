package api

import (
	"fmt"
	"strings"
	"testing"

	"github.com/syllecta/syllecta/cluster"
	"github.com/syllecta/syllecta/fsm"
)

// fail has a source accept that many events, none of which can be delivered.
func (n *eventNode) fail(s *fsm.Source, count int) {
	for i := range count {
		n.report(n.accept(s, fmt.Sprintf("f%d", i), "failing"), fsm.Attempt{StatusCode: 500}, fsm.VerdictFailed)
	}
}

func TestReplayEvents(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{}`:              `"matched":1,"replayed":1,"dryRun":false`,
		`{"dryRun":true}`: `"matched":1,"replayed":0,"dryRun":true`,
		`{"status":"delivery_failed","provider":"github","source":"ci","type":"push"}`: `"matched":1,"replayed":1,"dryRun":false`,
		`{"provider":"stripe"}`:                             `"matched":0,"replayed":0,"dryRun":false`,
		`{"status":"processed"}`:                            `"matched":1,"replayed":1,"dryRun":false`,
		`{"status":"held"}`:                                 `"matched":0,"replayed":0,"dryRun":false,"passedOver":1`, // it waits for its source
		`{"status":"ignored"}`:                              `"matched":0,"replayed":0,"dryRun":false,"passedOver":1`, // its payload is gone
		`{"from":"2026-11-20T12:00:04Z"}`:                   `"matched":0,"replayed":0,"dryRun":false`,
		`{"from":"2026-11-20","to":"2026-11-20","limit":1}`: `"matched":1,"replayed":1,"dryRun":false`,
	} {
		for i := range 2 {
			n := newEventNode(t)
			who := n.asWhom()[i]
			wantBody(t, call(t, n.s, "POST", who.path+"/replays", body, who.credentials), 200, `{"ok":true,`+want+`}`)
			again := call(t, n.s, "POST", who.path+"/replays", body, who.credentials)
			if dry := strings.Contains(body, "dryRun"); dry != (again.Body.String() == `{"ok":true,`+want+`}` && strings.Contains(want, `"matched":1`)) {
				t.Errorf("%s again: %s", body, again.Body)
			}
		}
	}
}

// TestReplayManyEvents: they are replayed in parts, the oldest first, all under one nonce.
func TestReplayManyEvents(t *testing.T) {
	t.Parallel()
	n := newEventNode(t)
	s := n.Directory().Source(1, "src_s")
	n.fail(s, 1_200)
	replay := func(body string) string {
		t.Helper()
		w := call(t, n.s, "POST", "/v1/replays", body, asTenant(n.key))
		if w.Code != 200 {
			t.Fatalf("%s: %d %s", body, w.Code, w.Body)
		}
		return w.Body.String()
	}
	if got := replay(`{"type":"failing","limit":1199,"dryRun":true}`); got != `{"ok":true,"matched":1199,"replayed":0,"dryRun":true,"more":true}` {
		t.Error(got)
	}
	if got := replay(`{"type":"failing","limit":100}`); got != `{"ok":true,"matched":100,"replayed":100,"dryRun":false,"more":true}` {
		t.Error(got)
	}
	before := len(n.proposed())
	if got := replay(`{"type":"failing","limit":1100}`); got != `{"ok":true,"matched":1100,"replayed":1100,"dryRun":false}` {
		t.Error(got)
	}
	var sizes []int
	nonces := make(map[string]bool)
	last := uint64(0)
	for _, c := range n.proposed()[before:] {
		cmd := c.Command.(fsm.Audited).Command.(fsm.ReplayEvents)
		sizes, nonces[cmd.Nonce] = append(sizes, len(cmd.Events)), true
		for _, id := range cmd.Events {
			if id.Seq <= last {
				t.Fatalf("%d comes after %d", id.Seq, last)
			}
			last = id.Seq
		}
	}
	if fmt.Sprint(sizes) != "[500 500 100]" || len(nonces) != 1 {
		t.Errorf("parts of %v under %d nonces", sizes, len(nonces))
	}
}

// TestReplayBreaksOff: once a part is done, no answer may say that nothing was changed, nor send the caller elsewhere.
func TestReplayBreaksOff(t *testing.T) {
	t.Parallel()
	for _, err := range []error{cluster.ErrNotLeader, cluster.ErrOutcomeUnknown, cluster.ErrBusy, cluster.ErrUnavailable} {
		n := newEventNode(t)
		n.fail(n.Directory().Source(1, "src_s"), 600)
		n.failure = []error{nil, nil, nil, nil, err} // to catch up, two lists and a part go well
		doc := wantProblem(t, call(t, n.s, "POST", "/v1/replays", `{"type":"failing"}`, asTenant(n.key)), outcomeUnknown)
		if !strings.Contains(doc, "500 of 600 events are replayed, perhaps more") {
			t.Error(doc)
		}
		wantBody(t, call(t, n.s, "POST", "/v1/replays", `{"type":"failing"}`, asTenant(n.key)), 200,
			`{"ok":true,"matched":100,"replayed":100,"dryRun":false}`)
	}
}

func TestReplayEventsRefuses(t *testing.T) {
	t.Parallel()
	n := newEventNode(t)
	for body, kind := range map[string]*errorKind{
		``: invalidJSON, `[]`: invalidJSON, `null`: invalidJSON, `{`: invalidJSON, `{"dryRun":true,"dryRun":true}`: invalidJSON,
		`{"dryrun":true}`: invalidField, `{"dry_run":true}`: invalidField, `{"events":[]}`: invalidField,
		`{"dryRun":"true"}`: invalidField, `{"dryRun":1}`: invalidField,
		`{"status":"queued"}`: invalidField, `{"status":"cached"}`: invalidField, `{"status":"all"}`: invalidField, `{"status":""}`: invalidField,
		`{"limit":0}`: invalidField, `{"limit":10001}`: invalidField, `{"limit":"1"}`: invalidField, `{"limit":1.0}`: invalidField,
		`{"from":"x"}`: invalidField, `{"from":"2026-11-21","to":"2026-11-20"}`: invalidField, `{"to":20261120}`: invalidField,
		`{"provider":"` + strings.Repeat("x", fsm.MaxSlugBytes+1) + `"}`: invalidField,
		`{"type":"a\u0000"}`: invalidField,
	} {
		for _, who := range n.asWhom() {
			wantProblem(t, call(t, n.s, "POST", who.path+"/replays", body, who.credentials), kind)
		}
	}
	wantProblem(t, call(t, n.s, "POST", "/v1/admin/tenants/nosuch/replays", "{}", asAdmin), unknownTenant)
	if len(n.proposed()) != 0 {
		t.Errorf("%+v", n.proposed())
	}
}

// FuzzDecodeReplays: whatever is sent, it is refused or a query that can be asked.
func FuzzDecodeReplays(f *testing.F) {
	for _, seed := range []string{`{}`, `{"status":"held","from":"2026-11-20","to":"2026-11-21T00:00:00Z","limit":5,"dryRun":true}`,
		`{"provider":"stripe","source":"default","type":"payment.*"}`, `{"x":1}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		r, p := decodeReplays(body)
		if p == nil && (r.limit < 1 || r.limit > maxReplayed || r.query.Status == 0 || r.query.Status == fsm.EventQueued ||
			r.query.Repeated || r.query.FromMs < 0 || r.query.ToMs != 0 && r.query.ToMs <= r.query.FromMs) {
			t.Errorf("%s: %+v", body, r)
		}
	})
}
