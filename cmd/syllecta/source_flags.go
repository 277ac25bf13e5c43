package main

import (
	"encoding/json"
	"time"

	"github.com/spf13/cobra"

	"github.com/syllecta/syllecta/fsm"
)

// sourceMembers are the flags by which a source is made or changed.
type sourceMembers struct {
	callbackURL    string
	options        string
	raw            bool
	dedupeWindow   time.Duration
	retryDelays    []string
	maxConcurrency int64
	maxPerSecond   int64
}

func (m *sourceMembers) addTo(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&m.callbackURL, "callback-url", "", "`url` that events are delivered to; none keeps them undelivered")
	flags.StringVar(&m.options, "options", "",
		"JSON `object` with what the provider's adapter is told, such as {\"toleranceSeconds\":60}; {} is nothing")
	flags.BoolVar(&m.raw, "raw", false, "deliver the provider's own bytes and headers instead of normalised JSON")
	flags.DurationVar(&m.dedupeWindow, "dedupe-window", 0, "`time` for which event ids are remembered, such as 168h")
	flags.StringSliceVar(&m.retryDelays, "retry-delays", nil,
		"`times` between the attempts to deliver, such as 5s,5m,1h; \"\" is the default schedule")
	flags.Int64Var(&m.maxConcurrency, "max-concurrency", 0, "`number` of deliveries at a time; 0 is the default")
	flags.Int64Var(&m.maxPerSecond, "max-per-second", 0, "`number` of deliveries per second; 0 is the default")
	for _, name := range []string{"callback-url", "options", "dedupe-window", "retry-delays", "max-concurrency", "max-per-second"} {
		completeFlag(cmd, name, cobra.NoFileCompletions)
	}
}

// read puts what was given into a spec, and reports whether anything was.
func (m *sourceMembers) read(cmd *cobra.Command, spec *sourceSpec) (given bool, err error) {
	if err := m.check(cmd); err != nil {
		return false, err
	}
	take := func(name string, set func()) {
		if cmd.Flags().Changed(name) {
			given = true
			set()
		}
	}
	take("callback-url", func() { spec.CallbackURL = &m.callbackURL })
	take("options", func() { spec.Options = json.RawMessage(m.options) })
	take("raw", func() { spec.Raw = &m.raw })
	take("dedupe-window", func() {
		seconds := int64(m.dedupeWindow / time.Second)
		spec.DedupeWindowSeconds = &seconds
	})
	take("retry-delays", func() {
		delays := make([]int64, len(m.retryDelays))
		for i, text := range m.retryDelays {
			delays[i], err = delaySeconds(text)
			if err != nil {
				return
			}
		}
		spec.RetryDelaysSeconds = &delays
	})
	take("max-concurrency", func() { spec.MaxConcurrency = &m.maxConcurrency })
	take("max-per-second", func() { spec.MaxPerSecond = &m.maxPerSecond })
	return given, err
}

// delaySeconds reads a wait before an attempt to deliver.
func delaySeconds(text string) (int64, error) {
	const longest = fsm.MaxRetryDelayMs * time.Millisecond
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > longest || d%time.Second != 0 {
		return 0, usageErrorf("--retry-delays: %q is not allowed; it must be a time of whole seconds up to %v such as 5m",
			shorten(text), longest)
	}
	return int64(d / time.Second), nil
}

// check refuses what cannot be.
func (m *sourceMembers) check(cmd *cobra.Command) error {
	var object map[string]json.RawMessage
	if cmd.Flags().Changed("options") && (json.Unmarshal([]byte(m.options), &object) != nil || object == nil) {
		return usageErrorf("--options: it must be a JSON object such as {\"toleranceSeconds\":60}")
	}
	const low, high = fsm.MinDedupeWindowMs * time.Millisecond, fsm.MaxDedupeWindowMs * time.Millisecond
	if w := m.dedupeWindow; cmd.Flags().Changed("dedupe-window") && (w < low || w > high || w%time.Second != 0) {
		return usageErrorf("--dedupe-window: %v is not allowed; it must be a time of whole seconds from %v to %v", w, low, high)
	}
	if len(m.retryDelays) > fsm.MaxRetryDelays {
		return usageErrorf("--retry-delays: at most %d are allowed", fsm.MaxRetryDelays)
	}
	if err := checkLimit("max-concurrency", m.maxConcurrency, fsm.MaxSourceConcurrency); err != nil {
		return err
	}
	return checkLimit("max-per-second", m.maxPerSecond, fsm.MaxSourceRate)
}
