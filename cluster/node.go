package cluster

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/syllecta/syllecta/fsm"
)

const (
	// housekeepEvery is how often a node looks after its disk and its unsettled entries.
	housekeepEvery = 500 * time.Millisecond
	// snapshotCheckEvery is how often raft looks whether enough entries have come for a snapshot.
	snapshotCheckEvery = 5 * time.Second
)

// Node is one member of the cluster.
type Node struct {
	id   raft.ServerID
	cfg  Config
	log  *slog.Logger
	wall func() time.Time // this machine's wall clock

	passport  *passport
	addresses *addressBook
	logs      raft.LogStore
	transport *watchedTransport
	raft      *raft.Raft
	notify    chan bool
	applier   *applier
	proposer  *proposer
	peers     *peerTable
	clock     *clusterClock
	confirmer coalescer // quorum confirms on the leader
	catchUp   coalescer // questions to the leader on a follower
	staleness staleness
	// lastQuorum is, of a leader, what quorumTime said last. It belongs to the reign's goroutine.
	lastQuorum time.Time
	metrics    *metrics
	ticketKey  []byte

	readyTerm atomic.Uint64 // the term in which this node leads and is ready to serve; 0 otherwise
	draining  atomic.Bool
	diskFull  atomic.Bool
	disk      diskState
	removed   atomic.Bool
	opened    time.Time
	// leaderSeen is when a leader was known last, as nanoseconds since opened.
	leaderSeen atomic.Int64
	formation  formation
	steward    steward
	snapshots  *snapshotStore
	restoring  restoring
	schedule   *backupSchedule

	fatalOnce sync.Once
	fatal     chan error

	ctx      context.Context // of the loops
	stop     context.CancelFunc
	tasks    tasks    // short ones, that come and go
	loops    tasks    // that run as long as the node
	closers  []func() // what is below raft, in the order of closing
	shutdown sync.Once
	closed   chan struct{}
	closeErr error
}

// parts are what a node stands on: files and sockets in production, memory in tests that run in virtual time.
type parts struct {
	passport  *passport
	addresses *addressBook
	logs      raft.LogStore
	stable    raft.StableStore
	snapshots *snapshotStore
	ballast   *ballast // nil without a disk
	transport raft.Transport
	caller    caller
	wall      func() time.Time
}

// assemble makes a node of its parts. Nothing runs yet but raft.
func assemble(cfg Config, p parts) (*Node, error) {
	n := &Node{
		id:        p.passport.nodeID,
		cfg:       cfg,
		log:       cfg.Logger.With("node", string(p.passport.nodeID)),
		wall:      p.wall,
		passport:  p.passport,
		addresses: p.addresses,
		notify:    make(chan bool, 16),
		clock:     &clusterClock{},
		metrics:   newMetrics(cfg.Metrics),
		ticketKey: make([]byte, 32),
		fatal:     make(chan error, 1),
		opened:    time.Now(),
		closed:    make(chan struct{}),
	}
	n.applier = newApplier(n.metrics)
	n.ctx, n.stop = context.WithCancel(context.Background())
	_, _ = rand.Read(n.ticketKey) // never fails (crypto/rand)
	n.formation.look = make(chan struct{}, 1)
	n.steward = newSteward()
	n.snapshots = p.snapshots
	n.schedule = newBackupSchedule(cfg)
	n.transport = watchTransport(p.transport)
	n.peers = newPeerTable(n, p.caller)
	n.proposer = newProposer(n.clock, n.applier.viewWhileApplying, n.metrics)
	n.confirmer = coalescer{round: n.confirmTerm, timeout: cfg.electionTimeout(), tasks: &n.tasks}
	n.catchUp = coalescer{round: n.askLeader, timeout: pingTimeout, tasks: &n.tasks}
	n.applier.fatal = n.fail
	n.applier.pace = func(sink raft.SnapshotSink) *pacedWriter {
		return n.snapshots.paceSnapshot(n.ctx, n.restoring.replacing.Load, sink)
	}
	n.applier.onApply = n.onApply
	n.applier.onRestore = n.onRestore

	n.disk.hold(p.ballast, cfg.Metrics)
	guard := &storeGuard{
		makeRoom: n.makeRoom,
		deadline: cfg.StoreDeadline,
		fatal:    n.fail,
		observe:  func(d time.Duration) { n.metrics.storeSeconds.Observe(d.Seconds()) },
	}
	if store, ok := p.logs.(roomMaker); ok {
		store.whenFull(n.makeRoom)
		guard.makeRoom = nil
	}
	logs, err := raft.NewLogCache(logCacheEntries, &keptLogs{&guardedLogs{guard, p.logs}, &p.snapshots.restored})
	if err != nil {
		return nil, fmt.Errorf("log cache: %w", err)
	}
	n.logs = logs
	if err := n.watchGap(); err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	n.raft, err = n.startRaft(logs, &guardedStable{guard, p.stable}, p)
	if err != nil {
		return nil, fmt.Errorf("start raft: %w", errors.Join(err, n.applier.restoreErr))
	}
	n.proposer.raft = n.raft
	n.passport.attach(n)
	cfg.Metrics.MustRegister(newStateCollector(n))
	return n, nil
}

// startRaft starts raft, which panics over some of the entries that it cannot read.
func (n *Node) startRaft(logs raft.LogStore, stable raft.StableStore, p parts) (r *raft.Raft, err error) {
	defer refuseDamage(&err)()
	return raft.NewRaft(n.raftConfig(), n.applier, logs, stable, p.snapshots, n.transport)
}

// raftConfig states every setting that matters instead of leaving it to the library's defaults.
func (n *Node) raftConfig() *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = n.id
	c.HeartbeatTimeout = n.cfg.heartbeatTimeout()
	c.ElectionTimeout = n.cfg.electionTimeout()
	c.LeaderLeaseTimeout = n.cfg.leaderLease()
	c.CommitTimeout = 50 * time.Millisecond
	c.MaxAppendEntries = 64
	c.SnapshotThreshold = n.cfg.SnapshotThreshold
	c.SnapshotInterval = snapshotCheckEvery
	c.TrailingLogs = n.cfg.SnapshotThreshold
	c.NotifyCh = n.notify
	c.NoLegacyTelemetry = true
	c.ShutdownOnRemove = false
	c.Logger = raftLogger(n.log)
	return c
}

// run starts the node's loops.
func (n *Node) run() {
	ctx := n.ctx
	n.loops.start(func() { n.monitorLeadership(ctx) })
	n.loops.start(func() { n.peers.run(ctx) })
	n.loops.start(func() { n.observeLeader(ctx) })
	n.loops.start(func() { n.housekeep(ctx) })
	n.loops.start(func() { n.transport.run(ctx, n.watchRestored) })
	n.loops.start(func() { n.runBackups(ctx) })
}

// observeLeader wakes those who wait for a leader whenever raft learns of another one.
func (n *Node) observeLeader(ctx context.Context) {
	changes := make(chan raft.Observation, 16)
	observer := raft.NewObserver(changes, false, func(o *raft.Observation) bool {
		_, ok := o.Data.(raft.LeaderObservation)
		return ok
	})
	n.raft.RegisterObserver(observer)
	defer n.raft.DeregisterObserver(observer)
	for {
		select {
		case <-ctx.Done():
			return
		case <-changes:
			n.peers.notify()
		}
	}
}

func (n *Node) housekeep(ctx context.Context) {
	ticker := time.NewTicker(housekeepEvery)
	defer ticker.Stop()
	for {
		n.checkDisk()
		n.checkRemoved()
		n.planSnapshot()
		n.reloadSecrets()
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			n.proposer.expireSuspects(now)
		}
	}
}

// reloadSecrets takes certificates and gossip keys over that have been replaced on disk.
func (n *Node) reloadSecrets() {
	if c := n.passport.certificates; c != nil {
		n.reportReload("the certificate of this node", c.reload)
	}
	if g := n.formation.gossip.Load(); g != nil && g.keys != nil {
		n.reportReload("the gossip keys", g.keys.reload)
	}
}

func (n *Node) reportReload(what string, reload func() (bool, error)) {
	changed, err := reload()
	if err != nil {
		n.log.Error("changed files are not taken over", "of", what, "error", err)
	} else if changed {
		n.log.Info("changed files are taken over", "of", what)
	}
}

func (n *Node) onApply(index, term uint64, e fsm.Entry, results []fsm.Result) {
	n.clock.raise(e.StampMs)
	n.proposer.onApply(index, term, e, results)
}

func (n *Node) onRestore(index uint64) { n.proposer.onRestore(index) }

// fail reports an error after which this process must not go on.
func (n *Node) fail(err error) {
	n.fatalOnce.Do(func() {
		n.log.Error("this node cannot go on", "error", err)
		n.fatal <- err
	})
}

// Fatal brings at most one error: the process must then end with a failure, and be restarted by its supervisor.
func (n *Node) Fatal() <-chan error { return n.fatal }

// gossiped is what gossip shows of the nodes that are alive.
func (n *Node) gossiped() map[raft.ServerID]gossipMeta {
	g := n.formation.gossip.Load()
	if g == nil {
		return nil
	}
	return g.members()
}

// gossipKey is the fingerprint of the key that this node encrypts gossip with; "" for none.
func (n *Node) gossipKey() string {
	g := n.formation.gossip.Load()
	if g == nil || g.keys == nil {
		return ""
	}
	return g.keys.primary()
}

// Propose puts the calls, at most MaxCallsPerProposal, into one log entry and returns their results in order once it
// is applied and every wait is over. See the errors of this package for what it fails with.
func (n *Node) Propose(ctx context.Context, calls ...Call) ([]fsm.Result, Receipt, error) {
	if len(calls) > MaxCallsPerProposal {
		return nil, Receipt{}, fmt.Errorf("%d calls in one proposal: at most %d", len(calls), MaxCallsPerProposal)
	}
	if n.draining.Load() {
		return nil, Receipt{}, ErrNotLeader // it is handing the leadership over, or has
	}
	if n.restoring.replacing.Load() {
		return nil, Receipt{}, ErrUnavailable
	}
	if n.diskFull.Load() && begins(calls) {
		return nil, Receipt{}, ErrStorageFull
	}
	return n.proposer.propose(ctx, calls)
}

// begins reports whether calls ask for what more will follow: a claim, or an event that comes in.
func begins(calls []Call) bool {
	for _, c := range calls {
		switch c.Command.(type) {
		case fsm.Claim, fsm.AcceptEvent:
			return true
		}
	}
	return false
}

// ID returns the node's identity.
func (n *Node) ID() string { return string(n.id) }

// TicketKey returns the key with which peers sign requests they redirect to this node.
func (n *Node) TicketKey() []byte { return n.ticketKey }

// Directory returns the tenants and keys as this node has applied them.
func (n *Node) Directory() *fsm.Directory { return n.applier.directory.Load() }

// Usage is a tenant's count of grants in the UTC month of the committed clock.
type Usage struct {
	Month  string // "2026-11"
	Claims int64
}

// Usage returns a tenant's usage as this node's state has it.
func (n *Node) Usage(t fsm.TenantID) Usage {
	var u Usage
	n.applier.read(func(m *fsm.Machine) {
		month, claims := m.Usage(t)
		u = Usage{Month: fmt.Sprintf("%04d-%02d", month/100, month%100), Claims: claims}
	})
	return u
}

// UsageDays returns what was counted for a tenant on the UTC days from … to, as this node's state has it.
func (n *Node) UsageDays(t fsm.TenantID, from, to fsm.Day) (days []fsm.DayUsage) {
	n.applier.read(func(m *fsm.Machine) { days = m.UsageDays(t, from, to) })
	return days
}

// AuditLog returns at most limit entries of the audit log that come after one, 0 for the first, and how many there are,
// as this node's state has them.
func (n *Node) AuditLog(after uint64, limit int) (entries []fsm.AuditEntry, total uint64) {
	n.applier.read(func(m *fsm.Machine) { entries, total = m.AuditLog(after, limit) })
	return entries, total
}

// servers returns the members of the latest raft configuration.
func (n *Node) servers() []raft.Server {
	future := n.raft.GetConfiguration()
	if future.Error() != nil {
		return nil
	}
	return future.Configuration().Servers
}

// lastContact is how long ago this node heard from the leader; 0 on the leader. ok is false before the first contact.
func (n *Node) lastContact() (ago time.Duration, ok bool) {
	if n.raft.State() == raft.Leader {
		return 0, true
	}
	last := n.raft.LastContact()
	return time.Since(last), !last.IsZero()
}

// Drain has the node refuse new proposals, and hands the leadership over if it has it.
func (n *Node) Drain() {
	n.draining.Store(true)
	n.handOver()
}

// Shutdown drains the node and closes everything. A node that is shut down stays a member of the cluster: it is
// expected back. It returns ctx's error if that ends first, and may be called again.
func (n *Node) Shutdown(ctx context.Context) error {
	n.shutdown.Do(func() {
		go func() {
			defer close(n.closed)
			n.closeErr = n.close()
		}()
	})
	select {
	case <-n.closed:
		return n.closeErr
	case <-ctx.Done():
		return fmt.Errorf("shut down: %w", ctx.Err())
	}
}

func (n *Node) close() error {
	n.Drain()
	n.stop()
	n.loops.close()
	n.proposer.revoke()
	err := n.raft.Shutdown().Error()
	n.proposer.close()
	n.peers.ask.close()
	n.tasks.close()
	for _, c := range n.closers {
		c()
	}
	if err != nil {
		return fmt.Errorf("shut raft down: %w", err)
	}
	return nil
}
