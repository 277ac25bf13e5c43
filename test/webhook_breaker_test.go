package test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// TestDeadDestinationIsSeen: whichever node is asked about a source whose destination is down, by people or programs,
// what the leader knows of it is told.
func TestDeadDestinationIsSeen(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, "--kek-file="+writeKEK(t), "--callback-allow-cidr=127.0.0.1/32")
	c.waitLevel(4)
	c.newTenant("acme", 0)
	c.admin(http.MethodPost, "/v1/admin/tenants/acme/sources", map[string]any{
		"provider": "generic", "callbackUrl": "http://127.0.0.1:" + freePort(t, "127.0.0.1") + "/", "secrets": []string{webhookSecret},
		"retryDelaysSeconds": slices.Repeat([]int{1}, 20), // a leader that takes over has attempts to find out by
	}, new(json.RawMessage))
	c.sendWebhook("evt_1", `{"ok":true}`)
	var seen struct {
		Sources []struct {
			Delivery struct {
				Breaker                     string
				Queued                      int64
				NextAttemptAt, FailingSince string
				LastFailure                 struct{ Error string }
			}
		}
	}
	eventually(t, "the breaker is open", func() bool {
		c.admin(http.MethodGet, "/v1/admin/tenants/acme/sources", nil, &seen)
		return seen.Sources[0].Delivery.Breaker == "open"
	})
	if d := seen.Sources[0].Delivery; d.Queued != 1 || d.NextAttemptAt == "" || d.FailingSince == "" ||
		d.LastFailure.Error != "the connection was refused" {
		t.Errorf("%+v", d)
	}
	for _, n := range c.nodes {
		var output string
		eventually(t, n.name+" tells of it", func() bool {
			output, _ = command(t.Context(), n, "source", "list", "--tenant", "acme")
			return strings.Contains(output, "  breaker ")
		}, func() string { return output })
	}
}
