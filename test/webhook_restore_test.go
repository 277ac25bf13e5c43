package test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/syllecta/syllecta/api/webhook"
)

// TestWebhooksAfterRestore: a backup that is restored into another cluster, which has the same key-encryption keys, brings
// sources that verify and deliver, and remembers what was accepted before; usage is what it was, and the audit log tells
// who restored it.
func TestWebhooksAfterRestore(t *testing.T) {
	t.Parallel()
	kek, callback := writeKEK(t), newReceiver(t)
	args := []string{"--kek-file=" + kek, "--callback-allow-cidr=127.0.0.1/32"}
	before := newCluster(t, 1, args...)
	before.waitLevel(4)
	before.newTenant("acme", 0)
	before.admin(http.MethodPost, "/v1/admin/tenants/acme/sources", map[string]any{
		"provider": "generic", "callbackUrl": callback.URL, "secrets": []string{webhookSecret},
	}, new(json.RawMessage))
	before.sendWebhook("old", `{"ok":true}`)
	eventually(t, "the event is delivered", func() bool { return before.eventCounts()["processed"] == 1 })
	backup := filepath.Join(t.TempDir(), "backup")
	mustCommand(t, before.leader(), "snapshot", "save", backup)

	after := newCluster(t, 3, args...)
	after.waitLevel(4)
	mustCommand(t, after.leader(), "snapshot", "restore", backup, "--yes", "--other-cluster")
	type auditEntry struct{ Action, Actor string }
	var audit struct{ Entries []auditEntry }
	after.admin(http.MethodGet, "/v1/admin/audit?limit=1000", nil, &audit)
	// What follows it are the members, which the cluster admits anew.
	if !slices.Contains(audit.Entries, auditEntry{Action: "cluster.restore", Actor: "admin"}) {
		t.Errorf("the audit log does not tell of the restore: %+v", audit.Entries)
	}
	mustCommand(t, after.leader(), "audit", "verify")
	term := after.term()
	after.sendWebhook("old", `{"ok":true,"cached":true}`)
	after.sendWebhook("new", `{"ok":true}`)
	eventually(t, "the new event is delivered", func() bool { return after.eventCounts()["processed"] == 2 })
	events, requests := callback.delivered()
	var u struct {
		Total struct{ Events, Duplicates, Deliveries int64 }
	}
	after.admin(http.MethodGet, "/v1/admin/tenants/acme/usage", nil, &u)
	if events != 2 || u.Total.Events != 2 || u.Total.Deliveries < 2 {
		t.Errorf("%d events were delivered; usage is %+v", events, u.Total)
	}
	// A leader that loses its place leaves deliveries that it was making to the next, and has not counted all duplicates.
	if after.term() == term && (requests != 2 || u.Total.Duplicates != 1 || u.Total.Deliveries != 2) {
		t.Errorf("%d requests were made; usage is %+v", requests, u.Total)
	}
}

// sendWebhook sends an event through each node in turn until one takes it, and wants that answer. If it may have been
// taken before without an answer, it may be known.
func (c *cluster) sendWebhook(id, want string) {
	c.t.Helper()
	body := fmt.Appendf(nil, `{"id":%q,"type":"payment.succeeded","data":{}}`, id)
	var a answer
	turn, unsure := 0, false
	eventually(c.t, "the event "+id+" is taken", func() bool {
		n := c.nodes[turn%len(c.nodes)]
		turn++
		a = newClient(n.url(), "").call(http.MethodPost, "/v1/t/acme/webhooks/generic", body,
			"X-Syllecta-Signature", webhook.SignGeneric(webhookSecret, body, time.Now()))
		unsure = unsure || a.outcome == unknown
		return a.outcome == ok
	}, func() string { return a.String() })
	if got := string(a.body); got != want && !(unsure && got == `{"ok":true,"cached":true}`) {
		c.t.Errorf("%s: %s, want %s", id, a.body, want)
	}
}
