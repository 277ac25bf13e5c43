package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

const (
	wireBufferBytes = 16 << 10
	// wireRearm is how much older than needed a connection's deadline may be: setting it costs as much as a tenth of a
	// request.
	wireRearm = time.Second
	// maxWireIdle is how long after its last use a connection is used again.
	maxWireIdle = 30 * time.Second
	// maxWireHeaderLines bounds what a reply may begin with.
	maxWireHeaderLines = 100
)

// errMalformed is a reply that cannot be read.
var errMalformed = errors.New("the reply cannot be read")

// wire is a keep-alive connection to one node on which requests are written by hand. That costs a fraction of what
// net/http's client does, which counts where the load shares a machine with the servers.
type wire struct {
	conn    net.Conn
	in      *bufio.Reader
	heads   [benchCalls][]byte // the first lines and headers, for bodies of the length below
	lengths [benchCalls]int
	host    string
	key     string
	timeout time.Duration
	armed   time.Time // when the deadline was set
	request []byte
	large   []byte // replies that do not fit the reader's buffer
}

// wireReply is what a wire carried back. Its bytes are good until the next request.
type wireReply struct {
	status   int
	location string
	closing  bool
	body     []byte
}

// dialWire connects to a node; a nil roots is plain HTTP.
func dialWire(ctx context.Context, to *endpoint, roots *tls.Config, key string, timeout time.Duration) (*wire, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	plain := &net.Dialer{}
	var conn net.Conn
	var err error
	if to.url.Scheme == "https" {
		conn, err = (&tls.Dialer{NetDialer: plain, Config: roots}).DialContext(ctx, "tcp", to.address)
	} else {
		conn, err = plain.DialContext(ctx, "tcp", to.address)
	}
	if err != nil {
		return nil, err
	}
	w := &wire{
		conn: conn, in: bufio.NewReaderSize(conn, wireBufferBytes), host: to.url.Host, key: key, timeout: timeout,
	}
	if err := w.arm(time.Now()); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return w, nil
}

// head is everything before the body of a request.
func (w *wire) head(call benchCall, length int) []byte {
	if w.heads[call] == nil || w.lengths[call] != length {
		w.lengths[call] = length
		w.heads[call] = fmt.Appendf(nil, "%s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n"+
			"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n", call.line(), w.host, w.key, length)
	}
	return w.heads[call]
}

// do sends a request and reads the reply. After an error the wire is of no use any more.
func (w *wire) do(call benchCall, body []byte, now time.Time) (wireReply, error) {
	if now.Sub(w.armed) >= wireRearm {
		if err := w.arm(now); err != nil {
			return wireReply{}, err
		}
	}
	w.request = append(append(w.request[:0], w.head(call, len(body))...), body...)
	if _, err := w.conn.Write(w.request); err != nil {
		return wireReply{}, err
	}
	return w.read()
}

// arm sets the deadline of requests that are sent soon.
func (w *wire) arm(now time.Time) error {
	w.armed = now
	return w.conn.SetDeadline(now.Add(w.timeout + wireRearm))
}

func (w *wire) read() (r wireReply, err error) {
	line, err := w.line()
	if err != nil {
		return r, err
	}
	version, rest, _ := bytes.Cut(line, []byte(" "))
	code, _, _ := bytes.Cut(rest, []byte(" "))
	if r.status, err = strconv.Atoi(string(code)); err != nil || string(version) != "HTTP/1.1" {
		return r, fmt.Errorf("%w: status line %.40q", errMalformed, line)
	}
	length, err := w.headers(&r)
	if err != nil {
		return r, err
	}
	if length < 0 || length > maxAnswerBytes {
		return r, fmt.Errorf("%w: it does not say how long it is, or is longer than %d bytes", errMalformed, maxAnswerBytes)
	}
	r.body, err = w.body(length)
	return r, err
}

// headers reads up to the empty line and returns the length of the body, -1 if it is not told.
func (w *wire) headers(r *wireReply) (length int, err error) {
	length = -1
	for range maxWireHeaderLines {
		line, err := w.line()
		if err != nil || len(line) == 0 {
			return length, err
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch len(name) {
		case len("Content-Length"):
			if bytes.EqualFold(name, []byte("Content-Length")) {
				if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
					return -1, fmt.Errorf("%w: length %.40q", errMalformed, value)
				}
			}
		case len("Location"):
			if bytes.EqualFold(name, []byte("Location")) {
				r.location = string(bytes.TrimSpace(value))
			}
		case len("Connection"):
			if bytes.EqualFold(name, []byte("Connection")) {
				r.closing = bytes.EqualFold(bytes.TrimSpace(value), []byte("close"))
			}
		}
	}
	return -1, fmt.Errorf("%w: more than %d lines of headers", errMalformed, maxWireHeaderLines)
}

func (w *wire) line() ([]byte, error) {
	line, err := w.in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		err = fmt.Errorf("%w: a line of more than %d bytes", errMalformed, wireBufferBytes)
	}
	return bytes.TrimRight(line, "\r\n"), err
}

func (w *wire) body(length int) ([]byte, error) {
	if length <= wireBufferBytes {
		body, err := w.in.Peek(length)
		if err != nil {
			return nil, err
		}
		_, err = w.in.Discard(length) // the bytes stay until the next read
		return body, err
	}
	if cap(w.large) < length {
		w.large = make([]byte, length)
	}
	_, err := io.ReadFull(w.in, w.large[:length])
	return w.large[:length], err
}

// tlsConfig is what the client's connections are encrypted with.
func (c *client) tlsConfig() *tls.Config {
	if transport, ok := c.http.Transport.(*http.Transport); ok && transport.TLSClientConfig != nil {
		return transport.TLSClientConfig.Clone()
	}
	return &tls.Config{MinVersion: tls.VersionTLS12}
}
