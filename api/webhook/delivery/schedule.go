package delivery

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/syllecta/syllecta/fsm"
)

// defaultDelays are the waits before the second and each later attempt (Standard Webhooks, "Deliverability and
// reliability"): ten attempts within three days and a half.
var defaultDelays = []time.Duration{
	5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour,
	10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
}

const (
	// maxJitter is the part of a wait that may be added to it, so that what failed together does not come again together.
	maxJitter = 0.2
	// maxRetryAfter bounds what a destination may ask for.
	maxRetryAfter = 24 * time.Hour
)

// delayBefore returns the wait before another attempt of an event that was tried that often; ok is false when there is
// none left. random is in [0, 1).
func delayBefore(s *fsm.Source, tries uint32, random float64) (wait time.Duration, ok bool) {
	if tries == 0 {
		return 0, true
	}
	last := int(tries) - 1
	if own := s.RetryDelaysMs; len(own) > 0 {
		if last >= len(own) {
			return 0, false
		}
		wait = time.Duration(own[last]) * time.Millisecond
	} else {
		if last >= len(defaultDelays) {
			return 0, false
		}
		wait = defaultDelays[last]
	}
	return wait + time.Duration(float64(wait)*maxJitter*random), true
}

// answer is what came of sending a request.
type answer struct {
	status     int // 0 if there was no answer
	err        error
	retryAfter time.Duration // that the destination asked for; 0 if it did not
	latency    time.Duration
}

// delivered reports whether the destination has taken the event.
func (a answer) delivered() bool { return a.status >= 200 && a.status < 300 }

// unwell reports whether the destination, and not this event, is what failed: there was no answer, or it says that it
// cannot answer now. An event that is refused says nothing about the next one.
func (a answer) unwell() bool {
	return a.status == 0 || a.status >= 500 || a.status == http.StatusTooManyRequests
}

// decision is what becomes of an event after an attempt.
type decision struct {
	verdict fsm.Verdict
	wait    time.Duration // until the next attempt; of fsm.VerdictRetry
	pause   time.Duration // for which the whole destination is left alone
}

// decide judges an attempt of an event that was tried that often before it.
func decide(s *fsm.Source, triesBefore uint32, a answer) decision {
	switch {
	case a.delivered():
		return decision{verdict: fsm.VerdictDelivered}
	case a.status == http.StatusGone:
		return decision{verdict: fsm.VerdictDisable}
	}
	wait, left := delayBefore(s, triesBefore+1, rand.Float64())
	if !left {
		return decision{verdict: fsm.VerdictFailed, pause: a.retryAfter}
	}
	return decision{verdict: fsm.VerdictRetry, wait: max(wait, a.retryAfter), pause: a.retryAfter}
}

// retryAfter returns what a destination asks for that cannot take an event now: seconds, or a date by its clock (RFC 9110
// 10.2.3). Of an answer with which it makes no sense it is 0.
func retryAfter(status int, h http.Header, now time.Time) time.Duration {
	switch status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
	default:
		return 0
	}
	text := strings.TrimSpace(h.Get("Retry-After"))
	if isDigits(text) {
		seconds, err := strconv.ParseInt(text, 10, 64)
		if err != nil || seconds > int64(maxRetryAfter/time.Second) {
			return maxRetryAfter // digits beyond what fits ask for more than is granted
		}
		return time.Duration(seconds) * time.Second
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	if theirs, err := http.ParseTime(h.Get("Date")); err == nil {
		now = theirs
	}
	return min(max(at.Sub(now), 0), maxRetryAfter)
}

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}
