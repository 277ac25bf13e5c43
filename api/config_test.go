package api

import (
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func TestConfig(t *testing.T) {
	t.Parallel()
	if _, err := New(Config{}); err != nil {
		t.Errorf("the defaults: %v", err)
	}
	if s, err := New(Config{MaxRecordTTL: time.Hour, AdminToken: testAdminToken}); err != nil {
		t.Error(err)
	} else if s.limits.defaultTTLMs != time.Hour.Milliseconds() || s.cfg.AdminToken != "" {
		t.Errorf("%+v", s.cfg)
	}
	for failures, want := range map[int]int{0: 10, 3: 3, NoLimit: 0} {
		if s, err := New(Config{FailedAuthPerSecond: failures}); err != nil || s.failedAuth.rate != want {
			t.Errorf("%d refused credentials per second: %v", failures, err)
		}
	}
	reg := prometheus.NewRegistry()
	for detail, cfg := range map[string]Config{
		"shorter than 16 bytes":  {AdminToken: "123456789012345"},
		"cannot be sent":         {AdminToken: "1234567890123456 "},
		"body limit":             {MaxRecordBodyBytes: 1<<20 + 1},
		"maximum TTL":            {MaxRecordTTL: 11 * 366 * 24 * time.Hour},
		"default TTL":            {DefaultTTL: 31 * 24 * time.Hour},
		"default lease":          {DefaultLease: time.Millisecond},
		"followers' mode":        {Followers: "proxy"},
		"request timeout":        {RequestTimeout: -1},
		"wait for a leader":      {LeaderWait: -1},
		"connection limit":       {MaxConnections: -1},
		"refused credentials":    {FailedAuthPerSecond: 1_000_001},
		"requests per address":   {RequestsPerAddress: -1},
		"between 0 and 1000000":  {RequestsPerAddress: 1_000_001},
		"TLS has no certificate": {TLS: &tls.Config{}},
		"needs a gatherer":       {Metrics: prometheus.WrapRegistererWith(nil, reg)},
		"not between 1 and 1048": {MaxRecordBodyBytes: -1},
	} {
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), detail) {
			t.Errorf("%s: %v", detail, err)
		}
	}
	if _, err := New(Config{Metrics: reg}); err != nil {
		t.Error(err)
	}
	if _, err := New(Config{Metrics: reg}); err == nil {
		t.Error("the same metrics are registered twice")
	}
}
