package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
)

// clusterView is a node's view of the cluster, as the admin API shows it.
type clusterView struct {
	ClusterID        string   `json:"clusterId"`
	ClusterName      string   `json:"clusterName"`
	NodeID           string   `json:"nodeId"` // whose view this is
	FeatureLevel     uint32   `json:"featureLevel"`
	Term             uint64   `json:"term"`
	LeaderID         string   `json:"leaderId"` // "" if it knows of none
	Voters           int      `json:"voters"`
	HealthyVoters    int      `json:"healthyVoters"`
	FailureTolerance int      `json:"failureTolerance"` // negative if too few voters are healthy
	Nodes            []member `json:"nodes"`
}

// member is a node of the cluster. What it alone could tell, from Role on, is known only if LastSeenMs is.
type member struct {
	ID        string `json:"id"`
	Voter     bool   `json:"voter"`
	NonVoter  bool   `json:"nonVoter"` // it is never to vote
	RaftAddr  string `json:"raftAddr"`
	Reachable bool   `json:"reachable"`
	Healthy   bool   `json:"healthy"`

	LastSeenMs     *int64 `json:"lastSeenMs"`
	Role           string `json:"role"`
	Term           uint64 `json:"term"`
	AppliedIndex   uint64 `json:"appliedIndex"`
	Lag            uint64 `json:"lag"`           // entries it has still to apply
	LastContactMs  *int64 `json:"lastContactMs"` // with the leader; nil if there was none
	ClockOffsetMs  int64  `json:"clockOffsetMs"`
	DiskFreeBytes  int64  `json:"diskFreeBytes"`
	DiskTotalBytes int64  `json:"diskTotalBytes"` // 0 if unknown
	Version        string `json:"version"`
	GossipKey      string `json:"gossipKey"` // a fingerprint; "" if gossip is not encrypted
}

// removal is what taking a node out of the cluster means, or meant.
type removal struct {
	NodeID      string `json:"nodeId"`
	Voters      int    `json:"voters"` // without it
	Safe        bool   `json:"safe"`
	Consequence string `json:"consequence"`
}

// told is an answer of the API that --json prints as it came, with what this program does not know of.
type told[T any] struct {
	value T
	raw   json.RawMessage
}

// UnmarshalJSON keeps the text beside the value.
func (a *told[T]) UnmarshalJSON(text []byte) error {
	a.raw = bytes.Clone(text)
	return json.Unmarshal(text, &a.value)
}

// MarshalJSON returns the text.
func (a told[T]) MarshalJSON() ([]byte, error) { return a.raw, nil }

func (a admin) cluster(ctx context.Context) (view told[clusterView], err error) {
	err = a.call(ctx, http.MethodGet, "/v1/admin/cluster", nil, &view)
	return view, err
}

const nodesPath = "/v1/admin/nodes"

func (a admin) addNode(ctx context.Context, raftAddr string, nonVoter bool) (added told[member], err error) {
	in := struct {
		RaftAddr string `json:"raftAddr"`
		NonVoter bool   `json:"nonVoter,omitempty"`
	}{raftAddr, nonVoter}
	err = a.call(ctx, http.MethodPost, nodesPath, in, &added)
	return added, err
}

// removeNode removes a node, or with dryRun says what that would mean.
func (a admin) removeNode(ctx context.Context, id string, force, dryRun bool) (r told[removal], err error) {
	query := url.Values{}
	if force {
		query.Set("force", "true")
	}
	if dryRun {
		query.Set("dryRun", "true")
	}
	path := nodesPath + "/" + url.PathEscape(id)
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	err = a.call(ctx, http.MethodDelete, path, nil, &r)
	return r, err
}

func (a admin) promoteNode(ctx context.Context, id string) (promoted told[member], err error) {
	err = a.call(ctx, http.MethodPost, nodesPath+"/"+url.PathEscape(id)+"/promote", nil, &promoted)
	return promoted, err
}

// newLeader is the answer to a transfer of the leadership.
type newLeader struct {
	LeaderID string `json:"leaderId"`
}

// transferLeadership hands the leadership to a voter, with "" to the one best prepared.
func (a admin) transferLeadership(ctx context.Context, to string) (led told[newLeader], err error) {
	in := struct {
		NodeID string `json:"nodeId,omitempty"`
	}{to}
	err = a.call(ctx, http.MethodPost, "/v1/admin/leader", in, &led)
	return led, err
}
