package api

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/syllecta/syllecta/api/envelope"
	"github.com/syllecta/syllecta/api/webhook"
	"github.com/syllecta/syllecta/cluster"
	"github.com/syllecta/syllecta/fsm"
)

// newWebhookPair is a pair whose nodes have a source of Stripe and one of Square.
func newWebhookPair(t *testing.T, mode FollowerMode) *pair {
	t.Helper()
	p := newPair(t, mode)
	p.leaderAPI.cfg.Vault = envelope.NewVault(testKEKs(t))
	for provider, name := range map[string]string{"stripe": "default", "square": "two"} {
		addSource(t, []*fakeNode{p.leader, p.follower}, fsm.Source{Provider: provider, Name: name}, testSecret)
	}
	return p
}

func (p *pair) post(t *testing.T, target, body string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	signed := stripeHeader + webhook.SignStripe(testSecret, []byte(body), p.leaderAPI.now())
	return call(t, p.followerAPI, "POST", target, body, append(headers, signed)...)
}

// TestWebhooksAreForwarded holds that a follower redirects no provider, however it treats other callers.
func TestWebhooksAreForwarded(t *testing.T) {
	t.Parallel()
	for _, mode := range []FollowerMode{FollowersRedirect, FollowersForward} {
		p := newWebhookPair(t, mode)
		body := stripeEvent("evt_1", "x")
		wantBody(t, p.post(t, stripeRoute, body, "Content-Type: text/plain"), 200, acceptedAnswer)
		wantBody(t, p.post(t, stripeRoute+"?a=b&source=default", body), 200, cachedAnswer)
		wantBody(t, p.post(t, "/v1/webhooks/stripe", body, asTenant(p.key)), 200, cachedAnswer)
		if len(p.follower.proposed()) != 0 || len(eventsOf(p.leader)) != 1 {
			t.Errorf("the follower proposed %d, the leader has %d events", len(p.follower.proposed()), len(eventsOf(p.leader)))
		}
		wantWebhookProblem(t, call(t, p.followerAPI, "POST", stripeRoute, body), invalidSignature, "invalid signature")
		wantWebhookProblem(t, p.post(t, "/v1/t/nobody/webhooks/stripe", body), unknownTenant, "unknown tenant")
		wantWebhookProblem(t, p.post(t, "/v1/webhooks/stripe", body), invalidAPIKey, "invalid api key")
		if got := counted(t, p.leaderAPI, "syllecta_webhook_invalid_signatures_total"); got != 1 {
			t.Errorf("%g bad signatures are counted", got)
		}
	}
}

// TestForwardedWebhookIsWhatWasSent has a provider that signs the URL verified, and all it sent reach the leader.
func TestForwardedWebhookIsWhatWasSent(t *testing.T) {
	t.Parallel()
	p := newWebhookPair(t, FollowersRedirect)
	const path = "/v1/t/demo/webhooks/square?source=two&x=a%20b+c&y&%41=1"
	body := "{\"event_id\": \"e1\",\r\n \"type\":\"payment.created\"}\n"
	mac := hmac.New(sha256.New, []byte(testSecret))
	mac.Write([]byte("http://in.example:8080" + path + body))
	r := httptest.NewRequest("POST", "http://in.example:8080"+path, strings.NewReader(body))
	r.RequestURI = path
	r.RemoteAddr = "192.0.2.7:1"
	r.Header = http.Header{
		"X-Square-Hmacsha256-Signature": {base64.StdEncoding.EncodeToString(mac.Sum(nil))},
		"Content-Type":                  {"application/json"}, "X-Two": {"a", "b"}, "Accept": {"*/*"}, "User-Agent": {"Square"},
		"Idempotency-Key": {"k"}, "Cookie": {"secret"}, "Connection": {"close, x-hop"}, "X-Hop": {"1"},
		"Syllecta-Called-Url": {"http://evil"}, "Syllecta-Caller-Address": {"192.0.2.99"},
	}
	w := httptest.NewRecorder()
	p.followerAPI.ServeHTTP(w, r)
	wantBody(t, w, 200, acceptedAnswer)
	got := p.reached()[0]
	for _, name := range []string{"Cookie", "Connection", "X-Hop", "Authorization"} {
		if values := got.Header[name]; len(values) > 0 {
			t.Errorf("%s: %q reached the leader", name, values)
		}
	}
	if got.Header.Get(callerAddressHeader) != "192.0.2.7" || got.Header.Get(calledURLHeader) != "http://in.example:8080"+path ||
		fmt.Sprint(got.Header["X-Two"]) != "[a b]" || got.Header.Get("User-Agent") != "Square" {
		t.Errorf("the leader was sent %v", got.Header)
	}
	g := gateway{n: p.leader, s: p.leaderAPI}
	s := g.stored(t, g.events()[0])
	if string(s.Payload) != strings.TrimSpace(body) || fmt.Sprint(s.Headers["X-Two"]) != "[a b]" || s.Headers.Get("Idempotency-Key") != "k" {
		t.Errorf("kept: %+v", s)
	}
	for name := range s.Headers {
		if strings.HasPrefix(name, "Syllecta-") {
			t.Errorf("%s is kept", name)
		}
	}
}

// TestNobodyElseForwardsWebhooks: what a node says of a request, others are not believed.
func TestNobodyElseForwardsWebhooks(t *testing.T) {
	t.Parallel()
	g := newGateway(t, func(c *Config) { c.RequestsPerAddress = 1 })
	body := stripeEvent("evt_1", "x")
	id := strings.Repeat("ab", 16)
	says := []string{hopsHeader + ": 1", requestIDHeader + ": " + id, calledURLHeader + ": https://elsewhere/"}
	w := g.post(t, stripeRoute, body, says...)
	wantBody(t, w, 200, acceptedAnswer)
	if w.Header().Get(requestIDHeader) == id {
		t.Error("a stranger has chosen the id of its request")
	}
	wantWebhookProblem(t, g.post(t, stripeRoute+"?ticket=x", body, says...), invalidAPIKey, "invalid api key")
	doc := wantWebhookProblem(t, g.post(t, stripeRoute, body, says...), rateLimited, "rate limited")
	if !strings.Contains(doc, "limit of one address") {
		t.Error(doc)
	}
}

func TestForwardedWebhookIsCountedOnce(t *testing.T) {
	t.Parallel()
	p := newWebhookPair(t, FollowersRedirect)
	p.leaderAPI.cfg.RequestsPerAddress, p.followerAPI.cfg.RequestsPerAddress = 1, 1
	for i := range 2 {
		wantBody(t, p.post(t, stripeRoute, stripeEvent(fmt.Sprint("evt_", i), "x")), 200, acceptedAnswer)
	}
	if w := p.post(t, stripeRoute, stripeEvent("evt_2", "x")); w.Code != 429 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if len(p.leaderAPI.perAddress.byKey) != 0 {
		t.Error("the leader counted the follower")
	}
}

// TestWebhookWhoseAnswerWasLost is decided once: the provider is not told that it had been there before.
func TestWebhookWhoseAnswerWasLost(t *testing.T) {
	t.Parallel()
	p := newWebhookPair(t, FollowersRedirect)
	p.hangUp(1, true)
	body := stripeEvent("evt_1", "x")
	wantBody(t, p.post(t, stripeRoute, body), 200, acceptedAnswer)
	if e := eventsOf(p.leader); len(p.leader.proposed()) != 2 || len(e) != 1 || e[0].Duplicates != 0 {
		t.Errorf("%d proposals, %+v", len(p.leader.proposed()), e)
	}
	p.leader.failure = []error{cluster.ErrOutcomeUnknown}
	wantBody(t, p.post(t, stripeRoute, body), 200, cachedAnswer)
	p.hangUp(100, false)
	wantWebhookProblem(t, p.post(t, stripeRoute, body), outcomeUnknown, "outcome unknown")
}

func TestWebhookWithoutALeader(t *testing.T) {
	t.Parallel()
	p := newWebhookPair(t, FollowersRedirect)
	p.follower.follow(nil)
	wantWebhookProblem(t, p.post(t, stripeRoute, "{}"), noLeader, "no leader")
	p.follower.follow(&p.peer)
	p.leader.follow(&p.peer) // which knows nobody else either
	wantWebhookProblem(t, p.post(t, stripeRoute, "{}"), noLeader, "no leader")
	if len(p.reached()) == 0 {
		t.Error("nothing was forwarded")
	}
	s := newTestServer(t, nil, nil)
	wantWebhookProblem(t, call(t, s, "POST", stripeRoute, "{}"), noLeader, "no leader")
}

// TestLargestWebhookIsForwarded: what a follower takes is not too much for the leader.
func TestLargestWebhookIsForwarded(t *testing.T) {
	t.Parallel()
	p := newWebhookPair(t, FollowersRedirect)
	target := stripeRoute + "?pad=" + strings.Repeat("x", 7_000)
	body := `{"id":"evt_1","type":"x","pad":"` + strings.Repeat("x", webhook.MaxStoredBytes-20_000) + `"}`
	wantBody(t, p.post(t, target, body, "X-Pad: "+strings.Repeat("x", 8_000)), 200, acceptedAnswer)
	tooLarge := p.post(t, target, body, "X-Pad: "+strings.Repeat("x", 16_000))
	wantWebhookProblem(t, tooLarge, headersTooLarge, "headers too large")
}

// TestForwardedWebhooksAreBounded: nobody is known before the leader has verified a signature, so what a follower
// passes on has bounds, and beyond them nothing reaches the leader.
func TestForwardedWebhooksAreBounded(t *testing.T) {
	t.Parallel()
	body := stripeEvent("evt_1", "x")
	large := strings.Repeat("x", webhookBodyBytes+1)
	for name, c := range map[string]struct {
		fill func(*Server)
		body string
		want *errorKind
		word string
	}{
		"a body": {func(*Server) {}, large, bodyTooLarge, "body too large"},
		"all bodies": {func(s *Server) { s.webhookBytes.Store(maxWebhookBytes - int64(len(body)) + 1) }, body,
			busy, "busy"},
		"requests": {func(s *Server) { s.webhookForwards.Store(maxProviderForwards) }, body, busy, "busy"},
	} {
		p := newWebhookPair(t, FollowersRedirect)
		c.fill(p.followerAPI)
		for _, declared := range []int64{int64(len(c.body)), -1} {
			r := httptest.NewRequest("POST", stripeRoute, strings.NewReader(c.body))
			r.ContentLength = declared
			r.Header.Set("Stripe-Signature", webhook.SignStripe(testSecret, []byte(c.body), p.leaderAPI.now()))
			w := httptest.NewRecorder()
			p.followerAPI.ServeHTTP(w, r)
			wantWebhookProblem(t, w, c.want, c.word)
			if n := len(p.reached()); n != 0 {
				t.Errorf("%s: %d requests reached the leader", name, n)
			}
		}
	}
}

// TestPlacesOfForwardedWebhooks are taken while one is under way, by those of strangers alone, and free afterwards.
func TestPlacesOfForwardedWebhooks(t *testing.T) {
	t.Parallel()
	p := newWebhookPair(t, FollowersForward)
	places := &p.followerAPI.webhookForwards
	var taken []int64
	p.beforeAnswer = func(http.ResponseWriter, *http.Request) bool {
		taken = append(taken, places.Load())
		return true
	}
	places.Store(maxProviderForwards - 1)
	for i := range 3 {
		wantBody(t, p.post(t, stripeRoute, stripeEvent(fmt.Sprint("evt_", i), "x")), 200, acceptedAnswer)
	}
	places.Store(maxProviderForwards)
	wantBody(t, p.post(t, "/v1/webhooks/stripe", stripeEvent("evt_3", "x"), asTenant(p.key)), 200, acceptedAnswer)
	if want := fmt.Sprint(slices.Repeat([]int64{maxProviderForwards}, 4)); fmt.Sprint(taken) != want {
		t.Errorf("places taken: %v, want %s", taken, want)
	}
	if n := places.Load(); n != maxProviderForwards {
		t.Errorf("%d places are taken in the end", n)
	}
}

// TestForwardedWebhookHasItsTime: a leader that does not answer holds nobody up for longer.
func TestForwardedWebhookHasItsTime(t *testing.T) {
	t.Parallel()
	p := newWebhookPair(t, FollowersRedirect)
	p.followerAPI.cfg.RequestTimeout = 100 * time.Millisecond
	brokenOff := make(chan struct{})
	p.beforeAnswer = func(_ http.ResponseWriter, r *http.Request) bool {
		_, _ = io.Copy(io.Discard, r.Body) // only then the server sees that the caller has gone
		<-r.Context().Done()
		close(brokenOff)
		return false
	}
	wantWebhookProblem(t, p.post(t, stripeRoute, stripeEvent("evt_1", "x")), outcomeUnknown, "outcome unknown")
	<-brokenOff
	if n := p.followerAPI.webhookForwards.Load(); n != 0 {
		t.Errorf("%d places are taken in the end", n)
	}
}

func TestForwardedHandshake(t *testing.T) {
	t.Parallel()
	p := newWebhookPair(t, FollowersRedirect)
	addSource(t, []*fakeNode{p.leader}, fsm.Source{Provider: "braintree"}, "public|private")
	w := call(t, p.followerAPI, "GET", "/v1/t/demo/webhooks/braintree?bt_challenge=0123456789abcdef0123", "")
	if w.Code != 200 || !strings.HasPrefix(w.Body.String(), "public|") || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") {
		t.Errorf("%d %s %v", w.Code, w.Body, w.Header())
	}
}

func TestCalledURL(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ target, uri, want string }{
		{"http://a.example/p?q=%20", "/p?q=%20", "http://a.example/p?q=%20"},
		{"https://a.example:8443/p", "/p", "https://a.example:8443/p"},
		{"http://a.example/p?q", "http://a.example/p?q", "http://a.example/p?q"},
	} {
		r := httptest.NewRequest("POST", tt.target, nil)
		r.RequestURI = tt.uri
		r.Header.Set("X-Forwarded-Proto", "https")
		r.Header.Set("X-Forwarded-Host", "b.example")
		x := &exchange{r: r}
		if got := x.calledURL(); got != tt.want {
			t.Errorf("%s: %s", tt.want, got)
		}
	}
}
