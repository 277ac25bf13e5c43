package test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"time"
)

// wire is a keep-alive connection on which requests are written by hand. It costs a tenth of what net/http's client
// does, which counts where the client shares two cores with three servers.
type wire struct {
	conn    net.Conn
	in      *bufio.Reader
	host    string
	request []byte
	body    []byte
}

func dialWire(host string) (*wire, error) {
	conn, err := dial(context.Background(), "tcp", host)
	if err != nil {
		return nil, err
	}
	return &wire{conn: conn, in: bufio.NewReaderSize(conn, 4<<10), host: host}, nil
}

func (w *wire) close() { w.conn.Close() }

// reply is what a wire carried back. The bytes are good until the next request.
type reply struct {
	status   int
	location string
	body     []byte
}

// do sends a request and reads the reply. An empty key sends no credentials.
func (w *wire) do(method, target, key string, body []byte) (reply, error) {
	b := append(w.request[:0], method...)
	b = append(append(append(b, ' '), target...), " HTTP/1.1\r\nHost: "...)
	b = append(b, w.host...)
	if key != "" {
		b = append(append(b, "\r\nAuthorization: Bearer "...), key...)
	}
	b = append(b, "\r\nContent-Type: application/json\r\nContent-Length: "...)
	b = append(strconv.AppendInt(b, int64(len(body)), 10), "\r\n\r\n"...)
	w.request = append(b, body...)
	if err := w.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return reply{}, err
	}
	if _, err := w.conn.Write(w.request); err != nil {
		return reply{}, err
	}
	return w.read()
}

var errNoLength = errors.New("the reply does not say how long it is")

func (w *wire) read() (r reply, err error) {
	line, err := w.line()
	if err != nil {
		return r, err
	}
	version, rest, _ := bytes.Cut(line, []byte(" "))
	code, _, _ := bytes.Cut(rest, []byte(" "))
	if r.status, err = strconv.Atoi(string(code)); err != nil || string(version) != "HTTP/1.1" {
		return r, fmt.Errorf("status line %q", line)
	}
	length := -1
	for {
		if line, err = w.line(); err != nil {
			return r, err
		}
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(": "))
		switch string(name) {
		case "Content-Length":
			length, _ = strconv.Atoi(string(value))
		case "Location":
			r.location = string(value)
		}
	}
	if length < 0 {
		return r, errNoLength
	}
	if cap(w.body) < length {
		w.body = make([]byte, length)
	}
	r.body = w.body[:length]
	_, err = io.ReadFull(w.in, r.body)
	return r, err
}

func (w *wire) line() ([]byte, error) {
	line, err := w.in.ReadSlice('\n')
	return bytes.TrimRight(line, "\r\n"), err
}

// wires are one client's connections to several nodes.
type wires map[string]*wire

func (ws wires) close() {
	for _, w := range ws {
		w.close()
	}
}

// do sends a request to a node and follows redirects as a plain client does: without credentials. A connection that
// breaks is not used again.
func (ws wires) do(method, host, target, key string, body []byte) (reply, error) {
	for range maxRedirects {
		w := ws[host]
		if w == nil {
			var err error
			if w, err = dialWire(host); err != nil {
				return reply{}, err
			}
			ws[host] = w
		}
		r, err := w.do(method, target, key, body)
		if err != nil {
			w.close()
			delete(ws, host)
			return reply{}, err
		}
		if r.location == "" {
			return r, nil
		}
		to, err := url.Parse(r.location)
		if err != nil {
			return reply{}, err
		}
		host, target, key = to.Host, to.RequestURI(), ""
	}
	return reply{}, errors.New("too many redirects")
}
