package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// leaderSearch is how long to look for a leader before the load; leaderProbe, how long one node may take to tell.
	leaderSearch = 10 * time.Second
	leaderProbe  = time.Second
	// leaderRest is the time between two looks for a leader that cannot be found.
	leaderRest = 50 * time.Millisecond
)

// endpoint is a node's address. There is one value for each node, so that endpoints are compared by identity.
type endpoint struct {
	url     *url.URL
	address string // for dialling
}

func (e *endpoint) String() string { return e.url.Scheme + "://" + e.url.Host }

func newEndpoint(u *url.URL) *endpoint {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return &endpoint{url: u, address: net.JoinHostPort(u.Hostname(), port)}
}

// leadership knows the members and follows who of them leads. No request, and so no key, goes to another address.
type leadership struct {
	members []*endpoint
	probe   func(ctx context.Context, e *endpoint) (*endpoint, error) // asks a node who leads

	leader  atomic.Pointer[endpoint]
	changes atomic.Int64
	search  sync.Mutex
	rested  time.Time // guarded by search: before it, looking again is of no use
}

var (
	errUnknownLeader = errors.New("the leader is no known member")
	errRedirectLoop  = fmt.Errorf("more than %d redirects", maxRedirects)
)

// member returns the member at an address.
func (l *leadership) member(at *url.URL) (*endpoint, error) {
	for _, m := range l.members {
		if m.url.Scheme == at.Scheme && m.url.Host == at.Host {
			return m, nil
		}
	}
	return nil, fmt.Errorf("%w: %s://%s; name it with --server too, or give an admin token",
		errUnknownLeader, at.Scheme, at.Host)
}

// redirected takes note of where a node sent a request.
func (l *leadership) redirected(from *endpoint, location string) error {
	to, err := redirectTarget(from.url, location)
	if err != nil {
		return err
	}
	m, err := l.member(to)
	if err != nil {
		return err
	}
	l.moved(from, m)
	return nil
}

// moved makes a member the leader, unless somebody found another one since the caller was told.
func (l *leadership) moved(from, to *endpoint) {
	if from != to && l.leader.CompareAndSwap(from, to) {
		l.changes.Add(1)
	}
}

// lost looks for a leader because the last one does not answer, or does not lead. Many callers look once.
func (l *leadership) lost(ctx context.Context, last *endpoint) {
	l.search.Lock()
	defer l.search.Unlock()
	if l.leader.Load() != last || time.Now().Before(l.rested) {
		return
	}
	if found, err := l.find(ctx); err == nil {
		l.moved(last, found)
	}
	l.rested = time.Now().Add(leaderRest)
}

// find asks the members, all at the same time, until one is known to lead. The first to say so is believed.
func (l *leadership) find(ctx context.Context) (*endpoint, error) {
	ctx, cancel := context.WithTimeout(ctx, leaderProbe)
	defer cancel()
	type answer struct {
		leader *endpoint
		err    error
	}
	answers := make(chan answer, len(l.members))
	for _, m := range l.members {
		go func() {
			leader, err := l.probe(ctx, m)
			answers <- answer{leader, err}
		}()
	}
	var found *endpoint
	var errs []error
	for range l.members { // all are waited for
		switch a := <-answers; {
		case a.err != nil:
			errs = append(errs, a.err)
		case found == nil:
			found = a.leader
			cancel()
		}
	}
	if found == nil {
		return nil, errors.Join(errs...)
	}
	return found, nil
}

// start finds the leader before the load.
func (l *leadership) start(ctx context.Context) error {
	for deadline := time.Now().Add(leaderSearch); ; {
		found, err := l.find(ctx)
		if err == nil {
			l.leader.Store(found)
			return nil
		}
		if errors.Is(err, errUnknownLeader) {
			return &failure{code: exitUsage, err: err}
		}
		var untrusted *tls.CertificateVerificationError
		lasting := exitCode(err) == exitNotAuthorised || errors.As(err, &untrusted)
		if lasting || time.Now().After(deadline) || !pause(ctx, leaderRest) {
			return fmt.Errorf("looking for the leader: %w", err)
		}
	}
}

// prober returns a probe that reads a record, which only a leader does.
func prober(c *client, l *leadership, scope string) func(context.Context, *endpoint) (*endpoint, error) {
	query := url.Values{"scope": {scope}, "key": {"leader"}}.Encode()
	return func(ctx context.Context, e *endpoint) (*endpoint, error) {
		at := *c
		at.base = e.url // whom the key may be shown to
		target := e.url.JoinPath("/v1/record")
		target.RawQuery = query
		resp, err := at.send(ctx, http.MethodGet, target, nil)
		if err != nil {
			return nil, unreachable("cannot reach %s: %w%s", e.url.Host, withoutURL(err), tlsHint(err))
		}
		answer, err := readAnswer(resp)
		if err != nil {
			return nil, unreachable("reading the answer of %s: %w", e.url.Host, err)
		}
		if resp.StatusCode != http.StatusTemporaryRedirect {
			return e, decodeAnswer(resp, answer, nil)
		}
		to, err := redirectTarget(target, resp.Header.Get("Location"))
		if err != nil {
			return nil, err
		}
		return l.member(to)
	}
}
