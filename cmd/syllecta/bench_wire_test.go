package main

import (
	"bufio"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// scriptedWire is a wire whose node answers every request with the same bytes and hangs up at the end of a test.
func scriptedWire(t *testing.T, answer string) *wire {
	here, there := net.Pipe()
	t.Cleanup(func() { here.Close(); there.Close() })
	go io.Copy(io.Discard, there)
	go func() {
		io.WriteString(there, answer)
		there.Close()
	}()
	return &wire{conn: here, in: bufio.NewReaderSize(here, wireBufferBytes), host: "h", key: "k", timeout: time.Minute}
}

func TestWireReadsReplies(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("x", 3*wireBufferBytes)
	for answer, want := range map[string]wireReply{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}":                 {status: 200, body: []byte("{}")},
		"HTTP/1.1 204 \r\ncontent-length:0\r\nCONNECTION: Close\r\n\r\n": {status: 204, closing: true},
		"HTTP/1.1 307 Go\r\nLocation: http://h/x?t=1\r\nContent-Length: 1\r\n\r\n!": {
			status: 307, location: "http://h/x?t=1", body: []byte("!"),
		},
		"HTTP/1.1 200 OK\r\nX: 1\r\nContent-Length: 49152\r\nY: Location: z\r\n\r\n" + large: {
			status: 200, body: []byte(large),
		},
	} {
		r, err := scriptedWire(t, answer).do(callClaim, []byte("{}"), time.Now())
		if err != nil || r.status != want.status || r.location != want.location || r.closing != want.closing ||
			string(r.body) != string(want.body) {
			t.Errorf("%.60q: got %d %q %t %.60q, %v", answer, r.status, r.location, r.closing, r.body, err)
		}
	}
}

func TestWireRefusesReplies(t *testing.T) {
	t.Parallel()
	for answer, malformed := range map[string]bool{
		"":      false,
		"HTTP/": false,
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{}":                         false, // cut short
		"HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n{}":                     false,
		"SSH-2.0-OpenSSH\r\n":                                                    true,
		"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n":                           true,
		"HTTP/1.1 2oo OK\r\nContent-Length: 0\r\n\r\n":                           true,
		"HTTP/1.1 200 OK\r\n\r\n":                                                true,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n":       true,
		"HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\n":                         true,
		"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n":                          true,
		"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n":                 true,
		"HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", wireBufferBytes) + "\r\n": true,
		"HTTP/1.1 200 OK\r\n" + strings.Repeat("A: b\r\n", maxWireHeaderLines+1): true,
	} {
		r, err := scriptedWire(t, answer).do(callClaim, []byte("{}"), time.Now())
		if err == nil || errors.Is(err, errMalformed) != malformed {
			t.Errorf("%.60q: got %+v, %v, want malformed=%t", answer, r, err, malformed)
		}
	}
}

func TestWireRequest(t *testing.T) {
	t.Parallel()
	here, there := net.Pipe()
	t.Cleanup(func() { here.Close() })
	w := &wire{conn: here, in: bufio.NewReader(here), host: "node:1", key: "secret", timeout: time.Minute}
	for _, body := range []string{`{"a":1}`, `{"a":10}`} {
		want := "PUT /v1/record HTTP/1.1\r\nHost: node:1\r\nAuthorization: Bearer secret\r\n" +
			"Content-Type: application/json\r\nContent-Length: " + string(rune('0'+len(body))) + "\r\n\r\n" + body
		got := make([]byte, len(want))
		go func() {
			if _, err := io.ReadFull(there, got); err != nil {
				t.Error(err)
			}
			io.WriteString(there, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}()
		if _, err := w.do(callPut, []byte(body), time.Now()); err != nil || string(got) != want {
			t.Errorf("got\n%s\nwant\n%s\n%v", got, want, err)
		}
	}
}

// TestWireTimesOut has a node that never answers.
func TestWireTimesOut(t *testing.T) {
	t.Parallel()
	here, there := net.Pipe()
	t.Cleanup(func() { here.Close(); there.Close() })
	go io.Copy(io.Discard, there)
	w := &wire{conn: here, in: bufio.NewReader(here), timeout: -wireRearm + time.Millisecond}
	if _, err := w.do(callClaim, nil, time.Now()); kindOfError(err) != kindTimeout {
		t.Errorf("got %v", err)
	}
}
