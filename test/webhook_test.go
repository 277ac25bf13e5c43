package test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/syllecta/syllecta/api/webhook"
)

const (
	webhookSenders = 8
	// webhookSecret and webhookCard must be found in no file: nothing that comes in is written as it is.
	webhookSecret = "canary-secret-6b1f0a-of-the-provider"
	webhookCard   = "canary-card-4111111111111111"
	webhookKills  = 2
)

// TestWebhooks: events that a provider sends through all nodes, three in ten of them again, are accepted once and
// delivered, whoever is killed meanwhile. What is delivered twice was being delivered when its leader went. Nothing of
// what came in, nor the secret, is on any disk, in any log or backup.
func TestWebhooks(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, "--kek-file="+writeKEK(t), "--callback-allow-cidr=127.0.0.1/32", "--snapshot-threshold=300")
	c.waitLevel(4)
	c.newTenant("acme", 0)
	callback := newReceiver(t)
	c.admin(http.MethodPost, "/v1/admin/tenants/acme/sources", map[string]any{
		"provider": "generic", "callbackUrl": callback.URL, "secrets": []string{webhookSecret},
	}, new(json.RawMessage))

	start, cpu := time.Now(), c.cpu()
	sender := &webhookSender{c: c, events: *eventsFlag}
	var sending errgroup.Group
	for w := range webhookSenders {
		sending.Go(func() error { return sender.send(w) })
	}
	for range webhookKills {
		before := sender.accepted.Load()
		eventually(t, "events are accepted", func() bool {
			return sender.accepted.Load() >= min(before+int64(*eventsFlag)/4, int64(*eventsFlag))
		})
		n := c.leader()
		n.kill9()
		n.start()
	}
	if err := sending.Wait(); err != nil {
		t.Fatal(err)
	}
	sent := time.Since(start)
	eventually(t, "all events are delivered", func() bool {
		events, _ := callback.delivered()
		return events == *eventsFlag && c.eventCounts()["processed"] == int64(*eventsFlag)
	}, func() string { return fmt.Sprint(c.eventCounts()) })
	took := time.Since(start)
	t.Logf("%d events and %d repetitions sent in %v, delivered after %v; CPU of those that were not killed: %v",
		*eventsFlag, sender.repeated.Load(), sent, took, c.cpu()-cpu)

	c.checkDeliveries(callback)
	c.checkEventCounts(sender)
	c.killAll()
	c.restartAll()
	c.checkEventCounts(sender)
	if events, requests := callback.delivered(); requests > events+webhookKills*webhookInFlight {
		t.Errorf("%d requests for %d events", requests, events)
	}
	c.checkNoCanary(t)
}

// webhookInFlight is more than how many attempts one leader makes at a time to one destination.
const webhookInFlight = 64

// webhookSender is a provider.
type webhookSender struct {
	c                  *cluster
	events             int
	accepted, repeated atomic.Int64
	// unsure counts the requests that got no answer: whether they were accepted, only the answer to the next one tells.
	unsure atomic.Int64
}

// send sends one worker's share of the events, and three of ten again.
func (s *webhookSender) send(worker int) error {
	for i := worker; i < s.events; i += webhookSenders {
		if _, err := s.deliver(i); err != nil {
			return err
		}
		s.accepted.Add(1)
		if i%10 >= 3 {
			continue
		}
		cached, err := s.deliver(i)
		if err != nil {
			return err
		}
		if !cached {
			return fmt.Errorf("event %d was accepted again", i)
		}
		s.repeated.Add(1)
	}
	return nil
}

// deliver sends an event to random nodes until one takes it, as providers do. It may be cached the first time if an
// answer was lost.
func (s *webhookSender) deliver(i int) (cached bool, err error) {
	body := fmt.Appendf(nil, `{"id":"evt_%d","type":"payment.succeeded","data":{"card":%q,"n":%d}}`, i, webhookCard, i)
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		n := s.c.nodes[rand.IntN(len(s.c.nodes))]
		a := newClient(n.url(), "").call(http.MethodPost, "/v1/t/acme/webhooks/generic", body,
			"X-Syllecta-Signature", webhook.SignGeneric(webhookSecret, body, time.Now()))
		switch {
		case a.outcome == ok && string(a.body) == `{"ok":true}`:
			return false, nil
		case a.outcome == ok && string(a.body) == `{"ok":true,"cached":true}`:
			return true, nil
		case a.status != 0 && a.status != http.StatusServiceUnavailable:
			return false, fmt.Errorf("event %d: %v", i, a)
		case a.outcome == unknown:
			s.unsure.Add(1)
		}
		time.Sleep(pollInterval)
	}
	return false, fmt.Errorf("event %d: no answer", i)
}

// eventCounts are the tenant's events by status.
func (c *cluster) eventCounts() map[string]int64 {
	c.t.Helper()
	var v struct{ Counts map[string]map[string]int64 }
	c.admin(http.MethodGet, "/v1/admin/tenants/acme/events?limit=1", nil, &v)
	return v.Counts["generic"]
}

// checkEventCounts wants each event counted once, and each repetition. A request that broke off may have been one.
func (c *cluster) checkEventCounts(s *webhookSender) {
	c.t.Helper()
	counts := c.eventCounts()
	var u struct {
		Total struct{ Events, Duplicates, Deliveries int64 }
	}
	c.admin(http.MethodGet, "/v1/admin/tenants/acme/usage", nil, &u)
	if counts["processed"] != int64(s.events) || u.Total.Events != int64(s.events) || u.Total.Deliveries != int64(s.events) {
		c.t.Errorf("%s counts %v and %+v, want %d events, each delivered", c.leader().name, counts, u.Total, s.events)
	}
	least, most := s.repeated.Load(), s.repeated.Load()+s.unsure.Load()
	if n := counts["cached"]; n != u.Total.Duplicates || n < least || n > most {
		c.t.Errorf("%s counts %d repetitions, %d of them by day, want %d to %d", c.leader().name, n, u.Total.Duplicates, least, most)
	}
}

// checkDeliveries wants one webhook-id for each event. What came twice came as the same attempt: no leader knew of the
// first.
func (c *cluster) checkDeliveries(r *receiver) {
	c.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for providerID, ids := range r.providerIDs {
		if len(ids) != 1 {
			c.t.Errorf("%s was delivered as %d events", providerID, len(ids))
		}
	}
	for id, list := range r.deliveries {
		for _, d := range list[1:] {
			if d != list[0] {
				c.t.Errorf("%s was delivered as %+v and %+v", id, list[0], d)
			}
		}
	}
}

// checkNoCanary looks for what came in, and for the secret, in everything that the nodes have written, and in a backup.
func (c *cluster) checkNoCanary(t *testing.T) {
	t.Helper()
	backup := filepath.Join(t.TempDir(), "backup")
	mustCommand(t, c.leader(), "snapshot", "save", backup)
	files := []string{backup}
	for _, n := range c.nodes {
		err := filepath.WalkDir(n.dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				files = append(files, path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, canary := range []string{webhookSecret, webhookCard} {
			if strings.Contains(n.logText(), canary) {
				t.Errorf("%q is in the log of %s", canary, n.name)
			}
		}
	}
	for _, path := range files {
		for _, canary := range found(t, path, webhookSecret, webhookCard) {
			t.Errorf("%q is in %s", canary, path)
		}
	}
}

// found returns those of the texts that a file holds. It is read piece by piece: logs are large.
func found(t *testing.T, path string, texts ...string) (in []string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	longest := 0
	for _, text := range texts {
		longest = max(longest, len(text))
	}
	b := make([]byte, 1<<20)
	for kept := 0; ; {
		n, err := f.Read(b[kept:])
		for _, text := range texts {
			if bytes.Contains(b[:kept+n], []byte(text)) && !slices.Contains(in, text) {
				in = append(in, text)
			}
		}
		if errors.Is(err, io.EOF) {
			return in
		}
		if err != nil {
			t.Fatal(err)
		}
		tail := min(longest, kept+n) // a text may go on in the next piece
		kept = copy(b, b[kept+n-tail:kept+n])
	}
}

// The search finds what it is for, also across pieces.
func TestCanariesAreFound(t *testing.T) {
	t.Parallel()
	for _, before := range []int{0, 1<<20 - len(webhookSecret)/2, 1<<20 - 1, 3 << 20} {
		path := filepath.Join(t.TempDir(), "file")
		content := bytes.Repeat([]byte{'x'}, before)
		if err := os.WriteFile(path, append(content, webhookSecret+"y"...), 0o600); err != nil {
			t.Fatal(err)
		}
		if in := found(t, path, webhookSecret, webhookCard); len(in) != 1 || in[0] != webhookSecret {
			t.Errorf("behind %d bytes: %v", before, in)
		}
	}
}

// writeKEK makes a file with a key-encryption key.
func writeKEK(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kek")
	if out, err := exec.Command(binary, "kek", "generate", "--out", path).CombinedOutput(); err != nil {
		t.Fatalf("syllecta kek generate: %v\n%s", err, out)
	}
	return path
}
