package test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// protocolRows are requests that net/http's client would not send. Where the server's HTTP library refuses them before
// our code sees them, the answer is not a problem document; 501 and 505 are what the protocol asks for.
func protocolRows() []request {
	const claim = `{"scope":"s","key":"k"}`
	head := "POST /v1/record HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\nAuthorization: Bearer KEY\r\n"
	return []request{
		{name: "no Host", raw: "POST /v1/record HTTP/1.1\r\nConnection: close\r\n\r\n", status: 400},
		{name: "two Hosts", raw: head + "Host: other\r\nContent-Length: 23\r\n\r\n" + claim, status: 400},
		{name: "a strange Host", raw: "GET /livez HTTP/1.1\r\nHost: a b\r\n\r\n", status: 400},
		{name: "no version", raw: "GET /livez\r\n\r\n", status: 400},
		{name: "another version", raw: "GET /livez HTTP/3.0\r\nHost: HOST\r\n\r\n", status: 505},
		{name: "a strange version", raw: "GET /livez HTTP/1.x\r\nHost: HOST\r\n\r\n", status: 400},
		{name: "no method", raw: " /livez HTTP/1.1\r\nHost: HOST\r\n\r\n", status: 400},
		{name: "a strange method", raw: "GE(T /livez HTTP/1.1\r\nHost: HOST\r\n\r\n", status: 400},
		{name: "a space in the path", raw: "GET /live z HTTP/1.1\r\nHost: HOST\r\n\r\n", status: 400},
		{name: "a control character in the path", raw: "GET /li\x01vez HTTP/1.1\r\nHost: HOST\r\n\r\n", status: 400},
		{name: "a wrong escape in the path", raw: "GET /v1/%zz HTTP/1.1\r\nHost: HOST\r\n\r\n", status: 400},
		{name: "garbage", raw: "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", status: 400},
		{name: "a header without a colon", raw: head + "Nonsense\r\n\r\n", status: 400},
		{name: "a header with a space in its name", raw: head + "Content Length: 0\r\n\r\n", status: 400},
		{name: "a header with a space before the colon", raw: head + "Content-Length : 0\r\n\r\n", status: 400},
		{name: "NUL in a header", raw: head + "X: a\x00b\r\n\r\n", status: 400},
		{name: "NUL in the key", raw: "GET /livez HTTP/1.1\r\nHost: HOST\r\nAuthorization: KEY\x00\r\n\r\n", status: 400},
		{name: "a length that is no number", raw: head + "Content-Length: abc\r\n\r\n" + claim, status: 400},
		{name: "a negative length", raw: head + "Content-Length: -1\r\n\r\n" + claim, status: 400},
		{name: "a signed length", raw: head + "Content-Length: +23\r\n\r\n" + claim, status: 400},
		{name: "two lengths", raw: head + "Content-Length: 23\r\nContent-Length: 24\r\n\r\n" + claim, status: 400},
		{name: "a coding that is unknown", raw: head + "Transfer-Encoding: gzip\r\n\r\n" + claim, status: 501},
		{name: "two codings", raw: head + "Transfer-Encoding: gzip, chunked\r\n\r\n" + chunked(claim), status: 501},
		{name: "a chunk that is no number",
			raw: head + "Transfer-Encoding: chunked\r\n\r\nzz\r\n" + claim + "\r\n0\r\n\r\n", status: 400, code: "invalid_json"},
		{name: "an endless chunk header", raw: head + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1", 8<<10),
			status: 400, code: "invalid_json"},
		{name: "an unknown expectation", raw: head + "Expect: magic\r\nContent-Length: 23\r\n\r\n" + claim, status: 417},
		{name: "a header of 64 KiB", raw: head + "X: " + strings.Repeat("x", 64<<10) + "\r\n\r\n", status: 431,
			code: "headers_too_large"},
		{name: "a header of 128 KiB", raw: head + "X: " + strings.Repeat("x", 128<<10) + "\r\n\r\n", status: 431},
		{name: "10000 headers", raw: head + strings.Repeat("X: y\r\n", 10_000) + "\r\n", status: 431,
			code: "headers_too_large"},
		{name: "a path of 64 KiB", raw: "GET /" + strings.Repeat("x", 64<<10) + " HTTP/1.1\r\nHost: HOST\r\n" +
			"Connection: close\r\n\r\n", status: 431, code: "headers_too_large"},
		{name: "OPTIONS *", raw: "OPTIONS * HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n", status: 404,
			code: "not_found"},
		{name: "CONNECT", raw: "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\nConnection: close\r\n\r\n",
			status: 404, code: "not_found"},
	}
}

// TestSmuggling sends requests whose end two parsers may see in different places. What follows must not be answered.
func TestSmuggling(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	key := c.newTenant("smuggling", 0).key
	host := c.nodes[0].ports.http
	second := "GET /livez HTTP/1.1\r\nHost: HOST\r\n\r\n"
	head := "POST /v1/record HTTP/1.1\r\nHost: HOST\r\nAuthorization: Bearer KEY\r\n"
	for _, raw := range []string{
		head + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + second,
		head + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + second,
		head + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + second,
		head + "Transfer-Encoding:\vchunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + second,
		head + "Content-Length: 0\r\nContent-Length: 5\r\n\r\n" + second,
		head + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + second,
	} {
		raw = strings.NewReplacer("HOST", host, "KEY", key).Replace(raw)
		if n := countAnswers(t, host, raw); n != 1 {
			t.Errorf("%d answers, want 1, to %q", n, raw)
		}
	}
	if s, err := c.nodes[0].status(); err != nil || s.Locks != 0 || s.Records != 0 {
		t.Errorf("something was stored: %+v %v", s, err)
	}
}

// countAnswers counts the answers until the server closes the connection.
func countAnswers(t *testing.T, host, raw string) int {
	t.Helper()
	conn, err := net.Dial("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(malformedWait))
	if _, err := io.WriteString(conn, raw); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	for n := 0; ; n++ {
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			return n
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSlowClients holds connections open with requests that do not get on. The server ends each of them by itself, and
// serves others meanwhile.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	key := c.newTenant("slow", 0).key
	n := c.nodes[0]
	var all sync.WaitGroup
	for _, beginning := range []string{
		"",
		"POST /v1/rec",
		"POST /v1/record HTTP/1.1\r\nHost: HOST\r\nX: ",
		"POST /v1/record HTTP/1.1\r\nHost: HOST\r\nAuthorization: Bearer KEY\r\nContent-Length: 100\r\n\r\n{",
		"POST /v1/record HTTP/1.1\r\nHost: HOST\r\nAuthorization: Bearer KEY\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
	} {
		raw := strings.NewReplacer("HOST", n.ports.http, "KEY", key).Replace(beginning)
		all.Go(func() { testSlowClient(t, n.ports.http, raw) })
	}
	if v := newClient(n.url(), key).claim(claimRequest{Scope: "s", Key: "k"}); !v.Locked {
		t.Errorf("a claim beside slow clients: %v", v.answer)
	}
	all.Wait()
}

// testSlowClient sends the beginning of a request and waits until the server has had enough.
func testSlowClient(t *testing.T, host, beginning string) {
	conn, err := net.Dial("tcp", host)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, beginning); err != nil {
		t.Error(err)
		return
	}
	said, err := io.ReadAll(conn)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		t.Errorf("the server still waits after %q", beginning)
	}
	if status, _, _ := strings.Cut(string(said), "\r\n"); status != "" && !strings.HasPrefix(status, "HTTP/1.1 4") {
		t.Errorf("the end of %q is %q", beginning, status)
	}
}
