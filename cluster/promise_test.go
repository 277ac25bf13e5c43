package cluster

import (
	"testing"

	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/raft"
)

// TestNoPromiseWithoutAgreement: as long as one founder objects, none of the others is bound to it.
func TestNoPromiseWithoutAgreement(t *testing.T) {
	t.Parallel()
	hosts := newHosts(t, 3, 4) // a fourth never comes, so they found nothing by themselves
	nodes := startAll(t, hosts)
	seeEachOther(t, nodes...)
	a := nodes[2].passport.affiliation
	if err := a.promise("syllecta", "c1", []raft.ServerID{"n2", "n7", "n8"}); err != nil {
		t.Fatal(err)
	}
	var founders []raft.Server
	for _, n := range nodes {
		n.formation.gossip.Load().NotifyJoin(ghostOf("n9"))
		founders = append(founders, raft.Server{ID: n.id, Address: raft.ServerAddress(n.cfg.RaftAddr)})
	}
	founders = append(founders, raft.Server{ID: "n9", Address: "127.0.0.1:1"})
	if reason := nodes[0].agree(t.Context(), founders); reason == "" {
		t.Fatal("all agree")
	}
	for _, n := range nodes[:2] {
		if id, bound := n.passport.affiliation.founders(); bound != nil {
			t.Errorf("%s is bound to %v as cluster %s", n.ID(), bound, id)
		}
	}
}

func ghostOf(name string) *memberlist.Node {
	return &memberlist.Node{Name: name, Meta: []byte(`{"r":"127.0.0.1:1","d":"0","e":4}`)}
}
