package api

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/syllecta/syllecta/fsm"
)

const dayLength = 24 * time.Hour

// newUsedNode returns a node with two tenants that have used something on the 1st, 19th and 20th of November.
func newUsedNode(t *testing.T) (n *fakeNode, first, second string) {
	t.Helper()
	n, first = newFakeNode(t, "n1")
	second, _ = NewAPIKey(bytes.NewReader(bytes.Repeat([]byte("ABCDEFGHIJ"), 100)))
	n.apply(fsm.CreateTenant{PublicID: "ten_2", Slug: "other"},
		fsm.CreateKey{Tenant: 2, PublicID: "key_2", Hash: HashKey(testKeySecret, second)},
		fsm.UpdateTenant{Tenant: 1, SetMonthlyClaims: true, MonthlyClaims: 5})
	claim := func(tenant fsm.TenantID, key string) {
		n.apply(fsm.Claim{ID: fsm.RecordID{Tenant: tenant, Scope: "s", Key: key}, Owner: fmt.Sprint("r:", n.index),
			LeaseMs: fsm.MaxLeaseMs, TTLMs: fsm.MaxTTLMs})
	}
	today := n.nowMs
	n.nowMs = today + (20 * dayLength).Milliseconds() // the committed clock never goes back, so these days are to come
	claim(1, "a")
	claim(1, "a") // a conflict
	n.nowMs += (18 * dayLength).Milliseconds()
	claim(1, "b")
	claim(2, "b")
	n.apply(fsm.Complete{ID: fsm.RecordID{Tenant: 1, Scope: "s", Key: "b"}, Status: 200, Headers: noHeaders, Body: noBody,
		TTLMs: fsm.MaxTTLMs})
	claim(1, "b") // a replay
	n.nowMs += dayLength.Milliseconds()
	for i := range 5 {
		claim(1, fmt.Sprint("c", i))
	}
	return n, first, second
}

// noEvents are the counts of who has none.
const noEvents = `"events":0,"duplicates":0,"deliveries":0,"delivery_failures":0`

func TestUsage(t *testing.T) {
	t.Parallel()
	n, first, second := newUsedNode(t) // now it is the 29th of December, noon
	s := newTestServer(t, n, nil)
	const (
		tenth  = `{"day":"2026-12-10","claims":1,"replays":0,"conflicts":1,"rejected":0,` + noEvents + `}`
		before = `{"day":"2026-12-28","claims":1,"replays":1,"conflicts":0,"rejected":0,` + noEvents + `}`
		today  = `{"day":"2026-12-29","claims":3,"replays":0,"conflicts":0,"rejected":2,` + noEvents + `}`
		month  = `{"month":{"month":"2026-12","claims":5,"limit":5,"resetsAt":"2027-01-01T00:00:00.000Z","events":0,"eventLimit":0,"storedBytes":1310,"storedBytesLimit":0},"days":[`
		none   = `"total":{"claims":0,"replays":0,"conflicts":0,"rejected":0,` + noEvents + `}}`
	)
	for _, c := range []struct{ query, days string }{
		{"", tenth + `,` + before + `,` + today + `],"total":{"claims":5,"replays":1,"conflicts":1,"rejected":2,` + noEvents + `}}`},
		{"?to=2026-12-28", tenth + `,` + before + `],"total":{"claims":2,"replays":1,"conflicts":1,"rejected":0,` + noEvents + `}}`},
		{"?from=2026-12-11&later=x", before + `,` + today + `],"total":{"claims":4,"replays":1,"conflicts":0,"rejected":2,` + noEvents + `}}`},
		{"?from=2026-12-10&to=2026-12-10", tenth + `],"total":{"claims":1,"replays":0,"conflicts":1,"rejected":0,` + noEvents + `}}`},
		{"?to=2026-11-30", `],` + none},
		{"?from=2026-12-11&to=2026-12-27", `],` + none},
		{"?from=2027-01-01&to=2028-02-04", `],` + none}, // 400 days
		{"?from=1970-01-01&to=1970-01-01", `],` + none},
	} {
		wantBody(t, call(t, s, "GET", "/v1/usage"+c.query, "", asTenant(first)), 200, month+c.days)
		for _, name := range []string{"demo", "ten_1"} {
			wantBody(t, call(t, s, "GET", "/v1/admin/tenants/"+name+"/usage"+c.query, "", asAdmin), 200, month+c.days)
		}
	}
	other := `{"month":{"month":"2026-12","claims":1,"limit":0,"resetsAt":"2027-01-01T00:00:00.000Z","events":0,"eventLimit":0,"storedBytes":0,"storedBytesLimit":0},"days":[` +
		`{"day":"2026-12-28","claims":1,"replays":0,"conflicts":0,"rejected":0,` + noEvents + `}],` +
		`"total":{"claims":1,"replays":0,"conflicts":0,"rejected":0,` + noEvents + `}}`
	for _, query := range []string{"", "?tenant=demo&id=ten_1", "?slug=demo"} { // nobody is shown another tenant's
		wantBody(t, call(t, s, "GET", "/v1/usage"+query, "", asTenant(second)), 200, other)
	}
	wantBody(t, call(t, s, "GET", "/v1/admin/usage", "", asAdmin), 200, `{"tenants":[`+
		`{"id":"ten_1","slug":"demo","total":{"claims":5,"replays":1,"conflicts":1,"rejected":2,`+noEvents+`}},`+
		`{"id":"ten_2","slug":"other","total":{"claims":1,"replays":0,"conflicts":0,"rejected":0,`+noEvents+`}}]}`)
	wantBody(t, call(t, s, "GET", "/v1/admin/usage?from=2026-12-29", "", asAdmin), 200, `{"tenants":[`+
		`{"id":"ten_1","slug":"demo","total":{"claims":3,"replays":0,"conflicts":0,"rejected":2,`+noEvents+`}},`+
		`{"id":"ten_2","slug":"other",`+none+`]}`)
	wantProblem(t, call(t, s, "GET", "/v1/admin/tenants/nobody/usage", "", asAdmin), unknownTenant)
	for _, target := range []string{"/v1/admin/tenants/other/usage", "/v1/admin/tenants/demo/usage", "/v1/admin/usage"} {
		wantProblem(t, call(t, s, "GET", target, "", asTenant(first)), forbidden)
		wantProblem(t, call(t, s, "GET", target, ""), invalidAPIKey)
	}
	wantProblem(t, call(t, s, "GET", "/v1/usage", "", asAdmin), invalidAPIKey)
	wantProblem(t, call(t, s, "GET", "/v1/usage", ""), invalidAPIKey)
}

// TestUsageByPlan: the limit is the plan's where the tenant has none of its own.
func TestUsageByPlan(t *testing.T) {
	t.Parallel()
	n, key := newFakeNode(t, "n1")
	n.setPlan(fsm.Plan{Name: "gold", MonthlyClaims: 77})
	w := call(t, newTestServer(t, n, nil), "GET", "/v1/usage", "", asTenant(key))
	wantBody(t, w, 200, `{"month":{"month":"2026-11","claims":0,"limit":77,"resetsAt":"2026-12-01T00:00:00.000Z","events":0,"eventLimit":0,"storedBytes":0,"storedBytesLimit":0},`+
		`"days":[],"total":{"claims":0,"replays":0,"conflicts":0,"rejected":0,`+noEvents+`}}`)
}

func TestUsageMalformed(t *testing.T) {
	t.Parallel()
	n, key := newFakeNode(t, "n1")
	s := newTestServer(t, n, nil)
	for query, detail := range map[string]string{
		"from=":                          "from is not 1 to 10",
		"to=":                            "to is not 1 to 10",
		"from=2026-11-31":                "from is not a day",
		"from=2026-1-1":                  "from is not a day",
		"from=20261101":                  "from is not a day",
		"from=yesterday":                 "from is not a day",
		"from=2026-11":                   "from is not a day",
		"from=2026/11/01":                "from is not a day",
		"from=2026-11-01T00:00Z":         "from is not 1 to 10",
		"from=-026-11-01":                "from is not a day",
		"from=1969-12-31":                "from is not a day",
		"to=0000-01-01":                  "to is not a day",
		"to=2026-02-29":                  "to is not a day",
		"from=2026-11-21":                "from is after to",
		"from=2026-11-02&to=2026-11-01":  "from is after to",
		"from=2025-10-16&to=2026-11-20":  "from … to are more than 400 days",
		"from=2025-10-16":                "from … to are more than 400 days",
		"from=1970-01-01&to=9999-12-31":  "from … to are more than 400 days",
		"from=2026-11-01&from=2026-11-2": "from is given twice",
		"to=2026-11-01&to=2026-11-01":    "to is given twice",
		"from=%zz":                       "percent-encoded",
		"from=%00":                       "control character",
	} {
		for target, auth := range map[string]string{
			"/v1/usage": asTenant(key), "/v1/admin/usage": asAdmin, "/v1/admin/tenants/demo/usage": asAdmin,
		} {
			doc := wantProblem(t, call(t, s, "GET", target+"?"+query, "", auth), invalidField)
			if !strings.Contains(doc, detail) {
				t.Errorf("%s?%s: %s", target, query, doc)
			}
		}
	}
	if n.asked != 0 {
		t.Error("the leader asked for what is refused")
	}
	if w := call(t, s, "GET", "/v1/usage?from=2025-10-17", "", asTenant(key)); w.Code != 200 {
		t.Errorf("400 days: %d %s", w.Code, w.Body)
	}
}

// TestDefaultDays: this month by the node's clock in UTC, or that of the end that is named.
func TestDefaultDays(t *testing.T) {
	t.Parallel()
	west := time.FixedZone("", -5*3600)
	for _, c := range []struct {
		query    string
		now      time.Time
		from, to string
	}{
		{"", time.Date(2026, 11, 30, 23, 59, 59, 0, time.UTC), "2026-11-01", "2026-11-30"},
		{"", time.Date(2026, 11, 30, 23, 0, 0, 0, west), "2026-12-01", "2026-12-01"},
		{"", time.Date(2028, 2, 29, 0, 0, 0, 0, time.UTC), "2028-02-01", "2028-02-29"},
		{"to=2026-02-10", time.Date(2026, 11, 30, 1, 0, 0, 0, time.UTC), "2026-02-01", "2026-02-10"},
		{"from=2026-10-10", time.Date(2026, 11, 30, 1, 0, 0, 0, time.UTC), "2026-10-10", "2026-11-30"},
	} {
		got, p := decodeDays(c.query, c.now)
		day := func(d fsm.Day) string { return time.UnixMilli(d.StartMs()).UTC().Format(time.DateOnly) }
		if p != nil || day(got.from) != c.from || day(got.to) != c.to {
			t.Errorf("%q at %s: %s … %s, %+v", c.query, c.now, day(got.from), day(got.to), p)
		}
	}
}

func TestControlReadsThroughAFollower(t *testing.T) {
	t.Parallel()
	for _, target := range []string{"/v1/usage?from=2026-11-20", "/v1/admin/usage",
		"/v1/admin/tenants/demo/usage?to=2026-11-20", plansPath, plansPath + "/starter", auditPath + "?limit=1"} {
		for _, mode := range []FollowerMode{FollowersRedirect, FollowersForward} {
			p := newPair(t, mode)
			p.leader.apply(fsm.Claim{ID: fsm.RecordID{Tenant: 1, Scope: "s", Key: "k"}, Owner: "o:", LeaseMs: 1000, TTLMs: 1000},
				fsm.PutPlan{Plan: fsm.Plan{Name: "starter"}})
			auth := asAdmin
			if strings.HasPrefix(target, "/v1/usage") {
				auth = asTenant(p.key)
			}
			want := call(t, p.leaderAPI, "GET", target, "", auth)
			if want.Code != 200 {
				t.Fatalf("%s: %d %s", target, want.Code, want.Body)
			}
			if mode == FollowersForward {
				wantBody(t, call(t, p.followerAPI, "GET", target, "", auth), 200, want.Body.String())
				continue
			}
			wantBody(t, call(t, p.leaderAPI, "GET", p.redirected(t, "GET", target, "", auth), ""), 200, want.Body.String())
		}
	}
}
