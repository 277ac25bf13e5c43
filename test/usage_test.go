package test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	usageWorkers = 8
	usageKeys    = 400 // claimed by each of them
	usageReplays = 60
)

// TestUsage: claims of many clients through all nodes are counted exactly, whoever is killed meanwhile: as often as a
// lock was granted, whatever was asked again because an answer was lost. Every node knows the same, after a restart, too.
func TestUsage(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, "--snapshot-threshold=300")
	c.waitLevel(3)
	counted := c.newTenant("counted", 0)
	other := c.newTenant("other", 0)

	var granted atomic.Int64
	var claiming errgroup.Group
	for w := range usageWorkers {
		claiming.Go(func() error {
			for i := range usageKeys {
				if err := c.claimUntilGranted(counted.key, fmt.Sprintf("%d-%d", w, i)); err != nil {
					return err
				}
				granted.Add(1)
			}
			return nil
		})
	}
	for range 2 {
		before := granted.Load()
		eventually(t, "claims are granted", func() bool { return granted.Load() >= before+usageKeys })
		n := c.leader()
		n.kill9()
		n.start()
	}
	if err := claiming.Wait(); err != nil {
		t.Fatal(err)
	}

	if a := newClient(c.leader().url(), counted.key).following().put(putRequest{Scope: "usage", Key: "0-0"}); a.outcome != ok {
		t.Fatal(a)
	}
	for range usageReplays {
		r := newClient(c.leader().url(), counted.key).following().claim(claimRequest{Scope: "usage", Key: "0-0"})
		if r.outcome != ok || !r.Cached {
			t.Fatal(r)
		}
	}
	// The leader was not killed since, so no replay of these is lost. Those above that met their own lock are no replays.
	eventually(t, "the replays are counted", func() bool { return c.usageOf("counted").Total.Replays == usageReplays })
	c.checkUsage(usageWorkers * usageKeys)
	for _, n := range c.nodes {
		c.lead(n)
		c.checkUsage(usageWorkers * usageKeys)
	}
	c.killAll()
	c.restartAll()
	c.checkUsage(usageWorkers * usageKeys)
	if u := c.usageOf("other"); u.Total != (meters{}) || u.Month.Claims != 0 {
		t.Errorf("a tenant that did nothing used %+v", u)
	}
	if a := newClient(c.leader().url(), other.key).following().call(http.MethodGet, "/v1/usage", nil); a.outcome != ok {
		t.Error(a)
	}
}

// claimUntilGranted asks through random nodes, always as the same owner, until the answer is the lock.
func (c *cluster) claimUntilGranted(key, name string) error {
	endless := int64(0)
	request := claimRequest{Scope: "usage", Key: name, Owner: name, LockMs: &endless}
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		r := newClient(c.nodes[rand.IntN(len(c.nodes))].url(), key).following().claim(request)
		if r.outcome == ok && r.Locked {
			return nil
		}
		if r.outcome == ok || r.status != 0 && r.status != http.StatusServiceUnavailable && r.status != http.StatusForbidden {
			return fmt.Errorf("claim of %s: %v", name, r)
		}
		time.Sleep(pollInterval)
	}
	return fmt.Errorf("claim of %s: no answer", name)
}

type meters struct{ Claims, Replays, Conflicts, Rejected int64 }

// usageReport is what the API says of a tenant's usage.
type usageReport struct {
	Month struct{ Claims int64 }
	Days  []struct {
		Day string
		meters
	}
	Total meters
}

func (c *cluster) usageOf(slug string) (u usageReport) {
	c.t.Helper()
	c.admin(http.MethodGet, "/v1/admin/tenants/"+slug+"/usage", nil, &u)
	return u
}

// checkUsage wants so many claims of the tenant that counts, this month and over its days.
func (c *cluster) checkUsage(claims int64) {
	c.t.Helper()
	u := c.usageOf("counted")
	days := int64(0)
	for _, d := range u.Days {
		days += d.Claims
	}
	if u.Total.Claims != claims || days != claims || u.Month.Claims != claims && len(u.Days) == 1 {
		c.t.Errorf("%s counts %+v, want %d claims", c.leader().name, u, claims)
	}
}

// lead has a node lead.
func (c *cluster) lead(n *node) {
	c.t.Helper()
	eventually(c.t, n.name+" leads", func() bool {
		if c.leader() == n {
			return true
		}
		newClient(c.leader().url(), adminToken).following().call(http.MethodPost, "/v1/admin/leader",
			encode(map[string]any{"nodeId": n.name}))
		return c.leader() == n
	})
}

// waitLevel waits until the cluster may use what a feature level stands for.
func (c *cluster) waitLevel(level int) {
	c.t.Helper()
	eventually(c.t, "the feature level rises", func() bool {
		var v struct{ FeatureLevel int }
		c.admin(http.MethodGet, "/v1/admin/cluster", nil, &v)
		return v.FeatureLevel >= level
	})
}
