package delivery

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/syllecta/syllecta/fsm"
)

func TestDelays(t *testing.T) {
	t.Parallel()
	const min, hour = time.Minute, time.Hour
	standard := []time.Duration{0, 5 * time.Second, 5 * min, 30 * min, 2 * hour, 5 * hour, 10 * hour, 14 * hour, 20 * hour, 24 * hour}
	for name, c := range map[string]struct {
		source fsm.Source
		want   []time.Duration
	}{
		"standard": {fsm.Source{}, standard},
		"own":      {fsm.Source{RetryDelaysMs: []int64{100, 0, 2_000}}, []time.Duration{0, 100 * time.Millisecond, 0, 2 * time.Second}},
	} {
		for tries, want := range c.want {
			least, ok := delayBefore(&c.source, uint32(tries), 0)
			most, _ := delayBefore(&c.source, uint32(tries), 1)
			if !ok || least != want || most != want+want/5 {
				t.Errorf("%s: after %d tries %v to %v (%v), want %v to a fifth more", name, tries, least, most, ok, want)
			}
		}
		if _, ok := delayBefore(&c.source, uint32(len(c.want)), 0); ok {
			t.Errorf("%s: after %d tries there is another", name, len(c.want))
		}
		if _, ok := delayBefore(&c.source, 1<<32-1, 0); ok {
			t.Errorf("%s: there is no end", name)
		}
	}
}

func TestDecide(t *testing.T) {
	t.Parallel()
	source := &fsm.Source{RetryDelaysMs: []int64{1_000}}
	for status, want := range map[int]fsm.Verdict{
		200: fsm.VerdictDelivered, 201: fsm.VerdictDelivered, 204: fsm.VerdictDelivered, 299: fsm.VerdictDelivered,
		410: fsm.VerdictDisable,
		0:   fsm.VerdictRetry, 101: fsm.VerdictRetry, 300: fsm.VerdictRetry, 301: fsm.VerdictRetry, 302: fsm.VerdictRetry,
		304: fsm.VerdictRetry, 307: fsm.VerdictRetry, 308: fsm.VerdictRetry, 400: fsm.VerdictRetry, 401: fsm.VerdictRetry,
		404: fsm.VerdictRetry, 409: fsm.VerdictRetry, 422: fsm.VerdictRetry, 429: fsm.VerdictRetry, 500: fsm.VerdictRetry,
		502: fsm.VerdictRetry, 503: fsm.VerdictRetry, 504: fsm.VerdictRetry, 599: fsm.VerdictRetry, 999: fsm.VerdictRetry,
	} {
		if d := decide(source, 0, answer{status: status}); d.verdict != want {
			t.Errorf("%d: verdict %d, want %d", status, d.verdict, want)
		}
		last := want
		if want == fsm.VerdictRetry {
			last = fsm.VerdictFailed
		}
		if d := decide(source, 1, answer{status: status}); d.verdict != last {
			t.Errorf("%d at last: verdict %d, want %d", status, d.verdict, last)
		}
	}
	d := decide(source, 0, answer{status: 503, retryAfter: time.Hour})
	if d.wait != time.Hour || d.pause != time.Hour {
		t.Errorf("asked to wait an hour: %+v", d)
	}
	if d := decide(source, 0, answer{status: 503, retryAfter: time.Millisecond}); d.wait < time.Second {
		t.Errorf("asked to come back early: %+v", d)
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	date := noon.UTC().Add(90 * time.Second).Format(http.TimeFormat)
	for _, c := range []struct {
		status      int
		text, clock string // theirs; "" sends none
		want        time.Duration
	}{
		{503, "120", "", 2 * time.Minute},
		{429, " 7 ", "", 7 * time.Second},
		{502, "1", "", time.Second},
		{504, "0", "", 0},
		{503, "86400", "", day},
		{503, "86401", "", day},
		{503, strings.Repeat("9", 400), "", day},
		{503, date, "", 90 * time.Second},
		{503, date, noon.UTC().Add(time.Minute).Format(http.TimeFormat), 30 * time.Second},
		{503, noon.UTC().Add(-time.Hour).Format(http.TimeFormat), "", 0},
		{503, noon.UTC().Add(day * 300).Format(http.TimeFormat), "", day},
		{503, "", "", 0},
		{503, "-1", "", 0},
		{503, "1.5", "", 0},
		{503, "soon", "", 0},
		{500, "120", "", 0},
		{200, "120", "", 0},
		{302, "120", "", 0},
		{404, "120", "", 0},
	} {
		h := http.Header{}
		if c.text != "" {
			h.Set("Retry-After", c.text)
		}
		if c.clock != "" {
			h.Set("Date", c.clock)
		}
		if got := retryAfter(c.status, h, noon); got != c.want {
			t.Errorf("%d with %.40q: %v, want %v", c.status, c.text, got, c.want)
		}
	}
}
