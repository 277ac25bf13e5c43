package cluster

import (
	"strings"
	"testing"
)

func TestConfigValidate(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		spoil   func(*Config)
		refusal string
	}{
		"good":               {func(*Config) {}, ""},
		"no directory":       {func(c *Config) { c.DataDir = "" }, "data directory"},
		"node id":            {func(c *Config) { c.NodeID = "a node" }, `node id "a node"`},
		"long node id":       {func(c *Config) { c.NodeID = strings.Repeat("n", 64) }, "node id"},
		"cluster name":       {func(c *Config) { c.ClusterName = "-" }, `cluster name "-"`},
		"expects too many":   {func(c *Config) { c.BootstrapExpect = MaxBootstrapExpect + 1 }, "want 0 to 9"},
		"expects less":       {func(c *Config) { c.BootstrapExpect = -1 }, "want 0 to 9"},
		"without gossip":     {func(c *Config) { c.GossipAddr, c.GossipAdvertise = "", "" }, "needs a gossip address"},
		"alone":              {func(c *Config) { c.GossipAddr, c.GossipAdvertise, c.BootstrapExpect = "", "", 1 }, ""},
		"multiplier":         {func(c *Config) { c.RaftMultiplier = MaxRaftMultiplier + 1 }, "want 1 to 10"},
		"multiplier below 0": {func(c *Config) { c.RaftMultiplier = -1 }, "want 1 to 10"},
		"address":            {func(c *Config) { c.RaftAddr = "localhost" }, `address "localhost"`},
		"advertised address": {func(c *Config) { c.GossipAdvertise = "10.0.0.1" }, `address "10.0.0.1"`},
	} {
		cfg := Config{
			DataDir: "d", NodeID: "n1", RaftAddr: "127.0.0.1:1", GossipAddr: "127.0.0.1:2", BootstrapExpect: 3,
		}.withDefaults()
		tc.spoil(&cfg)
		err := cfg.validate()
		if (err == nil) != (tc.refusal == "") || err != nil && !strings.Contains(err.Error(), tc.refusal) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestConfigDefaults(t *testing.T) {
	t.Parallel()
	c := Config{RaftAddr: "a:1", GossipAddr: "g:1"}.withDefaults()
	if c.RaftAdvertise != "a:1" || c.GossipAdvertise != "g:1" || c.ClusterName != DefaultClusterName ||
		c.StoreDeadline != DefaultStoreDeadline || c.DiskFreeFloor != DefaultDiskFreeFloor ||
		c.Logger == nil || c.Metrics == nil {
		t.Errorf("%+v", c)
	}
	if c.electionTimeout() != baseElectionTimeout || c.leaderLease() != baseLeaderLease {
		t.Errorf("timeouts %v, %v", c.electionTimeout(), c.leaderLease())
	}
	c.RaftMultiplier = 5
	if c.electionTimeout() != 5*baseElectionTimeout || c.leaderLease() != 5*baseLeaderLease {
		t.Errorf("timeouts %v, %v", c.electionTimeout(), c.leaderLease())
	}
}
