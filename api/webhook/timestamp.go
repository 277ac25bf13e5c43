package webhook

import (
	"strconv"
	"time"
)

// timestampFormat is how a provider writes a point in time.
type timestampFormat uint8

const (
	unixSeconds timestampFormat = iota
	unixMillis
	rfc3339
)

// Timestamps of more digits lie beyond the year 30000, where the arithmetic of package time is not exact.
const (
	maxSecondsDigits = 12
	maxMillisDigits  = 15
)

// parse reads a timestamp strictly: digits only, or RFC 3339 with or without a fraction.
func (f timestampFormat) parse(text string) (time.Time, bool) {
	switch f {
	case unixSeconds:
		n, ok := parseDigits(text, maxSecondsDigits)
		return time.Unix(n, 0).UTC(), ok
	case unixMillis:
		n, ok := parseDigits(text, maxMillisDigits)
		return time.UnixMilli(n).UTC(), ok
	default:
		at, err := time.Parse(time.RFC3339, text)
		return at.UTC(), err == nil
	}
}

// timeOrZero is parse for what is only told on: a time that cannot be read is not known.
func (f timestampFormat) timeOrZero(text string) time.Time {
	at, ok := f.parse(text)
	if !ok {
		return time.Time{}
	}
	return at
}

func parseDigits(text string, limit int) (int64, bool) {
	if len(text) == 0 || len(text) > limit {
		return 0, false
	}
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil
}

// fresh reports whether a signed timestamp is within the tolerance, its edges included.
func fresh(text string, f timestampFormat, receivedAt time.Time, tolerance time.Duration) bool {
	at, ok := f.parse(text)
	if !ok {
		return false
	}
	age := receivedAt.Sub(at)
	return age <= tolerance && age >= -tolerance
}
