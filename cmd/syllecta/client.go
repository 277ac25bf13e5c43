package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	maxRedirects     = 3
	maxAnswerBytes   = 16 << 20
	callTimeout      = 15 * time.Second // one attempt
	retryBudget      = 5 * time.Second  // all waiting between attempts
	defaultRetryWait = 500 * time.Millisecond
	minRetryWait     = 20 * time.Millisecond
)

// client speaks to the API of a cluster through any of its nodes.
type client struct {
	base  *url.URL
	token string // bearer token: the admin token, or an API key
	http  *http.Client
}

// newClient takes the base URL of any node.
func newClient(server, token string) (*client, error) {
	u, err := url.Parse(server)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, usageErrorf("server: %q is not allowed; it must be a URL such as http://127.0.0.1:4000", server)
	}
	return &client{base: u, token: token, http: &http.Client{
		Timeout: callTimeout,
		// Redirects are followed in call, which knows to whom the token may be shown.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// trustOnly makes the client accept servers whose certificates the CAs of that file have signed, and no others.
func (c *client) trustOnly(caFile string) error {
	roots := x509.NewCertPool()
	if err := addCertificates(roots, caFile); err != nil {
		return usageErrorf("CA file: %w", err)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	c.http.Transport = transport
	return nil
}

// problem is an error answer of the API.
type problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Code   string `json:"code"`
}

func (p *problem) Error() string {
	message := p.Title
	if p.Detail != "" {
		message = p.Detail
	}
	if p.Code != "" {
		message += " (" + p.Code + ")"
	}
	return message
}

// codeOutcomeUnknown marks a change that may have been made.
const codeOutcomeUnknown = "outcome_unknown"

// codeNoKEK marks a refusal that lasts until somebody gives the leader its key-encryption keys.
const codeNoKEK = "no_kek"

// call sends a request and decodes the answer into out. It follows redirects to the leader, and repeats a request
// that was not carried out for as long as retryBudget lasts.
func (c *client) call(ctx context.Context, method, path string, in, out any) error {
	body, err := encode(in)
	if err != nil {
		return err
	}
	deadline := time.Now().Add(retryBudget)
	for {
		wait, err := c.attempt(ctx, method, path, body, out)
		if err == nil || wait == 0 || time.Now().Add(wait).After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait):
		}
	}
}

// encode returns the JSON of a request; bytes are JSON already and are sent as they are.
func encode(in any) ([]byte, error) {
	if in == nil {
		return nil, nil
	}
	if encoded, ok := in.([]byte); ok {
		return encoded, nil
	}
	encoded, err := json.Marshal(in)
	if err != nil {
		return nil, fmt.Errorf("encoding the request: %w", err)
	}
	return encoded, nil
}

// attempt is one request with its redirects. A wait above zero says that it may be repeated after that time.
func (c *client) attempt(ctx context.Context, method, path string, body []byte, out any) (time.Duration, error) {
	path, query, _ := strings.Cut(path, "?")
	target := c.base.JoinPath(path)
	target.RawQuery = query
	for range maxRedirects + 1 {
		resp, err := c.send(ctx, method, target, body)
		if err != nil {
			return 0, unreachable("cannot reach %s: %w%s", target.Host, withoutURL(err), tlsHint(err))
		}
		answer, err := readAnswer(resp)
		if err != nil {
			return 0, unreachable("reading the answer of %s: %w", target.Host, err)
		}
		if resp.StatusCode != http.StatusTemporaryRedirect {
			return retryWait(method, resp, answer), decodeAnswer(resp, answer, out)
		}
		if target, err = redirectTarget(target, resp.Header.Get("Location")); err != nil {
			return 0, err
		}
	}
	return 0, unreachable("%s: more than %d redirects", c.base.Host, maxRedirects)
}

// tlsHint is the way out of an error that is about who signed a certificate.
func tlsHint(err error) string {
	var unknown x509.UnknownAuthorityError
	if errors.As(err, &unknown) {
		return "; name the CA that signed it with --ca-file"
	}
	return ""
}

func unreachable(format string, args ...any) error {
	return &failure{code: exitUnreachable, err: fmt.Errorf(format, args...)}
}

func (c *client) send(ctx context.Context, method string, target *url.URL, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, target.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if len(body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	// Another host gets no token: the address it was redirected to carries what the leader needs.
	if c.token != "" && target.Scheme == c.base.Scheme && target.Host == c.base.Host {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	return c.http.Do(req)
}

// redirectTarget is where a redirect points, unless that would leave encryption.
func redirectTarget(from *url.URL, location string) (*url.URL, error) {
	to, err := from.Parse(location)
	if location == "" || err != nil || to.Host == "" {
		return nil, fmt.Errorf("%s answered with a redirect that leads nowhere", from.Host)
	}
	if to.Scheme != "https" && (to.Scheme != "http" || from.Scheme == "https") {
		return nil, fmt.Errorf("%s redirects to %s://%s, which is not followed", from.Host, to.Scheme, to.Host)
	}
	return to, nil
}

func readAnswer(resp *http.Response) ([]byte, error) {
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswerBytes+1))
	if err == nil && len(answer) > maxAnswerBytes {
		err = fmt.Errorf("it is larger than %d bytes", maxAnswerBytes)
	}
	return answer, err
}

// decodeAnswer fills out, or returns the problem with the exit code that fits its status.
func decodeAnswer(resp *http.Response, answer []byte, out any) error {
	if resp.StatusCode >= http.StatusMultipleChoices {
		return &failure{code: exitCodeOfStatus(resp.StatusCode), err: problemOf(resp, answer)}
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("%s answered with something else than the expected JSON: %w", resp.Request.URL.Host, err)
	}
	return nil
}

func problemOf(resp *http.Response, answer []byte) *problem {
	var p problem
	if err := json.Unmarshal(answer, &p); err != nil || p.Title == "" && p.Detail == "" {
		p = problem{Title: resp.Request.URL.Host + " answered " + resp.Status}
		if strings.Contains(string(answer), "HTTP request to an HTTPS server") { // so says net/http
			p.Title = resp.Request.URL.Host + " speaks TLS: name it with https://"
		}
	}
	p.Status = resp.StatusCode
	return &p
}

// retryWait says how long to wait before repeating the request, or 0 if that would not be right: the answer is final,
// or the change may have been made and making it again would be another one.
func retryWait(method string, resp *http.Response, answer []byte) time.Duration {
	if resp.StatusCode != http.StatusServiceUnavailable {
		return 0
	}
	if code := problemOf(resp, answer).Code; code == codeNoKEK || code == codeOutcomeUnknown && method == http.MethodPost {
		return 0
	}
	seconds, err := strconv.ParseFloat(resp.Header.Get("Retry-After"), 64)
	if err != nil {
		return defaultRetryWait
	}
	return max(minRetryWait, time.Duration(seconds*float64(time.Second)))
}

// withoutURL drops the address from net/http's errors: a redirected one carries a ticket.
func withoutURL(err error) error {
	var inner *url.Error
	if errors.As(err, &inner) {
		return inner.Err
	}
	return err
}
