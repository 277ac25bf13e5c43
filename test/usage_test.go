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

	a := untilTold(func() answer {
		return newClient(c.leader().url(), counted.key).following().put(putRequest{Scope: "usage", Key: "0-0"})
	})
	if a.outcome != ok {
		t.Fatal(a)
	}
	c.checkReplays(counted.key)
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

// checkReplays wants replays to be counted exactly while one node leads. What a leader had not counted yet that then lost
// its place may be missing, so on a machine that is too busy for leaders to last they are made again.
func (c *cluster) checkReplays(key string) {
	c.t.Helper()
	eventually(c.t, "one node leads for as long as the replays take", func() bool {
		term, before, made := c.term(), c.usageOf("counted").Total.Replays, true
		for range usageReplays {
			r := newClient(c.leader().url(), key).following().claim(claimRequest{Scope: "usage", Key: "0-0"})
			if made = made && r.told(); r.told() && (r.outcome != ok || !r.Cached) {
				c.t.Fatal(r)
			}
		}
		changed := !made
		eventually(c.t, "the replays are counted", func() bool {
			counted := c.usageOf("counted").Total.Replays
			changed = changed || c.term() != term
			return changed || counted == before+usageReplays
		})
		return !changed
	})
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
