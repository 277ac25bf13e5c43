package api

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/syllecta/syllecta/fsm"
)

// asWhom are the two ways to a tenant's events.
func (n *eventNode) asWhom() []struct{ name, path, credentials string } {
	return []struct{ name, path, credentials string }{
		{"key_1", "/v1", asTenant(n.key)},
		{"admin", "/v1/admin/tenants/demo", asAdmin},
	}
}

func TestReplayEvent(t *testing.T) {
	t.Parallel()
	for i := range 2 {
		n := newEventNode(t)
		who := n.asWhom()[i]
		n.nowMs += 60_000
		w := call(t, n.s, "POST", who.path+"/events/"+n.events["g1"].ID.String()+"/replay", "", who.credentials)
		wantBody(t, w, 200, `{"ok":true,"changed":1}`)
		if e := n.machine.Event(1, n.events["g1"].ID); e.Status != fsm.EventQueued || e.NextAtMs != n.nowMs || e.Tries != 0 ||
			!strings.HasPrefix(e.Replay, "rpl_") || len(e.Replay) < 20 {
			t.Errorf("%+v", e)
		}
		n.wantAudited(t, w, who.name, "event.replay", "g1", 1)
	}
}

// wantAudited checks the last entry of the audit log.
func (n *eventNode) wantAudited(t *testing.T, w *httptest.ResponseRecorder, by, action, first string, events int) {
	t.Helper()
	entries := readAudit(t, n.s, "?limit=1000").Entries
	role := "tenant"
	if by == "admin" {
		role = "admin"
	}
	e := entries[len(entries)-1]
	if e.Actor != by || e.Role != role || e.RequestID != w.Header().Get(requestIDHeader) || e.Address != "192.0.2.1" ||
		e.Action != action || e.Target != n.events[first].ID.String() ||
		fmt.Sprint(e.Changes) != fmt.Sprintf("[{tenant  ten_1} {events  %d}]", events) {
		t.Errorf("audited as %+v", e)
	}
}

func TestIgnoreEvent(t *testing.T) {
	t.Parallel()
	for i := range 2 {
		n := newEventNode(t)
		who := n.asWhom()[i]
		for _, name := range []string{"g1", "s2", "d1"} { // failed, queued, held by its source
			w := call(t, n.s, "POST", who.path+"/events/"+n.events[name].ID.String()+"/ignore", "", who.credentials)
			wantBody(t, w, 200, `{"ok":true,"changed":1}`)
			n.wantAudited(t, w, who.name, "event.ignore", name, 1)
		}
		if l := n.list(t, "?status=ignored"); l.ids() != "i1 d1 g1 s2" {
			t.Error(l.ids())
		}
	}
}

// TestEventsThatDoNotChange: a refusal says why, and leaves nothing in the audit log.
func TestEventsThatDoNotChange(t *testing.T) {
	t.Parallel()
	n := newEventNode(t)
	n.apply(fsm.DeleteSource{Tenant: 1, PublicID: "src_g"}) // refused: an event of its waits
	gone := n.putSource(1, "src_x", "slack", "default", nil)
	e := n.report(n.accept(gone, "x1", "t"), fsm.Attempt{StatusCode: 200}, fsm.VerdictDelivered)
	n.events["x1"] = e
	n.apply(fsm.DeleteSource{Tenant: 1, PublicID: "src_x"})
	before := readAudit(t, n.s, "").Total
	for _, who := range n.asWhom() {
		for _, c := range []struct{ event, change, words string }{
			{"s2", "replay", "the event is queued already; nothing was changed"},
			{"d1", "replay", "the event waits until its source is enabled; nothing was changed"},
			{"i1", "replay", "the event's payload is not there any more"},
			{"x1", "replay", "the event's source was deleted"},
			{"i1", "ignore", "the event is ignored already; nothing was changed"},
			{"s1", "ignore", "the event is processed already"},
		} {
			doc := wantProblem(t, call(t, n.s, "POST", who.path+"/events/"+n.events[c.event].ID.String()+"/"+c.change, "", who.credentials), conflict)
			if !strings.Contains(doc, c.words) {
				t.Errorf("%s of %s: %s", c.change, c.event, doc)
			}
		}
	}
	if after := readAudit(t, n.s, "").Total; after != before {
		t.Errorf("%d entries more in the audit log", after-before)
	}
}

// TestReplaysAreLimited per tenant and not per key; many at once cost as much as ten.
func TestReplaysAreLimited(t *testing.T) {
	t.Parallel()
	n := newEventNode(t)
	replay := "/v1/events/" + n.events["s2"].ID.String() + "/replay"
	for i := range 40 {
		who := n.asWhom()[i%2]
		target := who.path + "/events/" + n.events["s2"].ID.String() + "/replay"
		wantProblem(t, call(t, n.s, "POST", target, "", who.credentials), conflict)
	}
	if w := call(t, n.s, "POST", "/v1/replays", `{"dryRun":true}`, asTenant(n.key)); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	for _, target := range []string{replay, "/v1/replays", "/v1/admin/tenants/demo/replays"} {
		credentials := asTenant(n.key)
		if strings.Contains(target, "admin") {
			credentials = asAdmin
		}
		w := call(t, n.s, "POST", target, `{}`, credentials)
		if w.Header().Get("Retry-After") != "1" {
			t.Errorf("%v", w.Header())
		}
		if doc := wantProblem(t, w, rateLimited); !strings.Contains(doc, "10 times per second one by one, and once per second by a filter;") {
			t.Error(doc)
		}
	}
	wantProblem(t, call(t, n.s, "POST", "/v1/admin/tenants/other/events/"+n.foreign.ID.String()+"/replay", "", asAdmin), conflict)
	if w := call(t, n.s, "POST", "/v1/events/"+n.events["g1"].ID.String()+"/ignore", "", asTenant(n.key)); w.Code != 200 {
		t.Errorf("what is no replay: %d %s", w.Code, w.Body)
	}
	n.advance(100 * time.Millisecond)
	wantProblem(t, call(t, n.s, "POST", "/v1/replays", `{}`, asTenant(n.key)), rateLimited)
	wantProblem(t, call(t, n.s, "POST", replay, "", asTenant(n.key)), conflict)
	wantProblem(t, call(t, n.s, "POST", replay, "", asTenant(n.key)), rateLimited)
	n.advance(time.Second)
	if w := call(t, n.s, "POST", "/v1/replays", `{}`, asTenant(n.key)); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if got := limitedBy(n.s, limitedReplays); got != 5 {
		t.Errorf("%g refusals counted", got)
	}
}

func TestActorsOfTenantsAreTheirKeys(t *testing.T) {
	t.Parallel()
	n := newEventNode(t)
	secret := n.addKey("key_ops", fsm.ScopeWebhooksWrite, 0)
	w := call(t, n.s, "POST", "/v1/replays", `{"status":"delivery_failed"}`, asTenant(secret))
	wantBody(t, w, 200, `{"ok":true,"matched":1,"replayed":1,"dryRun":false}`)
	n.wantAudited(t, w, "key_ops", "event.replay", "g1", 1)
}
