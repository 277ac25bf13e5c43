package api

import (
	"net/http"
	"strconv"
	"time"
)

// setMonthlyFields writes the RateLimit fields of draft-ietf-httpapi-ratelimit-headers for a tenant whose month is full.
// The window is the UTC month that is counted.
func (p *problem) setMonthlyFields(h http.Header, now time.Time) {
	reset := time.UnixMilli(p.resetAtMs).UTC()
	window := reset.Sub(reset.AddDate(0, -1, 0))
	left := max(reset.Sub(now), time.Second)
	policy := `"monthly-` + meterOf(p.meter) + `"`
	h[rateLimitPolicyHeader] = []string{policy + ";q=" + strconv.FormatInt(p.limit, 10) + ";w=" + wholeSeconds(window)}
	h[rateLimitHeader] = []string{policy + ";r=0;t=" + wholeSeconds(left)}
}

func meterOf(meter string) string {
	if meter == "" {
		return "claims"
	}
	return meter
}
