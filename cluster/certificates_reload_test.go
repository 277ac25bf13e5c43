package cluster

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// echo serves TLS connections until the test ends, and sends back what it is sent.
func echo(t *testing.T, config *tls.Config) string {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := tls.NewListener(inner, config)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer conn.Close()
				_, _ = io.Copy(conn, conn) // a refused client ends it with an error
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		serving.Wait()
	})
	return l.Addr().String()
}

// ask sends a byte through a connection and waits for it to come back.
func ask(conn net.Conn) error {
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := conn.Write([]byte{7}); err != nil {
		return err
	}
	_, err := io.ReadFull(conn, make([]byte, 1))
	return err
}

// connect dials, and reports whether the other side lets it in.
func connect(t *testing.T, to string, config *tls.Config) (net.Conn, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	conn, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", to)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { conn.Close() })
	return conn, ask(conn)
}

func mustConnect(t *testing.T, what, to string, config *tls.Config) net.Conn {
	t.Helper()
	conn, err := connect(t, to, config)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	return conn
}

func mustReload(t *testing.T, nodes ...*nodeCertificates) {
	t.Helper()
	for _, n := range nodes {
		if changed, err := n.reload(); !changed || err != nil {
			t.Fatalf("%s: changed %v, %v", n.id(), changed, err)
		}
	}
}

// TestRotateCA replaces the CA of two nodes that talk all the while: trust both, change certificates, trust one.
func TestRotateCA(t *testing.T) {
	t.Parallel()
	old, next := newTestCA(t, "ca"), newTestCA(t, "ca") // even of one name
	n1, cfg1 := newNodeCertificates(t, old, "n1")
	n2, cfg2 := newNodeCertificates(t, old, "n2")
	n3, _ := newNodeCertificates(t, old, "n3")
	at1, at2 := echo(t, n1.server()), echo(t, n2.server())
	lasting := mustConnect(t, "before", at1, n2.client("n1"))
	both := func(what string) {
		t.Helper()
		mustConnect(t, what+": n2 to n1", at1, n2.client("n1"))
		mustConnect(t, what+": n1 to n2", at2, n1.client("n2"))
		if err := ask(lasting); err != nil {
			t.Errorf("%s: the connection of before: %v", what, err)
		}
	}

	writeCAs(t, cfg1.NodeCAFile, old, next)
	mustReload(t, n1)
	both("one node trusts both CAs")
	writeCAs(t, cfg2.NodeCAFile, old, next)
	mustReload(t, n2)
	both("both nodes do")
	writeNode(t, filepath.Dir(cfg1.NodeCertFile), next.issue(t, nodeTemplate("n1")), old, next)
	mustReload(t, n1)
	both("one node has a new certificate")
	writeNode(t, filepath.Dir(cfg2.NodeCertFile), next.issue(t, nodeTemplate("n2")), next)
	mustReload(t, n2)
	both("the other has one, too, and does not trust the old CA")
	writeCAs(t, cfg1.NodeCAFile, next)
	mustReload(t, n1)
	both("nobody does")
	if _, err := connect(t, at1, n3.client("")); err == nil {
		t.Error("a node of the old CA is let in")
	}
}

// TestReloadUnderLoad replaces the certificate again and again while others connect; with -race it shows that nothing
// is shared without care.
func TestReloadUnderLoad(t *testing.T) {
	t.Parallel()
	ca := newTestCA(t, "ca")
	n1, cfg := newNodeCertificates(t, ca, "n1")
	n2, _ := newNodeCertificates(t, ca, "n2")
	at := echo(t, n1.server())
	ctx, cancel := context.WithCancel(t.Context())
	var callers sync.WaitGroup
	for range 2 {
		callers.Go(func() {
			for ctx.Err() == nil {
				conn, err := tls.Dial("tcp", at, n2.client("n1"))
				if err != nil {
					t.Error(err)
					return
				}
				if err := ask(conn); err != nil {
					t.Error(err)
				}
				conn.Close()
			}
		})
	}
	for range 20 {
		writeNode(t, filepath.Dir(cfg.NodeCertFile), ca.issue(t, nodeTemplate("n1")), ca)
		mustReload(t, n1)
		mustConnect(t, "after a reload", at, n2.client("n1"))
	}
	cancel()
	callers.Wait()
}

func TestReloadKeepsWhatIsGood(t *testing.T) {
	t.Parallel()
	ca := newTestCA(t, "ca")
	n1, cfg := newNodeCertificates(t, ca, "n1")
	n2, _ := newNodeCertificates(t, ca, "n2")
	if changed, err := n1.reload(); changed || err != nil {
		t.Errorf("nothing has changed: got %v, %v", changed, err)
	}
	dir := filepath.Dir(cfg.NodeCertFile)
	expired := nodeTemplate("n1")
	expired.NotAfter = time.Now().Add(-time.Minute)
	for _, broken := range []struct {
		name, want string
		spoil      func()
	}{
		{"half a file", "failed to find any PEM data", func() {
			writeFile(t, cfg.NodeCertFile, []byte("-----BEGIN CERT"))
		}},
		{"another node's", `of node "n2", and this is "n1"`, func() {
			writeNode(t, dir, ca.issue(t, nodeTemplate("n2")), ca)
		}},
		{"expired", "is not valid at this time", func() { writeNode(t, dir, ca.issue(t, expired), ca) }},
		{"no CA", "holds no certificate", func() { writeCAs(t, cfg.NodeCAFile) }},
		{"no file", "no such file", func() {
			if err := os.Remove(cfg.NodeCAFile); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		broken.spoil()
		changed, err := n1.reload()
		if changed || err == nil || !strings.Contains(err.Error(), broken.want) {
			t.Errorf("%s: got %v, %v; want %q", broken.name, changed, err, broken.want)
		}
		if changed, err = n1.reload(); changed || err != nil {
			t.Errorf("%s: reported once more: %v, %v", broken.name, changed, err)
		}
		if serverErr, clientErr := handshake(t, n1.server(), n2.client("n1")); serverErr != nil || clientErr != nil {
			t.Errorf("%s: the old certificate does not serve: %v, %v", broken.name, serverErr, clientErr)
		}
	}
	before := n1.files.Current().own.Leaf
	writeNode(t, dir, ca.issue(t, nodeTemplate("n1")), ca)
	mustReload(t, n1)
	if n1.files.Current().own.Leaf.Equal(before) {
		t.Error("the repaired files were not taken")
	}
}

// TestReloadRetries: what changes without a new time of the file, such as the right to read it, is found, too.
func TestReloadRetries(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f")
	writeFile(t, path, []byte("1"))
	broken := errors.New("broken")
	var fault error
	r, err := NewReloaded(func() (string, error) {
		raw, err := os.ReadFile(path)
		return string(raw), errors.Join(err, fault)
	}, path)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, path, []byte("2"))
	fault = broken
	if changed, err := r.Reload(); changed || !errors.Is(err, broken) || r.Current() != "1" {
		t.Errorf("got %v, %v, %s", changed, err, r.Current())
	}
	fault = nil
	if changed, err := r.Reload(); !changed || err != nil || r.Current() != "2" {
		t.Errorf("got %v, %v, %s", changed, err, r.Current())
	}
	fault = broken
	if changed, err := r.Reload(); changed || err != nil {
		t.Errorf("an unchanged file was read: %v, %v", changed, err)
	}
	if _, err := NewReloaded(func() (int, error) { return 0, broken }); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}
