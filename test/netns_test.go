package test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// namespace is a network namespace without a name: it and everything in it are gone as soon as this process and the
// ones it started are, however they end. So nothing is ever left over that another run would have to remove.
type namespace struct{ file *os.File }

// ownNamespace is where this process came from.
var ownNamespace = sync.OnceValues(currentNamespace)

// currentNamespace is that of this thread.
func currentNamespace() (*namespace, error) {
	f, err := os.Open("/proc/thread-self/ns/net")
	return &namespace{f}, err
}

// newNamespace makes an empty namespace.
func newNamespace() (ns *namespace, err error) {
	own, err := ownNamespace()
	if err != nil {
		return nil, err
	}
	err = own.do(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("new network namespace: %w", err)
		}
		ns, err = currentNamespace()
		return err
	})
	return ns, err
}

// path names the namespace to other programs.
func (ns *namespace) path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), ns.file.Fd()) }

func (ns *namespace) close() { ns.file.Close() }

func (ns *namespace) enter() error { return unix.Setns(int(ns.file.Fd()), unix.CLONE_NEWNET) }

// do calls f on a thread that is inside the namespace. Sockets and processes made there belong to it for good.
func (ns *namespace) do(f func() error) error {
	home, err := ownNamespace()
	if err != nil {
		return err
	}
	runtime.LockOSThread()
	if err := ns.enter(); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter a network namespace: %w", err)
	}
	err = f()
	if back := home.enter(); back != nil {
		return errors.Join(err, back) // the thread stays locked, so it ends with its goroutine
	}
	runtime.UnlockOSThread()
	return err
}

// command runs a program inside the namespace; input is its standard input.
func (ns *namespace) command(input, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Stdin = strings.NewReader(input)
	var out []byte
	err := ns.do(func() (err error) {
		out, err = cmd.CombinedOutput()
		return err
	})
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

const dialPatience = 2 * time.Second

// dial connects to an address, in the network that it belongs to: a virtual one, or this machine's own.
func dial(ctx context.Context, kind, address string) (conn net.Conn, err error) {
	d := &net.Dialer{Timeout: dialPatience}
	hub := hubOf(address)
	if hub == nil {
		return d.DialContext(ctx, kind, address)
	}
	err = hub.do(func() error {
		conn, err = d.DialContext(ctx, kind, address)
		return err
	})
	return conn, err
}

// namespacesWork tells, tried once, why this machine cannot make networks; nil if it can.
var namespacesWork = sync.OnceValue(func() error {
	w, err := buildNetwork()
	if err != nil {
		return err
	}
	defer w.close()
	_, err = w.newHost()
	return err
})

// needsNamespaces skips a test where network namespaces cannot be made.
func needsNamespaces(t *testing.T) {
	t.Helper()
	if err := namespacesWork(); err != nil {
		t.Skipf("needs root, network namespaces, bridges and nft: %v", err)
	}
}
