package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"
)

const (
	// farewellTries is how often the leader tells a node that it was removed.
	farewellTries = 5
	// removedGrace is how long a removed node goes on saying so before it ends.
	removedGrace = 2 * time.Second
)

// expel takes a node out of raft's configuration and tells it, for as long as it may not have learned it by itself.
func (n *Node) expel(ctx context.Context, id raft.ServerID) error {
	at, known := n.serverOf(id)
	if !known {
		return nil
	}
	if err := settled(ctx, n.raft.RemoveServer(id, 0, changeTimeout)); err != nil {
		return n.changeError("taken out of the configuration", id, err)
	}
	n.peers.forget(id)
	n.tasks.start(func() { n.sayFarewell(n.addresses.at(at)) })
	return nil
}

func (n *Node) sayFarewell(to raft.ServerAddress) {
	id, _ := locate(to)
	for range farewellTries {
		ctx, cancel := context.WithTimeout(n.ctx, pingTimeout)
		err := n.peers.ask.call(ctx, to, methodRemoved, RemovedRequest{id}, &RemovedReply{})
		cancel()
		if err == nil || n.ctx.Err() != nil {
			return
		}
		select {
		case <-n.ctx.Done():
		case <-time.After(pingTimeout):
		}
	}
}

// checkRemoved notices that the log says this node was removed.
func (n *Node) checkRemoved() {
	if n.isOut(n.id) {
		n.leaveForGood()
	}
}

// isOut reports whether a node was removed and has no part in raft's configuration any more. Until then the others may
// need its vote, if only to take it out.
func (n *Node) isOut(id raft.ServerID) bool {
	m := n.Directory().Member(string(id))
	if m == nil || !m.Retired() {
		return false
	}
	_, there := n.serverOf(id)
	return !there
}

// leaveForGood ends a node that was removed from its cluster: it says so, is ready no more, and marks its data
// directory so that it does not come back.
func (n *Node) leaveForGood() {
	if !n.removed.CompareAndSwap(false, true) {
		return
	}
	mark := removal{documentHead{documentVersion}, string(n.id), n.passport.affiliation.clusterID(), n.wall()}
	if err := writeDocument(filepath.Join(n.cfg.DataDir, removedFile), mark); err != nil {
		n.log.Error("the data directory could not be marked as removed", "error", err)
	}
	n.log.Warn("this node was removed from the cluster and ends", "after", removedGrace)
	n.tasks.start(func() {
		select {
		case <-n.ctx.Done():
		case <-time.After(removedGrace):
			n.fail(fmt.Errorf("%w: its id is never used again; to use this machine, empty %s and give the node a new id",
				ErrRemoved, n.cfg.DataDir))
		}
	})
}

// removal is the mark that a node leaves in its data directory when it has been removed from its cluster.
type removal struct {
	documentHead
	NodeID    string    `json:"nodeId"`
	ClusterID string    `json:"clusterId"`
	At        time.Time `json:"at"`
}

// refuseRemoved fails if the directory belongs to a node that was removed.
func refuseRemoved(dir string) error {
	var mark removal
	err := readDocument(filepath.Join(dir, removedFile), &mark)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return fmt.Errorf("%w: %s, from cluster %s at %s; to use this machine again, empty %s and give the node a new id",
		ErrRemoved, mark.NodeID, mark.ClusterID, mark.At.UTC().Format(time.RFC3339), dir)
}
