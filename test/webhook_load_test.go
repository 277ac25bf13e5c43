package test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/syllecta/syllecta/api/webhook"
)

// TestWebhookLoad measures how many events a cluster takes from a provider, and how many it delivers, to a receiver that
// answers at once. Everything shares this machine. It runs with -load=DURATION only.
func TestWebhookLoad(t *testing.T) {
	if *loadFlag <= 0 {
		t.Skip("a measurement, not a test: run it with -load=10s")
	}
	c := newCluster(t, 3, "--kek-file="+writeKEK(t), "--callback-allow-cidr=127.0.0.1/32")
	c.waitLevel(4)
	c.newTenant("acme", 0)
	callback := newReceiver(t)
	for name, url := range map[string]string{"taken": "", "delivered": callback.URL} {
		c.admin(http.MethodPost, "/v1/admin/tenants/acme/sources", map[string]any{
			"provider": "generic", "name": name, "callbackUrl": url, "secrets": []string{webhookSecret}, "maxConcurrency": 100,
		}, new(json.RawMessage))
	}
	c.sendLoad(t, "taken", loadWarmUp)
	c.measureEvents(t, "taken and not delivered", func() int { return c.sendLoad(t, "taken", *loadFlag) })
	c.measureEvents(t, "taken and delivered", func() int {
		n := c.sendLoad(t, "delivered", *loadFlag)
		eventually(t, "all events are delivered", func() bool {
			events, _ := callback.delivered()
			return events == n
		})
		return n
	})
}

// measureEvents logs what it costs to do something with the number of events that it returns.
func (c *cluster) measureEvents(t *testing.T, what string, do func() int) {
	t.Helper()
	start, cpu := time.Now(), c.cpu()
	n := do()
	took, cpu := time.Since(start), c.cpu()-cpu
	t.Logf("%s: %d events in %s, %.0f events/s, %.0f µs CPU each in the three servers together; load averages %s", what, n,
		took.Round(time.Millisecond), float64(n)/took.Seconds(), float64(cpu.Microseconds())/float64(n), loadAverages(t))
}

// sendLoad sends events to the leader, each once, for a while, and returns how many.
func (c *cluster) sendLoad(t *testing.T, source string, d time.Duration) int {
	t.Helper()
	to := newClient(c.leader().url(), "")
	stopAt := time.Now().Add(d)
	var sent atomic.Int64
	var sending errgroup.Group
	for range loadConnections {
		sending.Go(func() error {
			for time.Now().Before(stopAt) {
				body := fmt.Appendf(nil, `{"id":"%s-%d-%d","type":"payment.succeeded","data":{"amount":4200}}`, source, stopAt.UnixNano(),
					sent.Add(1))
				a := to.call(http.MethodPost, "/v1/t/acme/webhooks/generic?source="+source, body,
					"X-Syllecta-Signature", webhook.SignGeneric(webhookSecret, body, time.Now()))
				if string(a.body) != `{"ok":true}` {
					return fmt.Errorf("an event: %v", a)
				}
			}
			return nil
		})
	}
	if err := sending.Wait(); err != nil {
		t.Fatal(err)
	}
	return int(sent.Load())
}
