package api

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/syllecta/syllecta/api/envelope"
	"github.com/syllecta/syllecta/fsm"
)

// FollowerMode says what a node that does not lead does with a request for the leader.
type FollowerMode string

const (
	// FollowersRedirect answers 307 with the leader's address and a ticket.
	FollowersRedirect FollowerMode = "redirect"
	// FollowersForward passes the request on, for callers behind a load balancer that follow no redirect.
	FollowersForward FollowerMode = "forward"
)

// Defaults of Config.
const (
	DefaultMaxRecordBodyBytes  = 256 << 10
	DefaultMaxRecordTTL        = 30 * 24 * time.Hour
	DefaultTTL                 = 24 * time.Hour
	DefaultLease               = time.Minute
	DefaultRequestTimeout      = 10 * time.Second
	DefaultLeaderWait          = 2 * time.Second
	DefaultMaxConnections      = 10_000
	DefaultFailedAuthPerSecond = 10
)

// MinAdminTokenBytes is the least length of an admin token.
const MinAdminTokenBytes = 16

// Config sets up a Server. The zero value of a member means its default.
type Config struct {
	Logger   *slog.Logger          // default slog.Default()
	Metrics  prometheus.Registerer // default a registry of the server's own
	Gatherer prometheus.Gatherer   // what /metrics shows; default what Metrics gathers, if it can

	// AdminToken opens the admin API; at least MinAdminTokenBytes, or "" to refuse everybody there.
	AdminToken string

	MaxRecordBodyBytes int           // largest stored body, at most fsm.MaxBodyBytes
	MaxRecordTTL       time.Duration // largest ttlSeconds a caller may ask for, at most fsm.MaxTTLMs
	DefaultTTL         time.Duration // life of a record whose caller names none, at most MaxRecordTTL
	DefaultLease       time.Duration // lease of a lock whose caller names none, within the fsm's bounds

	Followers      FollowerMode  // default FollowersRedirect
	RequestTimeout time.Duration // from the decoded request to its answer; a claim's waitMs comes on top
	LeaderWait     time.Duration // how long a request waits for a leader to be known
	MaxConnections int           // accepted at a time; more wait in the listener's backlog

	// FailedAuthPerSecond is how many requests with refused credentials an address may send, in a burst five times as
	// many, until it gets 429 for all that this node does not know to be good; default DefaultFailedAuthPerSecond,
	// negative is NoLimit.
	FailedAuthPerSecond int
	// RequestsPerAddress is how many requests per second an address may send to routes that ask for credentials, in a
	// burst twice as many; 0 is no limit.
	RequestsPerAddress int

	// TLS makes the server speak TLS, 1.2 at least, whatever its MinVersion; nil is plain HTTP. It has a certificate, or
	// a GetCertificate that is asked on each handshake.
	TLS *tls.Config
	// ForwardRoots is asked, for each connection to a leader, who may sign the leader's certificate; nil are the CAs of
	// the system. It may be called by several goroutines at a time.
	ForwardRoots func() *x509.CertPool

	// Vault encrypts and decrypts the secrets of sources, and payloads; nil has no key, so that none can be kept.
	Vault *envelope.Vault
	// CheckCallback says why nothing may be delivered to a callback URL; nil allows any that is well-formed. It may be
	// called by several goroutines at a time.
	CheckCallback func(url string) error

	// Destination tells what this node, while it leads, knows of where a source's events go; nil knows nothing. It may be
	// called by several goroutines at a time.
	Destination func(*fsm.Source) Destination

	Version string // shown by /v1/admin/status
}

func (c Config) withDefaults() Config {
	setDefault(&c.Logger, slog.Default())
	setDefault(&c.MaxRecordBodyBytes, DefaultMaxRecordBodyBytes)
	setDefault(&c.MaxRecordTTL, DefaultMaxRecordTTL)
	setDefault(&c.DefaultTTL, min(DefaultTTL, c.MaxRecordTTL))
	setDefault(&c.DefaultLease, DefaultLease)
	setDefault(&c.Followers, FollowersRedirect)
	setDefault(&c.RequestTimeout, DefaultRequestTimeout)
	setDefault(&c.LeaderWait, DefaultLeaderWait)
	setDefault(&c.MaxConnections, DefaultMaxConnections)
	setDefault(&c.FailedAuthPerSecond, DefaultFailedAuthPerSecond)
	if c.Vault == nil {
		c.Vault = envelope.NewVault(nil)
	}
	if c.Destination == nil {
		c.Destination = func(*fsm.Source) Destination { return Destination{Breaker: "closed"} }
	}
	if c.Metrics == nil {
		c.Metrics = prometheus.NewRegistry()
	}
	if c.Gatherer == nil {
		c.Gatherer, _ = c.Metrics.(prometheus.Gatherer)
	}
	return c
}

func setDefault[T comparable](v *T, fallback T) {
	var zero T
	if *v == zero {
		*v = fallback
	}
}

func (c Config) validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.Gatherer != nil, "a registerer that cannot gather needs a gatherer beside it")
	check(c.AdminToken == "" || len(c.AdminToken) >= MinAdminTokenBytes,
		"the admin token is shorter than %d bytes", MinAdminTokenBytes)
	check(!strings.ContainsFunc(c.AdminToken, func(r rune) bool { return r <= ' ' || r == ',' || r > '~' }),
		"the admin token has characters that cannot be sent after Bearer")
	check(c.MaxRecordBodyBytes > 0 && c.MaxRecordBodyBytes <= fsm.MaxBodyBytes,
		"the body limit %d is not between 1 and %d bytes", c.MaxRecordBodyBytes, fsm.MaxBodyBytes)
	check(c.MaxRecordTTL >= time.Second && c.MaxRecordTTL.Milliseconds() <= fsm.MaxTTLMs,
		"the maximum TTL %s is not between 1s and %s", c.MaxRecordTTL, fsm.MaxTTLMs*time.Millisecond)
	check(c.DefaultTTL >= time.Second && c.DefaultTTL <= c.MaxRecordTTL,
		"the default TTL %s is not between 1s and the maximum %s", c.DefaultTTL, c.MaxRecordTTL)
	check(c.DefaultLease.Milliseconds() >= fsm.MinLeaseMs && c.DefaultLease.Milliseconds() <= fsm.MaxLeaseMs,
		"the default lease %s is not between %s and %s", c.DefaultLease,
		fsm.MinLeaseMs*time.Millisecond, fsm.MaxLeaseMs*time.Millisecond)
	check(c.Followers == FollowersRedirect || c.Followers == FollowersForward,
		"the followers' mode %q is neither %q nor %q", c.Followers, FollowersRedirect, FollowersForward)
	check(c.RequestTimeout > 0, "the request timeout %s is not positive", c.RequestTimeout)
	check(c.LeaderWait > 0, "the wait for a leader %s is not positive", c.LeaderWait)
	check(c.MaxConnections > 0, "the connection limit %d is not positive", c.MaxConnections)
	check(c.FailedAuthPerSecond <= maxRate, "more than %d refused credentials per second", maxRate)
	check(c.RequestsPerAddress >= 0 && c.RequestsPerAddress <= maxRate,
		"the requests per address %d are not between 0 and %d per second", c.RequestsPerAddress, maxRate)
	check(c.TLS == nil || len(c.TLS.Certificates) > 0 || c.TLS.GetCertificate != nil, "TLS has no certificate")
	return errors.Join(errs...)
}

// limits are the bounds a decoder needs.
type limits struct {
	maxBodyBytes   int
	maxTTLSeconds  int64
	defaultTTLMs   int64
	defaultLeaseMs int64
}

func (c Config) limits() limits {
	return limits{
		maxBodyBytes:   c.MaxRecordBodyBytes,
		maxTTLSeconds:  int64(c.MaxRecordTTL / time.Second),
		defaultTTLMs:   c.DefaultTTL.Milliseconds(),
		defaultLeaseMs: c.DefaultLease.Milliseconds(),
	}
}
