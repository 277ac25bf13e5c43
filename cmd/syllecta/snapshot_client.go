package main

import (
	"context"
	"io"
	"net/http"
	"time"
)

const snapshotPath = "/v1/admin/snapshot"

// upload is a file to send, which can be sent again.
type upload struct {
	file  io.ReadSeeker
	size  int64
	meter *meter
}

// stream sends a request whose body or answer is of any length, and returns a good answer, whose body the caller
// closes. It follows redirects to the leader, and tries again what was not done, as call does.
func (c *client) stream(ctx context.Context, method, query string, up *upload) (*http.Response, error) {
	patient := c.withoutTimeout()
	defer patient.CloseIdleConnections()
	deadline := time.Now().Add(retryBudget)
	for {
		resp, wait, err := c.streamOnce(ctx, patient, method, query, up)
		if err == nil || wait == 0 || time.Now().Add(wait).After(deadline) {
			return resp, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(wait):
		}
	}
}

// withoutTimeout is a client for what may take long. A node that is to be sent much is asked first whether it wants it:
// a follower would only say who leads.
func (c *client) withoutTimeout() *http.Client {
	patient := *c.http
	patient.Timeout = 0
	transport, ok := c.http.Transport.(*http.Transport)
	if !ok {
		transport = http.DefaultTransport.(*http.Transport)
	}
	transport = transport.Clone()
	transport.ExpectContinueTimeout = callTimeout
	patient.Transport = transport
	return &patient
}

// streamOnce is one request with its redirects. A wait above zero says that it may be repeated after that time.
func (c *client) streamOnce(ctx context.Context, patient *http.Client, method, query string, up *upload) (
	*http.Response, time.Duration, error) {
	target := c.base.JoinPath(snapshotPath)
	target.RawQuery = query
	for range maxRedirects + 1 {
		req, err := http.NewRequestWithContext(ctx, method, target.String(), nil)
		if err != nil {
			return nil, 0, err
		}
		if err := up.attach(req); err != nil {
			return nil, 0, err
		}
		if c.token != "" && target.Scheme == c.base.Scheme && target.Host == c.base.Host {
			req.Header.Set("Authorization", "Bearer "+c.token)
		}
		resp, err := patient.Do(req)
		if err != nil {
			return nil, 0, unreachable("the connection to %s failed: %w", target.Host, withoutURL(err))
		}
		if resp.StatusCode == http.StatusOK {
			return resp, 0, nil
		}
		answer, err := readAnswer(resp)
		if err != nil {
			return nil, 0, unreachable("reading the answer of %s: %w", target.Host, err)
		}
		if resp.StatusCode != http.StatusTemporaryRedirect {
			return nil, retryWait(method, resp, answer), decodeAnswer(resp, answer, nil)
		}
		if target, err = redirectTarget(target, resp.Header.Get("Location")); err != nil {
			return nil, 0, err
		}
	}
	return nil, 0, unreachable("%s: more than %d redirects", c.base.Host, maxRedirects)
}

// attach makes the file the body of a request, from its beginning.
func (up *upload) attach(req *http.Request) error {
	if up == nil {
		return nil
	}
	if _, err := up.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	up.meter.moved.Store(0)
	req.Body = io.NopCloser(up.meter.countReads(up.file))
	req.ContentLength = up.size
	req.Header.Set("Content-Type", "application/octet-stream")
	req.Header.Set("Expect", "100-continue")
	return nil
}
