package api

import (
	"context"

	"github.com/syllecta/syllecta/cluster"
	"github.com/syllecta/syllecta/fsm"
)

// node is what the edge needs of a cluster.Node. The tests have a second one, which fails as it is told.
type node interface {
	ID() string
	IsLeader() bool
	WaitLeader(ctx context.Context) (cluster.Peer, bool)
	TicketKey() []byte

	Propose(ctx context.Context, calls ...cluster.Call) ([]fsm.Result, cluster.Receipt, error)
	Read(ctx context.Context, id fsm.RecordID) (fsm.View, cluster.Receipt, error)
	ReadStale(id fsm.RecordID) (fsm.View, cluster.Receipt, cluster.Staleness)
	CatchUp(ctx context.Context) error

	Directory() *fsm.Directory
	Usage(t fsm.TenantID) cluster.Usage
	Readiness() []cluster.Check
	Status() cluster.Status
}

var _ node = (*cluster.Node)(nil)

// requireNode refuses a request while the node is still opening.
func requireNode(next handler) handler {
	return func(x *exchange) {
		if x.node == nil {
			x.refuse(noLeader.problem("the node is starting"))
			return
		}
		next(x)
	}
}
