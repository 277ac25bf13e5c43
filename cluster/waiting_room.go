package cluster

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"syscall"
)

// waitingRoom counts the connections that have not said yet who they are.
type waitingRoom struct {
	mu     sync.Mutex
	total  int
	byHost map[string]int
}

// enter reports whether there is room for one more from that host.
func (r *waitingRoom) enter(from net.Addr) bool {
	host := hostOf(from)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.total >= maxUnknownConns || r.byHost[host] >= maxUnknownFromHost {
		return false
	}
	if r.byHost == nil {
		r.byHost = make(map[string]int)
	}
	r.total++
	r.byHost[host]++
	return true
}

func (r *waitingRoom) leave(from net.Addr) {
	host := hostOf(from)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.total--
	if r.byHost[host]--; r.byHost[host] == 0 {
		delete(r.byHost, host)
	}
}

func (r *waitingRoom) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.total
}

func hostOf(a net.Addr) string {
	host, _, _ := net.SplitHostPort(a.String())
	return host
}

// refusalLog says once why a host is turned away, not each time it comes again.
type refusalLog struct {
	mu   sync.Mutex
	told map[string]bool
}

// maxRefusalsTold bounds what a refusalLog remembers; then it starts over.
const maxRefusalsTold = 64

func (l *refusalLog) note(log *slog.Logger, from net.Addr, err error) {
	host, level := hostOf(from), slog.LevelWarn
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, os.ErrDeadlineExceeded) {
		level = slog.LevelDebug // it only looked whether the port is open
	}
	if broken, ok := errors.AsType[*net.OpError](err); ok {
		err = broken.Err // without the ports, which are others each time
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	told := host + " " + err.Error()
	if l.told[told] {
		return
	}
	if l.told == nil || len(l.told) == maxRefusalsTold {
		l.told = make(map[string]bool)
	}
	l.told[told] = true
	log.Log(context.Background(), level, "a connection from another node is refused", "from", host, "reason", err)
}
