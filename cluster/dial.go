package cluster

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/raft"
)

// located joins a node's id and its address, so that whoever dials knows whom to expect there.
func located(id raft.ServerID, at raft.ServerAddress) raft.ServerAddress {
	return raft.ServerAddress(id) + "@" + at
}

// locate is the reverse of located; without an id, whoever answers is meant.
func locate(to raft.ServerAddress) (id raft.ServerID, at string) {
	if id, at, ok := strings.Cut(string(to), "@"); ok {
		return raft.ServerID(id), at
	}
	return "", string(to)
}

// dial opens a stream to another node: to names its address, and may name its id before it (see located).
func (p *passport) dial(ctx context.Context, to raft.ServerAddress, kind stream) (net.Conn, hello, error) {
	id, at := locate(to)
	conn, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, "tcp", at)
	if err != nil {
		return nil, hello{}, err
	}
	// The handshake ends with ctx, whichever end it waits for.
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	secured, answer, err := p.shakeHands(ctx, conn, id, kind)
	if err != nil {
		conn.Close()
		return nil, answer, fmt.Errorf("open a stream to %s: %w", to, err)
	}
	if ctx.Err() != nil {
		secured.Close()
		return nil, answer, fmt.Errorf("open a stream to %s: %w", to, ctx.Err())
	}
	return secured, answer, nil
}

func (p *passport) shakeHands(ctx context.Context, conn net.Conn, id raft.ServerID, kind stream) (net.Conn, hello, error) {
	var certified raft.ServerID
	if p.certificates != nil {
		secured := tls.Client(conn, p.certificates.client(id))
		if err := secured.HandshakeContext(ctx); err != nil {
			return nil, hello{}, fmt.Errorf("%w: %w", errHandshake, err)
		}
		conn = secured
		var err error
		if certified, err = p.certificates.peer(secured.ConnectionState()); err != nil {
			return nil, hello{}, fmt.Errorf("%w: %w", errHandshake, err)
		}
	}
	if err := writeHello(conn, kind, p.introduce(kind, id)); err != nil {
		return nil, hello{}, err
	}
	_, answer, err := readHello(conn)
	if p.certificates == nil && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)) {
		err = errors.Join(errNotOurs, err) // as somebody does who expected TLS
	}
	if err != nil {
		return nil, hello{}, fmt.Errorf("its hello: %w", err)
	}
	if certified != "" && certified != answer.NodeID {
		return nil, answer, fmt.Errorf("%s shows the certificate of %s", answer.NodeID, certified)
	}
	return conn, answer, p.check(kind, id, answer)
}
