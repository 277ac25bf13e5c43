package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

const (
	checkScope = "self-check"
	// checkTTLSeconds lets the self-check's records go soon.
	checkTTLSeconds = 600
)

// checkBody is saved and must come back byte for byte: the spaces, the order and the digits are part of it.
var checkBody = json.RawMessage(`{"status": "paid", "amount": 12.50, "id": 9007199254740993}`)

// selfCheck is what was proved before the user was told that the cluster is ready.
type selfCheck struct {
	OK       bool           `json:"ok"`
	Record   recordCheck    `json:"record"`
	Failover *failoverCheck `json:"failover,omitempty"` // absent on a single node
}

type recordCheck struct {
	Scope        string `json:"scope"`
	Key          string `json:"key"`
	Fence        uint64 `json:"fence"`
	RetryAfterMs int64  `json:"retryAfterMs"` // what a second caller was told
}

type failoverCheck struct {
	Killed         string  `json:"killed"`
	Leader         string  `json:"leader"`
	GapSeconds     float64 `json:"gapSeconds"` // from the kill to the first acknowledged claim
	RecordKept     bool    `json:"recordKept"`
	RestartSeconds float64 `json:"restartSeconds"` // from the restart of the killed node until it was ready
}

// claimAnswer is the answer to POST and GET /v1/record.
type claimAnswer struct {
	Cached       bool   `json:"cached"`
	Locked       bool   `json:"locked"`
	RetryAfterMs int64  `json:"retryAfterMs"`
	Fence        uint64 `json:"fence"`
	Record       struct {
		Body json.RawMessage `json:"body"`
	} `json:"record"`
}

// recordKey names a record in requests.
type recordKey struct {
	Scope string `json:"scope"`
	Key   string `json:"key"`
	Owner string `json:"owner,omitempty"`
	TTL   int64  `json:"ttlSeconds,omitempty"`
}

func newRecordKey() recordKey {
	return recordKey{Scope: checkScope, Key: "order-" + rand.Text()[:8], TTL: checkTTLSeconds}
}

// selfCheck walks through the documented flow over HTTP, then kills the leader and looks what is left.
func (d *devCluster) selfCheck(ctx context.Context, apiKey string) (selfCheck, error) {
	record, err := d.checkRecord(ctx, d.clientOf(d.nodes[0], apiKey))
	if err != nil {
		return selfCheck{}, err
	}
	d.report.checked("POST → locked (fence %d), again → in progress (retryAfterMs %d), PUT → saved, "+
		"again → cached, same bytes", record.Fence, record.RetryAfterMs)
	check := selfCheck{OK: true, Record: record}
	if len(d.nodes) < 3 {
		return check, nil
	}
	failover, err := d.checkFailover(ctx, apiKey, record)
	if err != nil {
		return selfCheck{}, err
	}
	check.Failover = &failover
	return check, nil
}

// checkRecord claims a record, meets its own lock, saves the result and gets it back.
func (d *devCluster) checkRecord(ctx context.Context, c *client) (recordCheck, error) {
	key := newRecordKey()
	var first, second, third claimAnswer
	if err := c.call(ctx, http.MethodPost, "/v1/record", key, &first); err != nil {
		return recordCheck{}, fmt.Errorf("first claim: %w", err)
	}
	if !first.Locked || first.Cached {
		return recordCheck{}, fmt.Errorf("first claim: got %+v, want the lock", first)
	}
	if err := c.call(ctx, http.MethodPost, "/v1/record", key, &second); err != nil {
		return recordCheck{}, fmt.Errorf("second claim: %w", err)
	}
	if second.Locked || second.Cached || second.RetryAfterMs <= 0 {
		return recordCheck{}, fmt.Errorf("second claim: got %+v, want it in progress", second)
	}
	if err := saveRecord(ctx, c, key); err != nil {
		return recordCheck{}, fmt.Errorf("saving: %w", err)
	}
	if err := c.call(ctx, http.MethodPost, "/v1/record", key, &third); err != nil {
		return recordCheck{}, fmt.Errorf("third claim: %w", err)
	}
	if err := holdsCheckBody(third); err != nil {
		return recordCheck{}, fmt.Errorf("third claim: %w", err)
	}
	return recordCheck{Scope: key.Scope, Key: key.Key, Fence: first.Fence, RetryAfterMs: second.RetryAfterMs}, nil
}

// saveRecord sends the request as text, because encoding it would tidy the body up.
func saveRecord(ctx context.Context, c *client, key recordKey) error {
	in := fmt.Appendf(nil, `{"scope":%q,"key":%q,"ttlSeconds":%d,"body":%s}`, key.Scope, key.Key, key.TTL, checkBody)
	var out struct {
		OK bool `json:"ok"`
	}
	if err := c.call(ctx, http.MethodPut, "/v1/record", in, &out); err != nil {
		return err
	}
	if !out.OK {
		return errors.New("the answer has no ok:true")
	}
	return nil
}

func holdsCheckBody(a claimAnswer) error {
	if !a.Cached || !bytes.Equal(a.Record.Body, checkBody) {
		return fmt.Errorf("got cached:%t with the body %s, want cached:true with %s", a.Cached, a.Record.Body, checkBody)
	}
	return nil
}

// checkFailover kills the leader, waits for the others to acknowledge a claim, looks for the record saved before, and
// brings the killed node back.
func (d *devCluster) checkFailover(ctx context.Context, apiKey string, saved recordCheck) (failoverCheck, error) {
	victim, err := d.awaitLeader(ctx)
	if err != nil {
		return failoverCheck{}, err
	}
	killed := time.Now()
	victim.process.Load().kill()
	survivor, err := d.claimAnywhere(ctx, apiKey, victim)
	if err != nil {
		return failoverCheck{}, fmt.Errorf("after killing %s, the leader: %w", victim.name, err)
	}
	gap := time.Since(killed)
	leader, err := d.awaitLeader(ctx)
	if err != nil {
		return failoverCheck{}, err
	}
	if err := findRecord(ctx, d.clientOf(survivor, apiKey), saved); err != nil {
		return failoverCheck{}, fmt.Errorf("after killing %s, the leader: %w", victim.name, err)
	}
	d.report.checked("killed %s, the leader → %s leads; claims acknowledged again after %s, the saved record is there",
		victim.name, leader.name, shortTime(gap))

	restarted := time.Now()
	if err := d.relaunch(ctx, victim); err != nil {
		return failoverCheck{}, err
	}
	back := time.Since(restarted)
	d.report.checked("started %s again → ready after %s", victim.name, shortTime(back))
	return failoverCheck{Killed: victim.name, Leader: leader.name, GapSeconds: seconds(gap), RecordKept: true,
		RestartSeconds: seconds(back)}, nil
}

// claimAnywhere claims a new record from the nodes other than down, one after the other, until one grants it. The
// owner makes repeating safe: an answer that was lost on the way is given again.
func (d *devCluster) claimAnywhere(ctx context.Context, apiKey string, down *devNode) (*devNode, error) {
	key := newRecordKey()
	key.Owner = "syllecta-dev"
	body, err := json.Marshal(key)
	if err != nil {
		return nil, err
	}
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for i := 0; ; i++ {
		n := d.nodes[i%len(d.nodes)]
		if n == down {
			continue
		}
		var answer claimAnswer
		_, err := d.clientOf(n, apiKey).attempt(ctx, http.MethodPost, "/v1/record", body, &answer)
		if err == nil && answer.Locked {
			return n, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("no claim was acknowledged: %w", err)
		case <-tick.C:
		}
	}
}

func findRecord(ctx context.Context, c *client, saved recordCheck) error {
	query := url.Values{"scope": {saved.Scope}, "key": {saved.Key}}
	var answer claimAnswer
	if err := c.call(ctx, http.MethodGet, "/v1/record?"+query.Encode(), nil, &answer); err != nil {
		return fmt.Errorf("reading the saved record: %w", err)
	}
	if err := holdsCheckBody(answer); err != nil {
		return fmt.Errorf("reading the saved record: %w", err)
	}
	return nil
}

// relaunch starts the node's process again, after the last one has ended, and waits until it is ready.
func (d *devCluster) relaunch(ctx context.Context, n *devNode) error {
	select {
	case <-n.process.Load().exited:
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := d.launch(n); err != nil {
		return err
	}
	return d.awaitReady(ctx, n)
}
