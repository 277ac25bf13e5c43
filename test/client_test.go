package test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// outcome says what a caller knows after a request.
type outcome int

const (
	ok      outcome = iota // 2xx
	refused                // any answer, or none, that proves that nothing was changed
	unknown                // it may have been done
)

// answer is what became of a request.
type answer struct {
	outcome outcome
	status  int    // 0 if there was no answer
	code    string // of a problem document
	header  http.Header
	body    []byte
	err     error // why there was no answer
}

func (a answer) String() string {
	if a.err != nil {
		return a.err.Error()
	}
	return fmt.Sprintf("%d %s", a.status, a.body)
}

// told is whether the answer is one about the request, and not that nobody can say now.
func (a answer) told() bool {
	return a.status != 0 && a.status != http.StatusServiceUnavailable
}

// untilTold repeats a call, one that may be repeated, while a leader is being looked for. It returns the last answer.
func untilTold(call func() answer) (a answer) {
	for deadline := time.Now().Add(patience); ; time.Sleep(pollInterval) {
		if a = call(); a.told() || time.Now().After(deadline) {
			return a
		}
	}
}

// classify says what an answer tells about the request.
func classify(status int, code string) outcome {
	switch {
	case status >= 200 && status < 300:
		return ok
	case status == http.StatusServiceUnavailable && (code == "no_leader" || code == "busy"):
		return refused
	case status >= http.StatusInternalServerError && status != http.StatusInsufficientStorage:
		return unknown
	default:
		return refused
	}
}

// classifyError says what a missing answer tells: a connection that was never made carried no request.
func classifyError(err error) outcome {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return refused
	}
	return unknown
}

const callTimeout = 20 * time.Second

// maxRedirects is more than a healthy cluster ever needs: one to the leader, one more if it changed meanwhile.
const maxRedirects = 4

// client calls the API of one node as a plain HTTP client does: a redirect, if it follows any, gets no credentials.
type client struct {
	base    string
	key     string // bearer token; "" sends none
	follow  bool
	timeout time.Duration // of one call, redirects included
	http    *http.Client
}

// callers is shared by all clients.
var callers = &http.Client{
	Transport: &http.Transport{
		DialContext:         dial,
		DialTLSContext:      dialTLS,
		MaxIdleConnsPerHost: 128,
		IdleConnTimeout:     10 * time.Second,
		DisableCompression:  true,
	},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// newClient returns a client that follows no redirects.
func newClient(base, key string) *client {
	return &client{base: base, key: key, timeout: callTimeout, http: callers}
}

// following returns a client that follows redirects.
func (c *client) following() *client {
	f := *c
	f.follow = true
	return &f
}

// call sends a request with a body, nil for none, and header fields as pairs of name and value.
func (c *client) call(method, path string, body []byte, fields ...string) answer {
	ctx, cancel := context.WithTimeout(context.Background(), c.timeout)
	defer cancel()
	header := http.Header{}
	if c.key != "" {
		header.Set("Authorization", "Bearer "+c.key)
	}
	if body != nil {
		header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(fields); i += 2 {
		header.Set(fields[i], fields[i+1])
	}
	target := c.base + path
	for range maxRedirects {
		a := c.send(ctx, method, target, header, body)
		location := a.header.Get("Location")
		if a.status != http.StatusTemporaryRedirect || !c.follow || location == "" {
			return a
		}
		header.Del("Authorization")
		target = location
	}
	return answer{outcome: refused, err: fmt.Errorf("%s %s: too many redirects", method, path)}
}

func (c *client) send(ctx context.Context, method, target string, header http.Header, body []byte) answer {
	req, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return answer{outcome: refused, err: err}
	}
	req.Header = header
	resp, err := c.http.Do(req)
	if err != nil {
		return answer{outcome: classifyError(err), err: err}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{outcome: unknown, err: err}
	}
	code := codeOf(text)
	return answer{outcome: classify(resp.StatusCode, code), status: resp.StatusCode, code: code,
		header: resp.Header, body: text}
}

// codeOf returns the code of a problem document, or "".
func codeOf(body []byte) string {
	var problem struct {
		Code string `json:"code"`
	}
	if json.Unmarshal(body, &problem) != nil {
		return ""
	}
	return problem.Code
}

// claimRequest is the body of POST /v1/record.
type claimRequest struct {
	Scope       string `json:"scope"`
	Key         string `json:"key"`
	TTLSeconds  int    `json:"ttlSeconds,omitempty"`
	Owner       string `json:"owner,omitempty"`
	LockMs      *int64 `json:"lockMs,omitempty"`
	WaitMs      int    `json:"waitMs,omitempty"`
	Fingerprint string `json:"fingerprint,omitempty"`
}

// record is a stored result.
type record struct {
	Status  int             `json:"status"`
	Headers json.RawMessage `json:"headers"`
	Body    json.RawMessage `json:"body"` // the very bytes
}

// claimed is the answer to a claim.
type claimed struct {
	answer
	Cached           bool   `json:"cached"`
	Locked           bool   `json:"locked"`
	RetryAfterMs     int64  `json:"retryAfterMs"`
	Token            string `json:"token"`
	Fence            uint64 `json:"fence"`
	LeaseMs          int64  `json:"leaseMs"`
	LeaseRemainingMs int64  `json:"leaseRemainingMs"`
	Record           record `json:"record"`
}

func (c *client) claim(r claimRequest) claimed {
	out := claimed{answer: c.call(http.MethodPost, "/v1/record", encode(r))}
	out.answer = decode(out.answer, &out)
	return out
}

// putRequest is the body of PUT /v1/record.
type putRequest struct {
	Scope      string          `json:"scope"`
	Key        string          `json:"key"`
	Token      string          `json:"token,omitempty"`
	Status     int             `json:"status,omitempty"`
	Body       json.RawMessage `json:"body,omitempty"`
	TTLSeconds int             `json:"ttlSeconds,omitempty"`
}

func (c *client) put(r putRequest) answer { return c.call(http.MethodPut, "/v1/record", encode(r)) }

// view is the answer to a GET.
type view struct {
	answer
	Cached bool   `json:"cached"`
	State  string `json:"state"`
	Record record `json:"record"`
}

func recordPath(scope, key string) string {
	return "/v1/record?" + url.Values{"scope": {scope}, "key": {key}}.Encode()
}

// get reads linearizably; getStale reads what this node has.
func (c *client) get(scope, key string) view { return c.read(recordPath(scope, key)) }
func (c *client) getStale(scope, key string) view {
	return c.read(recordPath(scope, key) + "&consistency=stale")
}

func (c *client) read(path string) view {
	out := view{answer: c.call(http.MethodGet, path, nil)}
	out.answer = decode(out.answer, &out)
	return out
}

// deleted is the answer to a DELETE.
type deleted struct {
	answer
	Existed bool `json:"existed"`
}

func (c *client) delete(scope, key string) deleted {
	out := deleted{answer: c.call(http.MethodDelete, recordPath(scope, key), nil)}
	out.answer = decode(out.answer, &out)
	return out
}

// lockRequest is the body of POST /v1/record/renew and /v1/record/release.
type lockRequest struct {
	Scope  string `json:"scope"`
	Key    string `json:"key"`
	Token  string `json:"token"`
	LockMs *int64 `json:"lockMs,omitempty"`
}

func (c *client) renew(r lockRequest) answer {
	return c.call(http.MethodPost, "/v1/record/renew", encode(r))
}

func (c *client) release(r lockRequest) answer {
	return c.call(http.MethodPost, "/v1/record/release", encode(r))
}

func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("a request that cannot be encoded: " + err.Error())
	}
	return b
}

// decode fills out from a good answer. One that cannot be read tells nothing.
func decode(a answer, out any) answer {
	if a.outcome != ok {
		return a
	}
	if err := json.Unmarshal(a.body, out); err != nil {
		return answer{outcome: unknown, status: a.status, body: a.body, err: fmt.Errorf("%s: %w", a.body, err)}
	}
	return a
}
