package api

import (
	"context"
	"io"
	"time"

	"github.com/syllecta/syllecta/cluster"
	"github.com/syllecta/syllecta/fsm"
)

// node is what the edge needs of a cluster.Node. The tests have a second one, which fails as it is told.
type node interface {
	ID() string
	IsLeader() bool
	WaitLeader(ctx context.Context) (cluster.Peer, bool)
	LeaderlessFor() time.Duration
	TicketKey() []byte

	Propose(ctx context.Context, calls ...cluster.Call) ([]fsm.Result, cluster.Receipt, error)
	Claim(ctx context.Context, calls ...cluster.Call) ([]fsm.Result, cluster.Receipt, error)
	MayGrant(calls ...cluster.Call) int
	Read(ctx context.Context, id fsm.RecordID) (fsm.View, cluster.Receipt, error)
	ReadStale(id fsm.RecordID) (fsm.View, cluster.Receipt, cluster.Staleness)
	ListLocks(ctx context.Context, query fsm.LockQuery, cursor string) (found []fsm.HeldLock, next string, err error)
	CatchUp(ctx context.Context) error

	ListEvents(ctx context.Context, q fsm.EventQuery) (fsm.EventPage, error)
	CountEvents(ctx context.Context, q fsm.EventQuery) ([]fsm.EventCount, error)
	Event(ctx context.Context, tenant fsm.TenantID, id fsm.EventID) (*fsm.Event, error)
	SourceQueue(id fsm.SourceID) (queued, dueMs int64)

	Directory() *fsm.Directory
	Usage(t fsm.TenantID) cluster.Usage
	EventUsage(t fsm.TenantID) (month fsm.Month, events int64)
	StoredBytes(t fsm.TenantID) int64
	UsageDays(t fsm.TenantID, from, to fsm.Day) []fsm.DayUsage
	AuditLog(after uint64, limit int) (entries []fsm.AuditEntry, total uint64)
	NoteKeyUse(k *fsm.APIKey)
	Readiness() []cluster.Check
	Status() cluster.Status

	AddNode(ctx context.Context, raftAddr string, nonVoter bool) (cluster.NodeStatus, error)
	PlanRemoval(id string) (cluster.Removal, error)
	RemoveNode(ctx context.Context, id string, options cluster.RemoveOptions) (cluster.Removal, error)
	PromoteNode(ctx context.Context, id string) (cluster.NodeStatus, error)
	TransferLeadership(ctx context.Context, id string) (leader string, err error)

	Backup(ctx context.Context, w io.Writer) (cluster.BackupInfo, error)
	Restore(ctx context.Context, r io.Reader, options cluster.RestoreOptions) (cluster.Restored, error)
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
