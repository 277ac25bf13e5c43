package cluster

import (
	"context"
	"sync"
	"time"

	"github.com/syllecta/syllecta/fsm"
)

const (
	// tallyDelay is how long what was counted waits for an entry to ride in, before it gets one of its own.
	tallyDelay = time.Second
	// maxLastTallies bounds the entries that a leader commits of what it has counted before it hands over.
	maxLastTallies = 64
	// tallyHour is how exactly the last use of a key is kept (fsm.APIKey).
	tallyHour = int64(time.Hour / time.Millisecond)
)

// tally counts what a leader answers without the log, until the counts ride in an entry. What is not in the log when the
// leader dies is lost: about a second's replays, conflicts and uses of keys. Grants are counted by the entry that makes
// them.
type tally struct {
	mu     sync.Mutex
	counts map[tallied]int64
	uses   map[usedKey]int64 // when, in Unix milliseconds
	// When the first of them was counted.
	countedSince, usedSince time.Time
	hurried                 bool // uses do not wait either
}

// tallied and usedKey are bounded by the directory.
type (
	tallied struct {
		tenant fsm.TenantID
		meter  fsm.Meter
	}
	usedKey struct {
		tenant   fsm.TenantID
		publicID string
	}
)

func newTally() *tally {
	return &tally{counts: make(map[tallied]int64), uses: make(map[usedKey]int64)}
}

func (t *tally) count(tenant fsm.TenantID, meter fsm.Meter, n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.counts) == 0 {
		t.countedSince = time.Now()
	}
	t.counts[tallied{tenant, meter}] += n
}

func (t *tally) use(tenant fsm.TenantID, publicID string, atMs int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.uses) == 0 {
		t.usedSince = time.Now()
	}
	key := usedKey{tenant, publicID}
	t.uses[key] = max(t.uses[key], atMs)
}

// due reports whether something has waited for an entry that long.
func (t *tally) due(delay time.Duration) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.counts) > 0 && time.Since(t.countedSince) >= delay || t.usesDue(delay)
}

func (t *tally) usesDue(delay time.Duration) bool {
	return len(t.uses) > 0 && time.Since(t.usedSince) >= delay
}

// hurry has uses ride in the next entry, too.
func (t *tally) hurry(on bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.hurried = on
}

// take removes what one command holds; ok is false if there is nothing. Uses wait for tallyDelay: an entry that brings one
// copies the directory, and at each full hour all keys are used anew.
func (t *tally) take() (c fsm.Tally, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for key, n := range t.counts {
		if len(c.Counts) == fsm.MaxTallyCounts {
			break
		}
		c.Counts = append(c.Counts, fsm.TenantCount{Tenant: key.tenant, Meter: key.meter, Count: n})
		delete(t.counts, key)
	}
	for key, at := range t.uses {
		if len(c.Uses) == fsm.MaxTallyUses || !t.hurried && !t.usesDue(tallyDelay) {
			break
		}
		c.Uses = append(c.Uses, fsm.KeyUse{Tenant: key.tenant, PublicID: key.publicID, AtMs: at})
		delete(t.uses, key)
	}
	return c, len(c.Counts)+len(c.Uses) > 0
}

// putBack takes back what an entry should have brought that was not applied.
func (t *tally) putBack(c fsm.Tally) {
	for _, n := range c.Counts {
		t.count(n.Tenant, n.Meter, n.Count)
	}
	for _, u := range c.Uses {
		t.use(u.Tenant, u.PublicID, u.AtMs)
	}
}

// clear forgets everything: another node leads.
func (t *tally) clear() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.counts)
	clear(t.uses)
}

// bringTally commits what was counted, for this node is about to lead no more.
func (n *Node) bringTally(ctx context.Context) {
	t := n.proposer.tally
	t.hurry(true)
	defer t.hurry(false)
	for range maxLastTallies {
		if !t.due(0) {
			return
		}
		if _, _, err := n.proposer.propose(ctx, nil); err != nil {
			n.log.Debug("what was counted last is lost", "error", err)
			return
		}
	}
}

// NoteKeyUse notes that a key was used now. It does nothing but on a leader, and where the log knows of a use within
// the hour.
func (n *Node) NoteKeyUse(k *fsm.APIKey) {
	nowMs := n.clock.nowMs()
	if nowMs-nowMs%tallyHour <= k.LastUsedMs || !n.counts() || !n.IsLeader() {
		return
	}
	n.proposer.tally.use(k.Tenant, k.PublicID, nowMs)
}

// counts reports whether the cluster counts usage by day.
func (n *Node) counts() bool { return n.Directory().FeatureLevel >= fsm.LevelControl }

// countReplays counts claims that were answered without the log.
func (n *Node) countReplays(calls []Call, results []fsm.Result) {
	if !n.counts() {
		return
	}
	for i := range results {
		n.proposer.tally.count(calls[i].Command.(fsm.Claim).ID.Tenant, fsm.ReplayMeter(results[i].Outcome), 1)
	}
}
