package api

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// serving runs a server on a port of its own.
type serving struct {
	addr string
	stop context.CancelFunc
	done chan error
}

func serve(t *testing.T, s *Server) *serving {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	v := &serving{addr: l.Addr().String(), stop: cancel, done: make(chan error, 1)}
	go func() { v.done <- s.Serve(ctx, l) }()
	t.Cleanup(cancel)
	return v
}

// raw sends text on a connection of its own and returns all that comes back.
func (v *serving) raw(t *testing.T, text string) string {
	t.Helper()
	conn, err := net.Dial("tcp", v.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	io.WriteString(conn, text)
	b, _ := io.ReadAll(conn)
	return string(b)
}

func TestServeDrains(t *testing.T) {
	t.Parallel()
	n, key := newFakeNode(t, "n1")
	n.block = true
	s := newTestServer(t, n, nil)
	v := serve(t, s)
	answer := make(chan string, 1)
	body := `{"scope":"s","key":"k","waitMs":30000}`
	go func() {
		answer <- v.raw(t, fmt.Sprintf("POST /v1/record HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n"+
			"Connection: close\r\nContent-Length: %d\r\n\r\n%s", key, len(body), body))
	}()
	waitFor(t, "the claim to wait", func() bool { return inFlight(s) == 1 })
	v.stop()
	if err := <-v.done; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if got := <-answer; !strings.HasPrefix(got, "HTTP/1.1 503") || !strings.Contains(got, outcomeUnknown.code) {
		t.Errorf("the claim that waited was told %q", got)
	}
	if _, err := net.Dial("tcp", v.addr); err == nil {
		t.Error("still listening")
	}
}

func TestServeFails(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := newTestServer(t, nil, nil).Serve(context.Background(), l); err == nil {
		t.Error("served on a closed listener")
	}
}

func TestSmuggledRequestIsNotRead(t *testing.T) {
	t.Parallel()
	n, key := newFakeNode(t, "n1")
	s := newTestServer(t, n, nil)
	v := serve(t, s)
	got := v.raw(t, "PUT /v1/record HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+key+"\r\n"+
		"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"+
		"15\r\n{\"scope\":\"s\",\"key\":1}\r\n0\r\n\r\n"+"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
	if strings.Count(got, "HTTP/1.1 ") != 1 || !strings.Contains(got, "Connection: close") {
		t.Errorf("got %q", got)
	}
}

func TestHeaderLimit(t *testing.T) {
	t.Parallel()
	v := serve(t, newTestServer(t, nil, nil))
	get := func(bytes int) string {
		return v.raw(t, "GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX: "+strings.Repeat("x", bytes)+"\r\n\r\n")
	}
	if got := get(maxHeaderBytes - 200); !strings.HasPrefix(got, "HTTP/1.1 200") {
		t.Errorf("below the limit: %.60q", got)
	}
	if got := get(maxHeaderBytes); !strings.HasPrefix(got, "HTTP/1.1 431") || !strings.Contains(got, `"code":"headers_too_large"`) {
		t.Errorf("above the limit: %.60q", got)
	}
	if got := get(hardHeaderBytes + 8<<10); !strings.HasPrefix(got, "HTTP/1.1 431") {
		t.Errorf("far above the limit: %.60q", got)
	}
}

func TestConnectionLimit(t *testing.T) {
	t.Parallel()
	v := serve(t, newTestServer(t, nil, func(c *Config) { c.MaxConnections = 1 }))
	first, err := net.Dial("tcp", v.addr)
	if err != nil {
		t.Fatal(err)
	}
	ping := "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
	io.WriteString(first, ping)
	if resp, err := http.ReadResponse(bufio.NewReader(first), nil); err != nil || resp.StatusCode != 200 {
		t.Fatalf("%v", err)
	}
	second, err := net.Dial("tcp", v.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	io.WriteString(second, ping)
	answered := make(chan error, 1)
	go func() {
		_, err := http.ReadResponse(bufio.NewReader(second), nil)
		answered <- err
	}()
	select {
	case <-answered:
		t.Error("a second connection is served beside the first")
	case <-time.After(50 * time.Millisecond):
	}
	first.Close()
	if err := <-answered; err != nil {
		t.Errorf("the second connection after the first: %v", err)
	}
}

func TestServerTimes(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, nil, nil)
	hs := s.httpServer()
	longest := hs.ReadTimeout + s.cfg.RequestTimeout + maxWaitMs*time.Millisecond
	if hs.WriteTimeout <= longest || hs.ReadHeaderTimeout == 0 || hs.IdleTimeout == 0 || hs.MaxHeaderBytes != hardHeaderBytes {
		t.Errorf("%+v", hs)
	}
}

// deadlineWriter notes the read deadlines that are set.
type deadlineWriter struct {
	discard
	deadlines []time.Time
}

func (w *deadlineWriter) SetReadDeadline(d time.Time) error {
	w.deadlines = append(w.deadlines, d)
	return nil
}

// TestLongWaitsOutliveTheReadDeadline holds that net/http cannot end a request that waits by the deadline for reading
// it, while short ones keep that deadline.
func TestLongWaitsOutliveTheReadDeadline(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, nil, nil)
	for wait, want := range map[time.Duration]int{0: 0, time.Second: 0, 20 * time.Second: 1} {
		w := &deadlineWriter{}
		r := httptest.NewRequest("POST", "/v1/record", nil)
		x := &exchange{ResponseWriter: w, s: s, r: r, start: time.Now()}
		ctx, cancel := x.deadline(wait)
		if len(w.deadlines) != want || want == 1 && !w.deadlines[0].IsZero() {
			t.Errorf("wait %s: read deadlines %v", wait, w.deadlines)
		}
		cancel()
		if ctx.Err() == nil {
			t.Error("still working")
		}
	}
}

// inFlight is how many requests are being answered.
func inFlight(s *Server) int {
	var n int
	families, err := s.cfg.Gatherer.Gather()
	if err != nil {
		return -1
	}
	for _, f := range families {
		if f.GetName() == "syllecta_http_in_flight" {
			n = int(f.GetMetric()[0].GetGauge().GetValue())
		}
	}
	return n
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
