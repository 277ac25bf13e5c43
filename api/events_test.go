package api

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/syllecta/syllecta/fsm"
)

const eventsOfDemo = "/v1/admin/tenants/demo/events"

// putSource gives a fake node's tenant a source.
func (n *fakeNode) putSource(tenant fsm.TenantID, id, provider, name string, change func(*fsm.Source)) *fsm.Source {
	s := fsm.Source{
		Tenant: tenant, PublicID: id, Provider: provider, Name: name, CallbackURL: "https://shop.example/hook",
		DedupeWindowMs: fsm.DefaultDedupeWindowMs,
	}
	if change != nil {
		change(&s)
	}
	return n.apply(fsm.PutSource{Source: s})[0].Source
}

// accept has a source accept an event, or a repetition of one.
func (n *fakeNode) accept(s *fsm.Source, providerID, kind string) *fsm.Event {
	return n.apply(fsm.AcceptEvent{
		Tenant: s.Tenant, Source: s.ID, Nonce: n.index + 1, ProviderID: providerID, RawType: "raw." + kind, Type: kind, Payload: []byte("sealed"),
	})[0].Event
}

// report tells how an attempt to deliver an event went.
func (n *fakeNode) report(e *fsm.Event, a fsm.Attempt, v fsm.Verdict) *fsm.Event {
	a.StartedAtMs = n.nowMs
	return n.apply(fsm.ReportAttempt{
		Tenant: e.Tenant, Event: e.ID, Number: e.Attempts + 1, Attempt: a, Verdict: v, NextAtMs: n.nowMs + 5_000,
	})[0].Event
}

// eventNode is a fake node with events of two tenants, each a second after the one before.
type eventNode struct {
	*fakeNode
	s        *Server
	key      string
	events   map[string]*fsm.Event // of the first tenant, by the provider's ids
	foreign  *fsm.Event
	disabled *fsm.Source
}

// newEventNode has, from old to new: a processed and a queued event of stripe, of which the first was repeated twice, a failed
// one of github, one that waits because its source is disabled, an ignored one, and another tenant's.
func newEventNode(t *testing.T) *eventNode {
	t.Helper()
	n := &eventNode{events: make(map[string]*fsm.Event)}
	n.fakeNode, n.key = newFakeNode(t, "n1")
	n.s = newTestServer(t, n, nil)
	n.s.now = func() time.Time { return time.UnixMilli(n.nowMs) }
	n.apply(fsm.CreateTenant{PublicID: "ten_x", Slug: "other"})
	stripe := n.putSource(1, "src_s", "stripe", "default", nil)
	github := n.putSource(1, "src_g", "github", "ci", nil)
	n.disabled = n.putSource(1, "src_d", "github", "off", func(s *fsm.Source) { s.Disabled = true })
	silent := n.putSource(1, "src_i", "shopify", "default", func(s *fsm.Source) { s.CallbackURL = "" })
	foreign := n.putSource(2, "src_f", "stripe", "default", nil)
	add := func(s *fsm.Source, id, kind string) *fsm.Event {
		n.nowMs += 1_000
		e := n.accept(s, id, kind)
		n.events[id] = e
		return e
	}
	n.events["s1"] = n.report(add(stripe, "s1", "payment.succeeded"), fsm.Attempt{LatencyMs: 12, StatusCode: 200}, fsm.VerdictDelivered)
	add(stripe, "s2", "payment.failed")
	failed := n.report(add(github, "g1", "push"), fsm.Attempt{LatencyMs: 15_000, Error: "it timed out"}, fsm.VerdictRetry)
	n.events["g1"] = n.report(failed, fsm.Attempt{LatencyMs: 3, StatusCode: 500}, fsm.VerdictFailed)
	add(n.disabled, "d1", "push")
	add(silent, "i1", "order.created")
	n.foreign = n.accept(foreign, "s1", "payment.succeeded")
	for range 2 {
		n.nowMs += 1_000
		n.events["s1"] = n.accept(stripe, "s1", "payment.succeeded")
	}
	return n
}

// eventList is an answer to a listing.
type eventList struct {
	Events []struct {
		EventID, ID, Status string
		ReplayCount         int64
		Duplicates          []struct{ At, Source string }
	}
	Counts     map[string]map[string]int64
	NextCursor string
}

func (n *eventNode) list(t *testing.T, query string) (l eventList) {
	t.Helper()
	w := call(t, n.s, "GET", "/v1/events"+query, "", asTenant(n.key))
	if err := json.Unmarshal(w.Body.Bytes(), &l); err != nil || w.Code != 200 {
		t.Fatalf("%s: %d %v in %s", query, w.Code, err, w.Body)
	}
	if a := call(t, n.s, "GET", eventsOfDemo+query, "", asAdmin); a.Body.String() != w.Body.String() {
		t.Errorf("%s: the admin is told %s\nthe tenant %s", query, a.Body, w.Body)
	}
	return l
}

// ids are the provider's ids of the events that are listed.
func (l *eventList) ids() string {
	var ids []string
	for _, e := range l.Events {
		ids = append(ids, e.ID)
	}
	return strings.Join(ids, " ")
}

func TestListEvents(t *testing.T) {
	t.Parallel()
	n := newEventNode(t)
	id := func(name string) string { return n.events[name].ID.String() }
	const none = `"queued":0,"processed":0,"delivery_failed":0,"held":0,"ignored":0,"cached":0`
	one := func(status string) string { return strings.Replace(none, `"`+status+`":0`, `"`+status+`":1`, 1) }
	want := `{"events":[` +
		`{"eventId":"` + id("i1") + `","id":"i1","provider":"shopify","source":"default","providerRawType":"raw.order.created",` +
		`"type":"order.created","status":"ignored","receivedAt":"2026-11-20T12:00:05.000Z","attempts":0,"replayCount":0,"payloadForm":"none"},` +
		`{"eventId":"` + id("d1") + `","id":"d1","provider":"github","source":"off","providerRawType":"raw.push",` +
		`"type":"push","status":"held","receivedAt":"2026-11-20T12:00:04.000Z","attempts":0,"replayCount":0,"payloadForm":"raw"},` +
		`{"eventId":"` + id("g1") + `","id":"g1","provider":"github","source":"ci","providerRawType":"raw.push",` +
		`"type":"push","status":"delivery_failed","receivedAt":"2026-11-20T12:00:03.000Z","attempts":2,"replayCount":0,"payloadForm":"raw"},` +
		`{"eventId":"` + id("s2") + `","id":"s2","provider":"stripe","source":"default","providerRawType":"raw.payment.failed",` +
		`"type":"payment.failed","status":"queued","receivedAt":"2026-11-20T12:00:02.000Z","attempts":0,"replayCount":0,` +
		`"nextAttemptAt":"2026-11-20T12:00:02.000Z","payloadForm":"raw"},` +
		`{"eventId":"` + id("s1") + `","id":"s1","provider":"stripe","source":"default","providerRawType":"raw.payment.succeeded",` +
		`"type":"payment.succeeded","status":"processed","receivedAt":"2026-11-20T12:00:01.000Z","attempts":1,"replayCount":2,"payloadForm":"raw"}],` +
		`"counts":{"github":{"queued":0,"processed":0,"delivery_failed":1,"held":1,"ignored":0,"cached":0},` +
		`"shopify":{` + one("ignored") + `},` +
		`"stripe":{"queued":1,"processed":1,"delivery_failed":0,"held":0,"ignored":0,"cached":2}}}`
	wantBody(t, call(t, n.s, "GET", "/v1/events", "", asTenant(n.key)), 200, want)
	wantBody(t, call(t, n.s, "GET", eventsOfDemo, "", asAdmin), 200, want)
	wantProblem(t, call(t, n.s, "GET", "/v1/admin/tenants/nosuch/events", "", asAdmin), unknownTenant)
}

func TestListEventsByFilter(t *testing.T) {
	t.Parallel()
	n := newEventNode(t)
	for query, want := range map[string]string{
		"":                               "i1 d1 g1 s2 s1",
		"?provider=stripe":               "s2 s1",
		"?provider=none":                 "",
		"?source=default":                "i1 s2 s1",
		"?provider=github&source=off":    "d1",
		"?type=payment.*":                "s2 s1",
		"?type=payment":                  "",
		"?type=push&later=x":             "d1 g1",
		"?status=queued":                 "s2",
		"?status=processed":              "s1",
		"?status=delivery_failed":        "g1",
		"?status=held":                   "d1",
		"?status=ignored":                "i1",
		"?status=cached":                 "s1",
		"?status=cached&provider=github": "",
		"?from=2026-11-20T12:00:03Z":     "i1 d1 g1",
		"?to=2026-11-20T12:00:03Z":       "s2 s1",
		"?to=2026-11-20":                 "i1 d1 g1 s2 s1",
		"?to=2026-11-19":                 "",
		"?from=2026-11-20&to=2026-11-20": "i1 d1 g1 s2 s1",
		"?from=2026-11-21":               "",
		"?limit=2":                       "i1 d1",
		"?limit=500":                     "i1 d1 g1 s2 s1",
		"?from=2026-11-20T13:00:02%2B01:00&to=2026-11-20T12:00:02.001Z": "s2",
	} {
		l := n.list(t, query)
		if got := l.ids(); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
		if (l.NextCursor != "") != (query == "?limit=2") {
			t.Errorf("%s: cursor %q", query, l.NextCursor)
		}
	}
}

// TestCountEvents: counts are of all that match but for the status and the page, and asked for with the first page only.
func TestCountEvents(t *testing.T) {
	t.Parallel()
	n := newEventNode(t)
	for query, want := range map[string]string{
		"?status=held&limit=1":           "github:1,1 shopify:0,0 stripe:0,2",
		"?provider=stripe&status=cached": "stripe:0,2",
		"?type=push":                     "github:1,1",
		"?to=2026-11-19":                 "",
		"?source=off":                    "github:1,0",
		"?counts=true&source=ci":         "github:0,1",
	} {
		l := n.list(t, query)
		var got []string
		for provider, c := range l.Counts {
			got = append(got, fmt.Sprintf("%s:%d,%d", provider, c["held"], c["delivery_failed"]+c["cached"]))
		}
		slices.Sort(got)
		if l.Counts == nil || strings.Join(got, " ") != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	first := n.list(t, "?limit=2")
	for query, counted := range map[string]bool{
		"?counts=false": false, "?cursor=" + first.NextCursor: false, "?counts=true&cursor=" + first.NextCursor: true,
	} {
		if l := n.list(t, query); (l.Counts != nil) != counted {
			t.Errorf("%s: counts %v", query, l.Counts)
		}
	}
}

func TestListRepeatedEvents(t *testing.T) {
	t.Parallel()
	n := newEventNode(t)
	l := n.list(t, "?status=cached")
	if len(l.Events) != 1 || l.Events[0].Status != "cached" || l.Events[0].ReplayCount != 2 ||
		fmt.Sprint(l.Events[0].Duplicates) != "[{2026-11-20T12:00:07.000Z default} {2026-11-20T12:00:06.000Z default}]" {
		t.Errorf("%+v", l)
	}
	if l.Counts["stripe"]["cached"] != 2 || l.Counts["stripe"]["processed"] != 1 {
		t.Errorf("%v", l.Counts)
	}
	for range 2 * fsm.MaxKeptDuplicates {
		n.accept(n.Directory().Source(1, "src_s"), "s2", "payment.failed")
	}
	l = n.list(t, "?status=cached&limit=1")
	if len(l.Events) != 1 || l.Events[0].ReplayCount != 2*fsm.MaxKeptDuplicates || len(l.Events[0].Duplicates) != fsm.MaxKeptDuplicates ||
		l.NextCursor == "" {
		t.Errorf("%+v", l)
	}
}

func TestListEventsInPages(t *testing.T) {
	t.Parallel()
	n := newEventNode(t)
	s := n.Directory().Source(1, "src_s")
	for i := range 120 {
		n.accept(s, fmt.Sprint("more", i), "more")
	}
	var seen []string
	query, pages := "?type=more&limit=50", 0
	for {
		l := n.list(t, query)
		seen = append(seen, strings.Fields(l.ids())...)
		pages++
		n.accept(s, fmt.Sprint("later", pages), "more") // is no reason to see anything twice
		if l.NextCursor == "" {
			break
		}
		query = "?type=more&limit=50&cursor=" + l.NextCursor
	}
	if pages != 3 || len(seen) != 120 || seen[0] != "more119" || seen[119] != "more0" {
		t.Errorf("%d events in %d pages: %q", len(seen), pages, seen)
	}
	if l := n.list(t, "?type=more"); len(l.Events) != defaultListedEvents {
		t.Errorf("%d events unless told otherwise", len(l.Events))
	}
}

func TestListEventsRefuses(t *testing.T) {
	t.Parallel()
	n := newEventNode(t)
	for query, words := range map[string]string{
		"status=none":               "status is none of queued",
		"status=QUEUED":             "status is none of",
		"status=":                   "status",
		"status=queued&status=held": "status is given twice",
		"provider=" + strings.Repeat("x", fsm.MaxSlugBytes+1):  "provider",
		"source=" + strings.Repeat("x", fsm.MaxSlugBytes+1):    "source",
		"type=" + strings.Repeat("x", fsm.MaxEventTypeBytes+1): "type",
		"type=%00":                      "type contains a control character",
		"from=yesterday":                "from is neither an instant",
		"from=2026-11-31":               "from is neither",
		"from=2026-11-20T12:00:00":      "from is neither",
		"from=1969-12-31":               "from is neither",
		"to=2026-11-20T25:00:00Z":       "to is neither",
		"to=1970-01-01T00:00:00Z":       "from is not before to",
		"from=2026-11-21&to=2026-11-20": "from is not before to",
		"from=2026-11-20T12:00:00Z&to=2026-11-20T12:00:00Z": "from is not before to",
		"limit=0":                           "limit is not an integer between 1 and 500",
		"limit=501":                         "limit is not",
		"limit=x":                           "limit is not",
		"counts=yes":                        "counts is neither true nor false",
		"cursor=x":                          "cursor is none",
		"cursor=AAAAAAAAAAA":                "cursor is none",
		"cursor=__________8":                "cursor is none",
		"cursor=AAAAAAAAAAE%3D":             "cursor is none",
		"cursor=" + strings.Repeat("A", 65): "cursor",
	} {
		doc := wantProblem(t, call(t, n.s, "GET", "/v1/events?"+query, "", asTenant(n.key)), invalidField)
		if !strings.Contains(doc, words) {
			t.Errorf("%s: %s does not tell %q", query, doc, words)
		}
	}
}

func TestEventCursor(t *testing.T) {
	t.Parallel()
	for _, before := range []uint64{1, 255, 1 << 40, 1<<63 - 1} {
		if got, ok := parseEventCursor(eventCursor(before)); got != before || !ok {
			t.Errorf("%d: %d, %v", before, got, ok)
		}
	}
}

// TestListingsAreLimited per tenant and not per key.
func TestListingsAreLimited(t *testing.T) {
	t.Parallel()
	n := newEventNode(t)
	for i := range listingsPerSecond * listingWindow {
		who := n.asWhom()[i%2]
		if w := call(t, n.s, "GET", who.path+"/events", "", who.credentials); w.Code != 200 {
			t.Fatalf("listing %d: %d %s", i, w.Code, w.Body)
		}
	}
	for _, who := range n.asWhom() {
		w := call(t, n.s, "GET", who.path+"/events", "", who.credentials)
		wantQuota(t, w, `"listings";q=100;w=5`, `"listings";r=0;t=1`)
		wantProblem(t, w, rateLimited)
	}
	for _, target := range []string{"/v1/admin/tenants/other/events", eventsOfDemo + "/" + n.events["s1"].ID.String()} {
		if w := call(t, n.s, "GET", target, "", asAdmin); w.Code != 200 {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
	}
	n.advance(50 * time.Millisecond)
	if w := call(t, n.s, "GET", "/v1/events", "", asTenant(n.key)); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if got := limitedBy(n.s, limitedListings); got != 2 {
		t.Errorf("%g refusals counted", got)
	}
}

// TestEventsThroughAFollower: reads and changes are the leader's, however they come to it.
func TestEventsThroughAFollower(t *testing.T) {
	t.Parallel()
	for _, mode := range []FollowerMode{FollowersRedirect, FollowersForward} {
		for _, c := range []struct{ method, path, body string }{
			{"GET", "/events?status=delivery_failed", ""},
			{"GET", "/events/EVENT", ""},
			{"POST", "/events/EVENT/replay", ""},
			{"POST", "/events/EVENT/ignore", ""},
			{"POST", "/replays", `{"provider":"stripe"}`},
		} {
			for _, asWhom := range []string{"", "/admin/tenants/demo"} {
				p := newPair(t, mode)
				s := p.leader.putSource(1, "src_s", "stripe", "default", nil)
				e := p.leader.report(p.leader.accept(s, "s1", "t"), fsm.Attempt{StatusCode: 500}, fsm.VerdictFailed)
				target := "/v1" + asWhom + strings.Replace(c.path, "EVENT", e.ID.String(), 1)
				credentials := asTenant(p.key)
				if asWhom != "" {
					credentials = asAdmin
				}
				var w *httptest.ResponseRecorder
				if mode == FollowersForward {
					w = call(t, p.followerAPI, c.method, target, c.body, credentials)
				} else {
					w = call(t, p.leaderAPI, c.method, p.redirected(t, c.method, target, c.body, credentials), c.body)
				}
				if w.Code != 200 || strings.Contains(w.Body.String(), `"events":[]`) || len(p.follower.proposed()) != 0 ||
					(c.method == "POST") != (len(p.leader.proposed()) == 1) {
					t.Errorf("%s %s, %s: %d %s", c.method, target, mode, w.Code, w.Body)
				}
			}
		}
	}
}

// FuzzDecodeEventListing: whatever is asked, it is refused or a query that can be asked.
func FuzzDecodeEventListing(f *testing.F) {
	for _, seed := range []string{"", "status=cached&counts=false", "provider=stripe&source=default&type=payment.%2A&limit=500",
		"from=2026-11-20&to=2026-11-20T12:00:00Z&cursor=" + eventCursor(7), "limit=0", "%zz"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		l, p := decodeEventListing(raw)
		if p == nil && (l.Limit < 1 || l.Limit > maxListedEvents || l.FromMs < 0 || l.ToMs != 0 && l.ToMs <= l.FromMs ||
			l.Repeated && l.Status != 0 || len(l.Provider) > fsm.MaxSlugBytes || len(l.Type) > fsm.MaxEventTypeBytes) {
			t.Errorf("%q: %+v", raw, l)
		}
	})
}
