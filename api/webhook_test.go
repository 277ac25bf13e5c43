package api

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/syllecta/syllecta/api/envelope"
	"github.com/syllecta/syllecta/api/webhook"
	"github.com/syllecta/syllecta/cluster"
	"github.com/syllecta/syllecta/fsm"
)

const (
	testSecret   = "whsec_of_the_tests"
	stripeRoute  = "/v1/t/demo/webhooks/stripe"
	stripeHeader = "Stripe-Signature: "
)

// testKEKs are the key-encryption keys of all tests, so that what one server has encrypted another can read.
func testKEKs(t testing.TB) *envelope.KEKs {
	t.Helper()
	keks, err := envelope.ParseKEKs([]byte("kek_1:" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32))))
	if err != nil {
		t.Fatal(err)
	}
	return keks
}

// gateway is a server of a node whose tenant has sources.
type gateway struct {
	n   *fakeNode
	s   *Server
	key string // of the API
}

// newGateway returns one with a source of Stripe.
func newGateway(t testing.TB, change func(*Config)) *gateway {
	t.Helper()
	n, key := newFakeNode(t, "n1")
	g := &gateway{n: n, key: key}
	g.s = newTestServer(t, n, func(c *Config) {
		c.Vault = envelope.NewVault(testKEKs(t))
		if change != nil {
			change(c)
		}
	})
	g.addSource(t, fsm.Source{Provider: "stripe"}, testSecret)
	return g
}

// testDataKey is the first tenant's, drawn once for all nodes of a test.
func testDataKey(t testing.TB) (wrapped []byte, key *envelope.DataKey) {
	t.Helper()
	wrapped, key, err := testKEKs(t).NewDataKey("ten_1")
	if err != nil {
		t.Fatal(err)
	}
	return wrapped, key
}

// addSource gives the nodes a source, whose members have defaults.
func (g *gateway) addSource(t testing.TB, source fsm.Source, secrets ...string) *fsm.Source {
	t.Helper()
	return addSource(t, []*fakeNode{g.n}, source, secrets...)
}

func addSource(t testing.TB, nodes []*fakeNode, source fsm.Source, secrets ...string) *fsm.Source {
	t.Helper()
	wrapped, key := testDataKey(t)
	if kept := nodes[0].Directory().Tenant(1).DataKey; kept != "" {
		var err error
		if key, err = testKEKs(t).Unwrap("ten_1", []byte(kept)); err != nil {
			t.Fatal(err)
		}
	}
	setDefault(&source.Name, fsm.DefaultSourceName)
	setDefault(&source.CallbackURL, "https://callback.example/")
	source.Tenant, source.DedupeWindowMs = 1, fsm.DefaultDedupeWindowMs
	source.PublicID = "src_" + source.Provider + "_" + source.Name
	for i, secret := range secrets {
		source.Secrets = append(source.Secrets, fsm.SourceSecret{
			PublicID: fmt.Sprintf("sec_%d", i), Sealed: key.Seal(secretPurpose(source.PublicID), []byte(secret)),
		})
	}
	var made *fsm.Source
	for _, n := range nodes {
		n.apply(fsm.PutDataKey{Tenant: 1, Wrapped: wrapped})
		r := n.apply(fsm.PutSource{Source: source})[0]
		if r.Outcome != fsm.OK {
			t.Fatalf("%+v", r)
		}
		made = r.Source
	}
	return made
}

// signedStripe is the header line that signs a body as Stripe does.
func (g *gateway) signedStripe(body string) string {
	return stripeHeader + webhook.SignStripe(testSecret, []byte(body), g.s.now())
}

// post sends a body to a path, signed as by Stripe.
func (g *gateway) post(t testing.TB, target, body string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	return call(t, g.s, "POST", target, body, append(headers, g.signedStripe(body))...)
}

// events are all that providers have sent the first tenant, the oldest first.
func (g *gateway) events() (events []*fsm.Event) { return eventsOf(g.n) }

func eventsOf(n *fakeNode) (events []*fsm.Event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, e := range n.machine.EventLog().List(fsm.EventQuery{Tenant: 1, Limit: 10_000}).Events {
		if e.Provider != fsm.OwnProvider {
			events = append([]*fsm.Event{e}, events...)
		}
	}
	return events
}

// stored opens what is kept of an event.
func (g *gateway) stored(t testing.TB, e *fsm.Event) webhook.Stored {
	t.Helper()
	dir := g.n.Directory()
	key, err := testKEKs(t).Unwrap("ten_1", []byte(dir.Tenant(1).DataKey))
	if err != nil {
		t.Fatal(err)
	}
	b, err := key.Open(eventPurpose(dir.SourceByID(e.Source).PublicID), e.Payload)
	if err != nil {
		t.Fatal(err)
	}
	s, err := webhook.DecodeStored(b)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// index is how many entries the log has.
func (n *fakeNode) appliedIndex() uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.index
}

// stripeEvent is the body of an event of Stripe.
func stripeEvent(id, kind string) string {
	return fmt.Sprintf(`{"id":%q,"type":%q,"created":1700000000,"data":{"object":{"status":"won"}}}`, id, kind)
}

// wantWebhookProblem checks a refusal and the member that is documented beside the problem's own.
func wantWebhookProblem(t testing.TB, w *httptest.ResponseRecorder, kind *errorKind, word string) string {
	t.Helper()
	doc := wantProblem(t, w, kind)
	if !strings.HasPrefix(doc, `{"error":"`+word+`","type":`) {
		t.Fatalf("no %q in %s", word, doc)
	}
	if mustWait := kind.status == 429 || kind.status >= 503; mustWait != (w.Header().Get("Retry-After") != "") {
		t.Fatalf("headers %v", w.Header())
	}
	return doc
}

// TestGuideWebhookIdempotency is the guide's section of that name.
func TestGuideWebhookIdempotency(t *testing.T) {
	t.Parallel()
	g := newGateway(t, nil)
	body := stripeEvent("evt_1", "charge.dispute.updated")
	w := g.post(t, stripeRoute, body, "Content-Type: application/json", "Authorization: Bearer x", "Cookie: c")
	wantBody(t, w, 200, `{"ok":true}`)
	if w.Header().Get("Content-Type") != "application/json" || w.Header().Get(indexHeader) == "" {
		t.Errorf("headers %v", w.Header())
	}
	for i := range 3 {
		g.n.advance(time.Second)
		wantBody(t, g.post(t, stripeRoute, body), 200, `{"ok":true,"cached":true}`)
		if e := g.events()[0]; e.Duplicates != uint64(i+1) {
			t.Errorf("%d repetitions are counted", e.Duplicates)
		}
	}
	wantBody(t, g.post(t, "/v1/webhooks/stripe", body, asTenant(g.key)), 200, `{"ok":true,"cached":true}`)
	other := stripeEvent("evt_2", "charge.dispute.created")
	wantBody(t, g.post(t, "/v1/webhooks/stripe?source=default", other, asTenant(g.key)), 200, `{"ok":true}`)

	events := g.events()
	if len(events) != 2 {
		t.Fatalf("%d events", len(events))
	}
	e := events[0]
	if e.ProviderID != "evt_1" || e.RawType != "charge.dispute.updated" || e.Type != "chargeback.under_review" ||
		e.OccurredAtMs != 1_700_000_000_000 || e.Status != fsm.EventQueued || e.Synthetic || e.Mismatch {
		t.Errorf("%+v", e)
	}
	stored := g.stored(t, e)
	if string(stored.Payload) != body || len(stored.Raw) > 0 || len(stored.Headers) != 2 ||
		stored.Headers.Get("Stripe-Signature") == "" || stored.Headers.Get("Content-Type") != "application/json" {
		t.Errorf("kept: %+v", stored)
	}
	if bytes.Contains(e.Payload, []byte("evt_1")) {
		t.Error("the payload can be read in the log")
	}
}

func TestBadSignatureLeavesNoEntry(t *testing.T) {
	t.Parallel()
	g := newGateway(t, nil)
	g.addSource(t, fsm.Source{Provider: "stripe", Name: "other"}, "whsec_another")
	body := stripeEvent("evt_1", "charge.dispute.created")
	old := stripeHeader + webhook.SignStripe(testSecret, []byte(body), g.s.now().Add(-6*time.Minute))
	before := g.n.appliedIndex()
	for name, w := range map[string]*httptest.ResponseRecorder{
		"none":           call(t, g.s, "POST", stripeRoute, body),
		"another secret": g.post(t, stripeRoute+"?source=other", body),
		"another body":   call(t, g.s, "POST", stripeRoute, body+" ", g.signedStripe(body)),
		"too old":        call(t, g.s, "POST", stripeRoute, body, old),
		"no JSON":        call(t, g.s, "POST", stripeRoute, "{", stripeHeader+"t=1,v1=00"),
		"a GET":          call(t, g.s, "GET", stripeRoute, ""),
		"with a key":     call(t, g.s, "POST", "/v1/webhooks/stripe", body, asTenant(g.key)),
	} {
		t.Log(name)
		wantWebhookProblem(t, w, invalidSignature, "invalid signature")
	}
	if after := g.n.appliedIndex(); after != before || len(g.events()) != 0 {
		t.Errorf("%d entries more, %d events", after-before, len(g.events()))
	}
	if got := counted(t, g.s, "syllecta_webhook_invalid_signatures_total"); got != 7 {
		t.Errorf("%g are counted", got)
	}
	wantBody(t, g.post(t, stripeRoute, body), 200, `{"ok":true}`) // nobody has burned its id
}

// counted sums a counter over its labels.
func counted(t testing.TB, s *Server, name string) (sum float64) {
	t.Helper()
	families, err := s.cfg.Gatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

func TestWebhookToNobody(t *testing.T) {
	t.Parallel()
	g := newGateway(t, nil)
	for target, want := range map[string]*errorKind{
		"/v1/t/nobody/webhooks/stripe":    unknownTenant,
		"/v1/t/demo/webhooks/github":      notFound,
		"/v1/t/demo/webhooks/none":        notFound,
		stripeRoute + "?source=other":     notFound,
		stripeRoute + "?source=a&source=": invalidField,
		stripeRoute + "?source=%0a":       invalidField,
		stripeRoute + "?source=%":         invalidField,
	} {
		word := strings.ReplaceAll(want.code, "_", " ")
		doc := wantWebhookProblem(t, g.post(t, target, "{}"), want, word)
		if want == notFound && !strings.Contains(doc, `\"`) {
			t.Errorf("%s: %s", target, doc)
		}
	}
	doc := wantProblem(t, g.post(t, stripeRoute+"?source=other", "{}"), notFound)
	if !strings.Contains(doc, `no source of \"stripe\" named \"other\"`) {
		t.Error(doc)
	}
	wantWebhookProblem(t, g.post(t, "/v1/webhooks/stripe", "{}"), invalidAPIKey, "invalid api key")
}

// TestWebhookThatFindsNoHandler: the documented member is in every refusal, whoever makes it.
func TestWebhookThatFindsNoHandler(t *testing.T) {
	t.Parallel()
	g := newGateway(t, nil)
	large := "X-Pad: " + strings.Repeat("x", maxHeaderBytes)
	for _, path := range []string{stripeRoute, "/v1/webhooks/stripe"} {
		for _, c := range []struct {
			method, target string
			headers        []string
			want           *errorKind
			word           string
		}{
			{"PUT", path, nil, methodNotAllowed, "method not allowed"},
			{"DELETE", path + "?source=x", nil, methodNotAllowed, "method not allowed"},
			{"POST", path, []string{large}, headersTooLarge, "headers too large"},
			{"POST", path + "?pad=" + strings.Repeat("x", maxHeaderBytes), nil, headersTooLarge, "headers too large"},
			{"POST", path + "/", nil, notFound, "not found"},
			{"POST", path + "/more", nil, notFound, "not found"},
			{"POST", strings.TrimSuffix(path, "stripe"), nil, notFound, "not found"},
			{"POST", strings.Replace(path, "/stripe", "//stripe", 1), nil, notFound, "not found"},
			{"POST", strings.Replace(path, "/stripe", "/../stripe", 1), nil, notFound, "not found"},
			{"POST", strings.Replace(path, "stripe", "stri%70e", 1), nil, notFound, "not found"},
		} {
			doc := wantWebhookProblem(t, call(t, g.s, c.method, c.target, "{}", c.headers...), c.want, c.word)
			if !strings.Contains(doc, `"requestId":"`) {
				t.Errorf("%s %s: %s", c.method, c.target, doc)
			}
		}
	}
	for target, want := range map[string]*errorKind{ // no provider is told to call these
		"/v1/webhook": notFound, "/v1/tenant": methodNotAllowed, "/v1/admin/tenants/demo/webhooks/stripe": notFound, "/": notFound,
	} {
		if doc := wantProblem(t, call(t, g.s, "PUT", target, "{}"), want); !strings.HasPrefix(doc, `{"type":`) {
			t.Errorf("%s: %s", target, doc)
		}
	}
}

func TestWebhookThatCannotBeRead(t *testing.T) {
	t.Parallel()
	g := newGateway(t, nil)
	before := g.n.appliedIndex()
	doc := wantWebhookProblem(t, g.post(t, stripeRoute, `{"id":"a","id":"b"}`), unreadableWebhook, "unreadable webhook")
	if !strings.Contains(doc, "a member is given twice") {
		t.Error(doc)
	}
	doc = wantWebhookProblem(t, g.post(t, stripeRoute, `not JSON`), unreadableWebhook, "unreadable webhook")
	if !strings.Contains(doc, "cannot be read: invalid character") {
		t.Error(doc)
	}
	doc = wantWebhookProblem(t, g.post(t, stripeRoute, `{"type":"x"}`), missingEventID, "missing event id")
	if !strings.Contains(doc, "the event has no id") {
		t.Error(doc)
	}
	doc = wantWebhookProblem(t, g.post(t, stripeRoute, strings.Repeat("x", webhookBodyBytes+1)), bodyTooLarge, "body too large")
	if !strings.Contains(doc, `"limit":1048576`) {
		t.Error(doc)
	}
	r := httptest.NewRequest("POST", stripeRoute, strings.NewReader(strings.Repeat("x", webhookBodyBytes+1)))
	r.ContentLength = -1
	w := httptest.NewRecorder()
	g.s.ServeHTTP(w, r)
	wantWebhookProblem(t, w, bodyTooLarge, "body too large")
	wantWebhookProblem(t, g.post(t, stripeRoute, `{}`, "Content-Encoding: gzip"), unsupportedMediaType, "unsupported media type")
	if g.n.appliedIndex() != before {
		t.Error("something was proposed")
	}
	fits := `{"id":"evt_big","type":"x","pad":"` + strings.Repeat("x", webhook.MaxStoredBytes-2_000) + `"}`
	wantBody(t, g.post(t, stripeRoute, fits), 200, acceptedAnswer)
	over := `{"id":"evt_bigger","type":"x","pad":"` + strings.Repeat("x", webhook.MaxStoredBytes) + `"}`
	wantWebhookProblem(t, g.post(t, stripeRoute, over), bodyTooLarge, "body too large")
	for _, contentType := range []string{"text/plain", "application/xml", "application/x-www-form-urlencoded", "x"} {
		wantBody(t, g.post(t, stripeRoute, stripeEvent("evt_"+contentType, "x"), "Content-Type: "+contentType), 200, acceptedAnswer)
	}
}

func TestSuspendedTenantsWebhooks(t *testing.T) {
	t.Parallel()
	g := newGateway(t, nil)
	g.n.apply(fsm.UpdateTenant{Tenant: 1, SetSuspended: true, Suspended: true})
	body := stripeEvent("evt_1", "charge.dispute.created")
	wantBody(t, g.post(t, stripeRoute, body), 200, acceptedAnswer)
	wantBody(t, g.post(t, stripeRoute, body), 200, cachedAnswer)
	wantWebhookProblem(t, call(t, g.s, "POST", stripeRoute, body), invalidSignature, "invalid signature")
	if e := g.events()[0]; e.Status != fsm.EventIgnored || len(e.Payload) != 0 {
		t.Errorf("%+v", e)
	}
}

func TestWebhooksOverThePlan(t *testing.T) {
	t.Parallel()
	g := newGateway(t, nil)
	plan := fsm.Plan{Name: "small", MonthlyEvents: 1}
	g.n.apply(fsm.PutPlan{Plan: plan}, fsm.UpdateTenant{Tenant: 1, SetPlan: true, Plan: "small"})
	first, second := stripeEvent("evt_1", "x"), stripeEvent("evt_2", "x")
	wantBody(t, g.post(t, stripeRoute, first), 200, acceptedAnswer)
	w := g.post(t, stripeRoute, second)
	doc := wantWebhookProblem(t, w, usageLimitExceeded, "rate limited")
	wantQuota(t, w, `"monthly-events";q=1;w=2592000`, `"monthly-events";r=0;t=907200`)
	if !strings.Contains(doc, "limit of 1 events per month") || !strings.Contains(doc, `"limit":1}`) {
		t.Error(doc)
	}
	wantBody(t, g.post(t, stripeRoute, first), 200, cachedAnswer) // repetitions are always taken

	plan.HoldEvents = true
	g.n.apply(fsm.PutPlan{Plan: plan})
	wantBody(t, g.post(t, stripeRoute, second), 202, `{"ok":true,"queued":true}`)
	wantBody(t, g.post(t, stripeRoute, second), 200, cachedAnswer)
	if e := g.events(); len(e) < 2 || e[1].Status != fsm.EventHeld {
		t.Errorf("%+v", e)
	}
}

func TestWebhooksOfADisabledSource(t *testing.T) {
	t.Parallel()
	g := newGateway(t, nil)
	g.addSource(t, fsm.Source{Provider: "stripe", Name: "off", Disabled: true}, testSecret)
	wantBody(t, g.post(t, stripeRoute+"?source=off", stripeEvent("evt_1", "x")), 202, queuedAnswer)
}

// TestSourceThatIsNotReady: providers are told to come again, so that nothing is lost until it is.
func TestSourceThatIsNotReady(t *testing.T) {
	t.Parallel()
	g := newGateway(t, nil)
	g.addSource(t, fsm.Source{Provider: "stripe", Name: "bare"})
	g.addSource(t, fsm.Source{Provider: "stripe", Name: "odd", Options: []byte(`{"colour":1}`)}, testSecret)
	body := stripeEvent("evt_1", "x")
	for name, detail := range map[string]string{"bare": "0 secrets", "odd": "colour is not known"} {
		doc := wantWebhookProblem(t, g.post(t, stripeRoute+"?source="+name, body), sourceNotReady, "source not ready")
		if !strings.Contains(doc, detail) {
			t.Error(doc)
		}
	}
	locked := newTestServer(t, g.n, nil) // has no key-encryption key
	w := call(t, locked, "POST", stripeRoute, body, g.signedStripe(body))
	if doc := wantWebhookProblem(t, w, noKEK, "no kek"); !strings.Contains(doc, "kek_1") || !strings.Contains(doc, "--kek-file") {
		t.Error(doc)
	}
	for s, want := range map[*Server]string{locked: "syllecta_kek_missing_tenants 1\n", g.s: "syllecta_kek_missing_tenants 0\n"} {
		if page := call(t, s, "GET", "/metrics", "").Body.String(); !strings.Contains(page, want) {
			t.Errorf("no %q", want)
		}
	}
	if len(g.events()) != 0 {
		t.Error("something was accepted")
	}
}

// TestRefusedWebhooksAreLogged with whose they were, and without a word of what they said.
func TestRefusedWebhooksAreLogged(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	g := newGateway(t, func(c *Config) {
		c.Logger = slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	g.addSource(t, fsm.Source{Provider: "stripe", Name: "bare"})
	for target, want := range map[string]string{
		stripeRoute:                  "level=DEBUG .*code=invalid_signature .*tenant=ten_1 source=src_stripe_default",
		stripeRoute + "?source=bare": "level=WARN .*code=source_not_ready .*tenant=ten_1 source=src_stripe_bare",
		"/v1/t/nobody/webhooks/x":    "level=DEBUG .*code=unknown_tenant ",
	} {
		out.Reset()
		call(t, g.s, "POST", target, "canary", stripeHeader+"canary")
		if line := out.String(); !regexp.MustCompile(want).MatchString(line) || strings.Contains(line, "canary") {
			t.Errorf("%s: %s", target, line)
		}
	}
}

func TestHandshakes(t *testing.T) {
	t.Parallel()
	g := newGateway(t, nil)
	g.addSource(t, fsm.Source{Provider: "braintree"}, "public|private")
	g.addSource(t, fsm.Source{Provider: "slack"}, testSecret)
	before := g.n.appliedIndex()
	w := call(t, g.s, "GET", "/v1/t/demo/webhooks/braintree?bt_challenge=0123456789abcdef0123", "")
	if w.Code != 200 || !strings.HasPrefix(w.Body.String(), "public|") || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") {
		t.Errorf("braintree: %d %s %v", w.Code, w.Body, w.Header())
	}
	body := `{"type":"url_verification","challenge":"echo-me"}`
	at := fmt.Sprint(g.s.now().Unix())
	w = call(t, g.s, "POST", "/v1/t/demo/webhooks/slack", body, "X-Slack-Request-Timestamp: "+at,
		"X-Slack-Signature: v0="+hmacHex(testSecret, "v0:"+at+":"+body))
	if w.Code != 200 || !strings.Contains(w.Body.String(), "echo-me") {
		t.Errorf("slack: %d %s", w.Code, w.Body)
	}
	if g.n.appliedIndex() != before {
		t.Error("a handshake is in the log")
	}
}

func TestAliasOfAProvider(t *testing.T) {
	t.Parallel()
	g := newGateway(t, nil)
	g.addSource(t, fsm.Source{Provider: "standardwebhooks"}, "whsec_"+base64.StdEncoding.EncodeToString([]byte("secret")))
	for _, name := range []string{"svix", "standard-webhooks", "standardwebhooks"} {
		wantProblem(t, call(t, g.s, "POST", "/v1/t/demo/webhooks/"+name, "{}"), invalidSignature)
	}
}

// TestWebhookBatch: of a request with several events, those that are known are no obstacle to the others.
func TestWebhookBatch(t *testing.T) {
	t.Parallel()
	g := newGateway(t, nil)
	g.addSource(t, fsm.Source{Provider: "adyen", Raw: true}, adyenKey)
	const route = "/v1/t/demo/webhooks/adyen"
	send := func(items ...string) {
		t.Helper()
		w := call(t, g.s, "POST", route, adyenBatch(t, items...), "Content-Type: application/json")
		wantBody(t, w, 200, "[accepted]")
	}
	before := g.n.appliedIndex()
	send("A", "B")
	send("B", "C", "B")
	send("A", "B", "C")
	if got := g.n.appliedIndex() - before; got != 3 {
		t.Errorf("%d entries for 3 requests", got)
	}
	var got []string
	for _, e := range g.events() {
		got = append(got, fmt.Sprintf("%s %s %d %t", e.ProviderID, e.Type, e.Duplicates, e.Mismatch))
	}
	want := []string{
		"A/CHARGEBACK/true chargeback.opened 1 false", "B/CHARGEBACK/true chargeback.opened 3 false",
		"C/CHARGEBACK/true chargeback.opened 1 false",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got %q", got)
	}
	if s := g.stored(t, g.events()[0]); !bytes.Equal(s.Raw, s.Payload) || s.ContentType != "application/json" {
		t.Errorf("kept of one of several: %+v", s)
	}
	send("D")
	if s := g.stored(t, g.events()[3]); !strings.Contains(string(s.Raw), "notificationItems") {
		t.Errorf("kept of one: %s", s.Raw)
	}
	wantWebhookProblem(t, call(t, g.s, "POST", route, `{"notificationItems":[]}`), invalidSignature, "invalid signature")
}

// TestLargeWebhookBatch has more events than an entry takes.
func TestLargeWebhookBatch(t *testing.T) {
	t.Parallel()
	g := newGateway(t, nil)
	g.addSource(t, fsm.Source{Provider: "adyen"}, adyenKey)
	var items []string
	for i := range 600 {
		items = append(items, fmt.Sprintf("P%d", i))
	}
	g.n.failure = []error{nil, cluster.ErrBusy} // what was accepted before is accepted once more
	before := g.n.appliedIndex()
	w := call(t, g.s, "POST", "/v1/t/demo/webhooks/adyen", adyenBatch(t, items...))
	wantBody(t, w, 200, "[accepted]")
	if got := g.n.appliedIndex() - before; got != 4 || len(g.events()) != 600 {
		t.Errorf("%d events in %d entries", len(g.events()), got)
	}
	for _, e := range g.events() {
		if e.Duplicates != 0 {
			t.Fatalf("%+v is counted as a repetition", e)
		}
	}
}

func TestRawIsKept(t *testing.T) {
	t.Parallel()
	g := newGateway(t, nil)
	g.addSource(t, fsm.Source{Provider: "stripe", Name: "raw", Raw: true}, testSecret)
	body := " " + stripeEvent("evt_1", "x") + "\r\n"
	wantBody(t, g.post(t, stripeRoute+"?source=raw", body, "Content-Type: application/json; charset=utf-8"), 200, acceptedAnswer)
	s := g.stored(t, g.events()[0])
	if string(s.Raw) != body || s.ContentType != "application/json; charset=utf-8" || string(s.Payload) != strings.TrimSpace(body) {
		t.Errorf("%+v", s)
	}
}

func TestOddTypesAndTimes(t *testing.T) {
	t.Parallel()
	g := newGateway(t, nil)
	long := strings.Repeat("é", 200)
	wantBody(t, g.post(t, stripeRoute, `{"id":"evt_1","type":"`+long+`","created":999999999999}`), 200, acceptedAnswer)
	if e := g.events()[0]; e.RawType != strings.Repeat("é", 128) || e.Type != e.RawType || e.OccurredAtMs != 0 {
		t.Errorf("%+v", e)
	}
}

// TestWebhookBytesAreBounded: strangers cannot fill the memory with bodies.
func TestWebhookBytesAreBounded(t *testing.T) {
	t.Parallel()
	g := newGateway(t, nil)
	body := stripeEvent("evt_1", "x")
	g.s.webhookBytes.Store(maxWebhookBytes - int64(len(body)) + 1)
	wantWebhookProblem(t, g.post(t, stripeRoute, body), busy, "busy")
	if w := g.post(t, "/v1/webhooks/stripe", body, asTenant(g.key)); w.Code != 200 {
		t.Errorf("with a key: %d %s", w.Code, w.Body)
	}
	g.s.webhookBytes.Add(-1)
	wantBody(t, g.post(t, stripeRoute, body), 200, cachedAnswer)
	if got := g.s.webhookBytes.Load(); got != maxWebhookBytes-int64(len(body)) {
		t.Errorf("%d bytes are still counted", got)
	}
}

// TestLargeBodiesLeaveRoomForSmallOnes: a few strangers that send large bodies, and never their end, keep out large ones only.
func TestLargeBodiesLeaveRoomForSmallOnes(t *testing.T) {
	t.Parallel()
	g := newGateway(t, nil)
	large := strings.Repeat(" ", smallWebhookBytes) + stripeEvent("evt_1", "x")
	g.s.webhookBytes.Store(maxLargeWebhookBytes - int64(len(large)) + 1)
	wantWebhookProblem(t, g.post(t, stripeRoute, large), busy, "busy")
	g.s.webhookBytes.Add(-1)
	wantBody(t, g.post(t, stripeRoute, large), 200, acceptedAnswer)
	g.s.webhookBytes.Store(maxLargeWebhookBytes)
	wantBody(t, g.post(t, stripeRoute, stripeEvent("evt_2", "x")), 200, acceptedAnswer)
}

func TestTooManyHeadersToKeep(t *testing.T) {
	t.Parallel()
	g := newGateway(t, nil)
	var headers []string
	for range webhook.MaxStoredHeaders {
		headers = append(headers, "X: y")
	}
	doc := wantWebhookProblem(t, g.post(t, stripeRoute, stripeEvent("evt_1", "x"), headers...), bodyTooLarge, "body too large")
	if !strings.Contains(doc, "1001 headers") {
		t.Error(doc)
	}
}
