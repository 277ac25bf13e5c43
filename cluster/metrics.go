package cluster

import (
	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/syllecta/syllecta/fsm"
)

// metrics are what a node counts itself. What can be read off when it is asked for is left to stateCollector.
type metrics struct {
	batchCalls    prometheus.Histogram
	commitSeconds prometheus.Histogram
	storeSeconds  prometheus.Histogram
	applySeconds  prometheus.Histogram
	// captureSeconds and persistSeconds are the two parts of a snapshot.
	captureSeconds prometheus.Histogram
	persistSeconds prometheus.Histogram
	rejected       prometheus.Counter
	unknown        prometheus.Counter
	clockOffset    prometheus.Gauge
	diskFree       prometheus.Gauge
}

func newMetrics(registry prometheus.Registerer) *metrics {
	seconds := prometheus.ExponentialBuckets(0.000_25, 2, 16)
	m := &metrics{
		batchCalls: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "syllecta_proposer_batch_calls",
			Help:    "Calls that shared one log entry.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 10),
		}),
		commitSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "syllecta_proposer_commit_seconds",
			Help:    "Time from proposing a log entry until it was applied.",
			Buckets: seconds,
		}),
		storeSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "syllecta_raft_store_seconds",
			Help:    "Time to write entries to the log store, fsync included.",
			Buckets: seconds,
		}),
		applySeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "syllecta_fsm_apply_seconds",
			Help:    "Time to apply a log entry to the state machine.",
			Buckets: prometheus.ExponentialBuckets(0.000_03, 2, 16),
		}),
		captureSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "syllecta_snapshot_capture_seconds",
			Help:    "Time for which taking a snapshot kept the state machine from applying entries.",
			Buckets: prometheus.ExponentialBuckets(0.000_03, 2, 16),
		}),
		persistSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "syllecta_snapshot_persist_seconds",
			Help:    "Time to write a snapshot, beside which entries are applied.",
			Buckets: prometheus.ExponentialBuckets(0.01, 2, 16),
		}),
		rejected: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "syllecta_proposer_rejected_total",
			Help: "Calls refused because the proposal queue was full.",
		}),
		unknown: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "syllecta_proposer_outcome_unknown_total",
			Help: "Entries or calls whose outcome could not be learned in time.",
		}),
		clockOffset: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "syllecta_clock_offset_seconds",
			Help: "Median wall clock of the voters minus the cluster clock, on the leader.",
		}),
		diskFree: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "syllecta_disk_free_bytes",
			Help: "Free space of the file system that holds the data directory.",
		}),
	}
	registry.MustRegister(m.batchCalls, m.commitSeconds, m.storeSeconds, m.applySeconds, m.captureSeconds, m.persistSeconds,
		m.rejected, m.unknown, m.clockOffset, m.diskFree)
	return m
}

// stateCollector reports a node's state at the moment it is asked.
type stateCollector struct {
	node  *Node
	descs map[string]*prometheus.Desc
}

var stateHelp = map[string]string{
	"syllecta_fsm_applied_index":                    "Last log index the state machine applied.",
	"syllecta_fsm_clock_seconds":                    "Committed clock, in Unix seconds.",
	"syllecta_fsm_records":                          "Completed records kept.",
	"syllecta_fsm_locks":                            "Locks kept, lapsed ones included.",
	"syllecta_fsm_events_queued":                    "Events that wait for their next attempt to be delivered.",
	"syllecta_fsm_events_failed":                    "Events that could not be delivered and wait to be replayed or ignored: dead letters.",
	"syllecta_fsm_events_held":                      "Events that were accepted over a plan's limit and wait to be replayed or ignored.",
	"syllecta_fsm_events_settled":                   "Events kept that were delivered, or are not to be.",
	"syllecta_raft_leader":                          "1 if this node leads and is ready to serve.",
	"syllecta_raft_has_leader":                      "1 if this node knows a leader that is ready to serve.",
	"syllecta_raft_term":                            "Raft term.",
	"syllecta_raft_commit_index":                    "Raft commit index.",
	"syllecta_raft_last_index":                      "Last index of the raft log.",
	"syllecta_raft_voters":                          "Voters in the raft configuration.",
	"syllecta_raft_healthy_voters":                  "Voters that answer this node and hear from the leader.",
	"syllecta_raft_failure_tolerance":               "Healthy voters that may still fail before nothing is acknowledged; negative if that is so now.",
	"syllecta_gossip_members":                       "Nodes that gossip shows to be alive, this one included.",
	"syllecta_feature_level":                        "Feature level of the cluster.",
	"syllecta_certificate_expiry_timestamp_seconds": "When this node's certificate for other nodes ends, in Unix seconds.",
	"syllecta_raft_last_contact_seconds":            "Time since a follower last heard from a leader; 0 on the leader.",
	"syllecta_proposer_queue_calls":                 "Calls waiting to be proposed.",
	"syllecta_proposer_queue_bytes":                 "Bytes waiting to be proposed.",
}

func newStateCollector(n *Node) *stateCollector {
	c := &stateCollector{node: n, descs: make(map[string]*prometheus.Desc)}
	for name, help := range stateHelp {
		c.descs[name] = prometheus.NewDesc(name, help, nil, nil)
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *stateCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *stateCollector) Collect(out chan<- prometheus.Metric) {
	n := c.node
	gauge := func(name string, v float64) {
		out <- prometheus.MustNewConstMetric(c.descs[name], prometheus.GaugeValue, v)
	}
	n.applier.read(func(m *fsm.Machine) {
		gauge("syllecta_fsm_applied_index", float64(m.Index()))
		gauge("syllecta_fsm_clock_seconds", float64(m.ClockMs())/1000)
		gauge("syllecta_fsm_records", float64(m.Records()))
		gauge("syllecta_fsm_locks", float64(m.Locks()))
		gauge("syllecta_fsm_events_queued", float64(m.Events(fsm.EventQueued)))
		gauge("syllecta_fsm_events_failed", float64(m.Events(fsm.EventFailed)))
		gauge("syllecta_fsm_events_held", float64(m.Events(fsm.EventHeld)))
		gauge("syllecta_fsm_events_settled", float64(m.Events(fsm.EventProcessed)+m.Events(fsm.EventIgnored)))
	})
	calls, bytes := n.proposer.queued()
	gauge("syllecta_proposer_queue_calls", float64(calls))
	gauge("syllecta_proposer_queue_bytes", float64(bytes))
	_, known := n.Leader()
	gauge("syllecta_raft_leader", truth(n.IsLeader()))
	gauge("syllecta_raft_has_leader", truth(known))
	gauge("syllecta_raft_term", float64(n.raft.CurrentTerm()))
	gauge("syllecta_raft_commit_index", float64(n.raft.CommitIndex()))
	gauge("syllecta_raft_last_index", float64(n.raft.LastIndex()))
	status := n.Status()
	gauge("syllecta_raft_voters", float64(status.Voters))
	gauge("syllecta_raft_healthy_voters", float64(status.HealthyVoters))
	gauge("syllecta_raft_failure_tolerance", float64(status.FailureTolerance))
	gauge("syllecta_gossip_members", float64(len(n.gossiped())))
	gauge("syllecta_feature_level", float64(status.FeatureLevel))
	if c := n.passport.certificates; c != nil {
		gauge("syllecta_certificate_expiry_timestamp_seconds", float64(c.expires().Unix()))
	}
	if ago, ok := n.lastContact(); ok {
		gauge("syllecta_raft_last_contact_seconds", ago.Seconds())
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// voters returns the servers of the latest configuration that vote.
func (n *Node) voters() (voters []raft.Server) {
	for _, s := range n.servers() {
		if s.Suffrage == raft.Voter {
			voters = append(voters, s)
		}
	}
	return voters
}
