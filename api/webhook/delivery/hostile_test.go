package delivery

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/syllecta/syllecta/fsm"
)

// hostile runs a server that does with each connection whatever it likes, and returns its URL. A connection is closed
// when its function returns, or the test ends.
func hostile(t *testing.T, talk func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var conns []net.Conn
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // closed
			}
			mu.Lock()
			conns = append(conns, conn)
			mu.Unlock()
			running.Go(func() {
				defer conn.Close()
				talk(conn)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for _, conn := range conns {
			_ = conn.Close() // some are closed already
		}
		mu.Unlock()
		running.Wait()
	})
	return "http://" + l.Addr().String()
}

// readRequest takes a request off a connection.
func readRequest(conn net.Conn) {
	if r, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
		_, _ = io.Copy(io.Discard, r.Body) // what it says matters to nobody
	}
}

// repeat writes a text until the other side has had enough, and returns how much that was.
func repeat(conn net.Conn, text string) (written int) {
	for {
		n, err := io.WriteString(conn, text)
		written += n
		if err != nil {
			return written
		}
	}
}

// TestHostileReceivers has receivers do what they should not. None of it may take a worker's time, memory or other
// destinations' deliveries with it.
func TestHostileReceivers(t *testing.T) {
	t.Parallel()
	var written atomic.Int64 // by those that write without end
	head := func(head string) func(net.Conn) {
		return func(conn net.Conn) {
			readRequest(conn)
			_, _ = io.WriteString(conn, head) // the worker may have gone
		}
	}
	endless := func(head, text string) func(net.Conn) {
		return func(conn net.Conn) {
			readRequest(conn)
			_, _ = io.WriteString(conn, head)
			written.Add(int64(repeat(conn, text)))
		}
	}
	hangs := func(head string) func(net.Conn) {
		return func(conn net.Conn) {
			readRequest(conn)
			_, _ = io.WriteString(conn, head)
			_, _ = conn.Read(make([]byte, 1)) // until the worker has had enough
		}
	}
	const ok = "HTTP/1.1 200 OK\r\n"
	for name, c := range map[string]struct {
		talk    func(net.Conn)
		status  uint16
		failure string
	}{
		"says nothing":          {hangs(""), 0, failedTimeout},
		"says half a header":    {hangs(ok + "X-A"), 0, failedTimeout},
		"hangs up":              {head(""), 0, failedReset},
		"hangs up unread":       {func(net.Conn) {}, 0, failedReset},
		"hangs up in header":    {head(ok + "X-A: b\r\n"), 0, failedReset},
		"is no HTTP":            {head("220 mail ESMTP\r\n"), 0, failedOther},
		"speaks TLS":            {head("\x16\x03\x03\x00\x02\x01\x00"), 0, failedOther},
		"has a strange status":  {head("HTTP/1.1 20 OK\r\n\r\n"), 0, failedOther},
		"two lengths":           {head(ok + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"), 0, failedOther},
		"huge header":           {endless(ok+"X-A: ", strings.Repeat("a", 1<<10)), 0, failedOther},
		"many headers":          {endless(ok, "X-A: b\r\n"), 0, failedOther},
		"1xx flood":             {endless("", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"), 0, failedOther},
		"100 flood":             {endless("", "HTTP/1.1 100 Continue\r\n\r\n"), 0, failedOther},
		"endless body":          {endless(ok+"\r\n", strings.Repeat("a", 1<<10)), 200, ""},
		"endless chunks":        {endless(ok+"Transfer-Encoding: chunked\r\n\r\n", "1\r\na\r\n"), 200, ""},
		"endless chunk line":    {endless(ok+"Transfer-Encoding: chunked\r\n\r\n", "1"), 200, ""},
		"endless error":         {endless("HTTP/1.1 500 Oops\r\n\r\n", strings.Repeat("a", 1<<10)), 500, ""},
		"body that never comes": {hangs(ok + "Content-Length: 5\r\n\r\n"), 200, ""},
		"redirect":              {head("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/inner\r\nContent-Length: 0\r\n\r\n"), 302, ""},
		"permanent redirect":    {head("HTTP/1.1 308 Moved\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"), 308, ""},
		"switches protocols":    {hangs("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"), 101, ""},
		"sets a cookie":         {head(ok + "Set-Cookie: a=b\r\nContent-Length: 0\r\n\r\n"), 200, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOutbox(t)
			s := o.source("default", hostile(t, c.talk), nil)
			start(t, o, func(w *Worker) { w.timeout = 3 * time.Second })
			e := o.waitAttempts(o.accept(s, "evt_1"), 1)
			if e.Kept[0].StatusCode != c.status || e.Kept[0].Error != c.failure {
				t.Errorf("status %d and %q, want %d and %q", e.Kept[0].StatusCode, e.Kept[0].Error, c.status, c.failure)
			}
			if delivered := e.Status == fsm.EventProcessed; delivered != (c.status == 200) {
				t.Errorf("the event is %v", e.Status)
			}
		})
	}
	// What is written beyond what is read stays in the buffers of the two sockets.
	t.Cleanup(func() {
		if n := written.Load(); n > 256<<20 {
			t.Errorf("%d bytes were taken from those that write without end", n)
		}
	})
}

// TestGzipBombIsNotOpened counts what an answer that grows a thousandfold takes.
func TestGzipBombIsNotOpened(t *testing.T) {
	t.Parallel()
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	for range 64 {
		_, _ = z.Write(make([]byte, 1<<20)) // a buffer takes everything
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	o := newOutbox(t)
	var asked atomic.Value
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Store(r.Header.Get("Accept-Encoding"))
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(bomb.Bytes()) // the worker may have gone
	}).URL
	s := o.source("default", url, nil)
	start(t, o, nil)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	o.waitStatus(o.accept(s, "evt_1"), fsm.EventProcessed)
	runtime.ReadMemStats(&after)
	if asked.Load() != "" {
		t.Errorf("Accept-Encoding is %q", asked.Load())
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 48<<20 {
		t.Logf("%d bytes were allocated meanwhile, by other tests too", grown)
	}
}

// tlsReceiver runs a receiver that speaks TLS, and returns a worker that trusts its authority.
func tlsReceiver(t *testing.T, o *outbox, trusted bool, change func(*httptest.Server)) (*receiver, string) {
	t.Helper()
	rc := new(receiver)
	server := httptest.NewUnstartedServer(rc)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // failed handshakes are meant
	change(server)
	server.StartTLS()
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	if trusted {
		roots.AddCert(server.Certificate())
	}
	start(t, o, func(w *Worker) { w.transports = newTransports(w.cfg.Guard, roots) })
	return rc, server.URL
}

func TestTLS(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change  func(*httptest.Server)
		host    string // in place of 127.0.0.1
		trusted bool
		failure string
	}{
		"HTTP/1.1":       {change: func(*httptest.Server) {}, trusted: true},
		"HTTP/2":         {change: func(s *httptest.Server) { s.EnableHTTP2 = true }, trusted: true},
		"strange issuer": {change: func(*httptest.Server) {}, failure: failedCertificate},
		"another's name": {change: func(*httptest.Server) {}, trusted: true, host: "localhost", failure: failedCertificate},
		"TLS 1.1": {change: func(s *httptest.Server) {
			s.TLS = &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
		}, trusted: true, failure: failedTLS},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOutbox(t)
			rc, url := tlsReceiver(t, o, c.trusted, c.change)
			if c.host != "" {
				url = strings.Replace(url, "127.0.0.1", c.host, 1)
			}
			e := o.waitAttempts(o.accept(o.source("default", url, nil), "evt_1"), 1)
			if e.Kept[0].Error != c.failure || len(rc.got()) != map[bool]int{true: 1}[c.failure == ""] {
				t.Errorf("%+v after %d requests, want %q", e.Kept[0], len(rc.got()), c.failure)
			}
		})
	}
}

func TestPlainServerBehindHTTPS(t *testing.T) {
	t.Parallel()
	o := newOutbox(t)
	_, url := newReceiver(t)
	start(t, o, nil)
	s := o.source("default", strings.Replace(url, "http:", "https:", 1), nil)
	if e := o.waitAttempts(o.accept(s, "evt_1"), 1); e.Kept[0].Error != failedTLS {
		t.Errorf("%+v", e.Kept[0])
	}
}

func TestNobodyListens(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	o := newOutbox(t)
	start(t, o, nil)
	s := o.source("default", "http://"+l.Addr().String(), nil)
	if e := o.waitAttempts(o.accept(s, "evt_1"), 1); e.Kept[0].Error != failedRefused {
		t.Errorf("%+v", e.Kept[0])
	}
}

// TestProxyOfTheEnvironmentIsNotUsed is not parallel: it changes the environment.
func TestProxyOfTheEnvironmentIsNotUsed(t *testing.T) {
	var proxied atomic.Int32
	proxy := serve(t, func(http.ResponseWriter, *http.Request) { proxied.Add(1) }).URL
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"} {
		t.Setenv(name, proxy)
	}
	w := workerOf(t, newOutbox(t), nil)
	for scheme, transport := range map[string]*http.Transport{"http": w.transports.of("http"), "https": w.transports.of("https")} {
		if transport.Proxy != nil {
			t.Errorf("%s has a proxy", scheme)
		}
	}
	o := newOutbox(t)
	rc, url := newReceiver(t)
	start(t, o, nil)
	o.waitStatus(o.accept(o.source("default", url, nil), "evt_1"), fsm.EventProcessed)
	if proxied.Load() != 0 || len(rc.got()) != 1 {
		t.Errorf("%d requests came by the proxy", proxied.Load())
	}
}

// goroutines returns the stacks of goroutines that run code of this package or of its requests, other than tests' own.
func goroutines() (stacks []string) {
	buf := make([]byte, 4<<20)
	buf = buf[:runtime.Stack(buf, true)]
	for stack := range strings.SplitSeq(string(buf), "\n\n") {
		if strings.Contains(stack, "delivery.(*reign)") || strings.Contains(stack, "net/http.(*persistConn)") {
			stacks = append(stacks, stack)
		}
	}
	return stacks
}

// TestRunLeavesNothing is not parallel: it counts what runs in the whole process.
func TestRunLeavesNothing(t *testing.T) {
	waitFor(t, "the others are gone", func() bool { return len(goroutines()) == 0 })
	o := newOutbox(t)
	arrived, release := make(chan struct{}, 8), make(chan struct{})
	hanging := serve(t, func(http.ResponseWriter, *http.Request) {
		arrived <- struct{}{}
		<-release
	})
	rc, url := newReceiver(t)
	w := workerOf(t, o, nil)
	stop := run(t, w, o)
	dead, live := o.source("dead", hanging.URL, nil), o.source("live", url, nil)
	var hung []fsm.EventID
	for i := range 3 {
		hung = append(hung, o.accept(dead, fmt.Sprint("evt_", i)))
		o.waitStatus(o.accept(live, fmt.Sprint("evt_", i)), fsm.EventProcessed)
		<-arrived
	}
	if n := len(rc.got()); n != 3 {
		t.Errorf("%d requests", n)
	}
	stop()
	if state := w.Destination(dead); state != (DestinationState{Breaker: "closed"}) {
		t.Errorf("a worker that has ended knows %+v", state)
	}
	waitFor(t, "nothing is left", func() bool { return len(goroutines()) == 0 })
	for _, id := range hung {
		if e := o.event(id); e.Attempts != 0 || e.Status != fsm.EventQueued {
			t.Errorf("an attempt that was broken off: %v after %d attempts", e.Status, e.Attempts)
		}
	}
	close(release)
	run(t, w, o) // the next reign makes them again
	for _, id := range hung {
		if e := o.waitStatus(id, fsm.EventProcessed); e.Attempts != 1 {
			t.Errorf("%d attempts", e.Attempts)
		}
	}
}
