package main

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/syllecta/syllecta/fsm"
)

const (
	scenarioClaim    = "claim"
	scenarioComplete = "complete"
	scenarioReplay   = "replay"
	scenarioContend  = "contend"
	scenarioMixed    = "mixed"
	scenarioBatch    = "batch"
)

var scenarios = []string{
	scenarioClaim, scenarioComplete, scenarioReplay, scenarioContend, scenarioMixed, scenarioBatch,
}

const (
	defaultBenchDuration = 10 * time.Second
	defaultBenchWarmUp   = 2 * time.Second
	defaultBenchTimeout  = 5 * time.Second

	// benchAftermath is how long after a run what it wrote is there by default; benchSpareLife, how long it has to be:
	// keys that are stored before the measurement must outlive it.
	benchAftermath = 5 * time.Minute
	benchSpareLife = time.Minute

	defaultKeptKeys = 10_000
	defaultHotKeys  = 16

	maxBenchConnections = 10_000
	maxBenchRate        = 1_000_000
	maxBenchTime        = 24 * time.Hour
	maxBenchKeys        = 10_000_000
	maxBenchBatch       = 256
	maxBenchTimeout     = 5 * time.Minute
	minBodyBytes        = 2 // a string of JSON
)

// benchOptions say what load to make.
type benchOptions struct {
	scenario    string
	connections int
	rate        float64 // requests per second; 0 for a closed loop
	duration    time.Duration
	warmUp      time.Duration
	timeout     time.Duration // of one request
	keyBytes    int
	bodyBytes   int
	keys        int // completed ones, or hot ones
	batchSize   int
	ttlSeconds  int64
	scope       string
}

// check refuses what cannot be, and puts in the defaults that depend on others.
func (o *benchOptions) check() error {
	if !slices.Contains(scenarios, o.scenario) {
		return usageErrorf("scenario %q is not known; it must be one of %s", o.scenario, strings.Join(scenarios, ", "))
	}
	o.keys = cmp.Or(o.keys, o.defaultKeys())
	run := int64(math.Ceil((o.warmUp + o.duration).Seconds()))
	o.ttlSeconds = cmp.Or(o.ttlSeconds, run+int64(benchAftermath/time.Second))
	return cmp.Or(
		within("--connections", o.connections, 1, maxBenchConnections),
		within("--rate", o.rate, 0, maxBenchRate),
		within("--duration", o.duration, 100*time.Millisecond, maxBenchTime),
		within("--warm-up", o.warmUp, 0, maxBenchTime),
		within("--timeout", o.timeout, time.Second, maxBenchTimeout),
		within("--key-bytes", o.keyBytes, minBenchKeyBytes, fsm.MaxKeyBytes),
		within("--body-bytes", o.bodyBytes, minBodyBytes, fsm.MaxBodyBytes),
		within("--keys", o.keys, 1, maxBenchKeys),
		within("--batch-size", o.batchSize, 1, maxBenchBatch),
		within("--ttl-seconds", o.ttlSeconds, run+int64(benchSpareLife/time.Second), fsm.MaxTTLMs/1000),
		within("--scope: its length", len(o.scope), 1, fsm.MaxScopeBytes),
	)
}

func (o *benchOptions) defaultKeys() int {
	if o.scenario == scenarioContend {
		return defaultHotKeys
	}
	return defaultKeptKeys
}

// keepsKeys tells whether the scenario replays keys that were completed before.
func (o *benchOptions) keepsKeys() bool {
	return o.scenario == scenarioReplay || o.scenario == scenarioMixed
}

func within[T cmp.Ordered](name string, v, least, most T) error {
	if v >= least && v <= most { // what is no number is not within either
		return nil
	}
	return usageErrorf("%s: %v is not allowed; it must be from %v to %v", name, v, least, most)
}
