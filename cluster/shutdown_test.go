package cluster

import (
	"bytes"
	"context"
	"runtime"
	"testing"

	"github.com/hashicorp/raft"
)

// TestShutdownWhileOneJoins: a node that wants to join, and has to wait for it, does not hold up a shutdown.
func TestShutdownWhileOneJoins(t *testing.T) {
	t.Parallel()
	leader := openNode(t, Config{NodeID: "n0", BootstrapExpect: 1})
	waitForLeader(t, leader)
	waitFor(t, "the member to be known", func() bool { return len(leader.Directory().Members()) == 1 })
	if _, err := leader.steward.begin(t.Context()); err != nil { // another change goes on for ever
		t.Fatal(err)
	}
	n := openNode(t, Config{NodeID: "n1"})
	answered := make(chan error, 1)
	go func() {
		_, err := n.requestMembership(context.Background(), raft.ServerAddress(leader.cfg.RaftAddr), leader.Status().ClusterID)
		answered <- err
	}()
	waitFor(t, "the visit", func() bool { return bytes.Contains(stacks(), []byte("(*steward).begin")) })
	ctx, cancel := context.WithTimeout(t.Context(), admitTimeout/2)
	defer cancel()
	if err := leader.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	<-answered
}

func stacks() []byte {
	buf := make([]byte, 4<<20)
	return buf[:runtime.Stack(buf, true)]
}
