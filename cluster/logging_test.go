package cluster

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/go-hclog"
)

// recorder is a slog.Handler that keeps what it is given, as "LEVEL message key=value …".
type recorder struct {
	mu    *sync.Mutex
	lines *[]string
	attrs []slog.Attr
}

func newRecorder() *recorder { return &recorder{mu: new(sync.Mutex), lines: new([]string)} }

func (r *recorder) Enabled(context.Context, slog.Level) bool { return true }

func (r *recorder) Handle(_ context.Context, record slog.Record) error {
	var line bytes.Buffer
	line.WriteString(record.Level.String() + " " + record.Message)
	write := func(a slog.Attr) bool {
		line.WriteString(" " + a.String())
		return true
	}
	for _, a := range r.attrs {
		write(a)
	}
	record.Attrs(write)
	r.mu.Lock()
	defer r.mu.Unlock()
	*r.lines = append(*r.lines, line.String())
	return nil
}

func (r *recorder) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &recorder{r.mu, r.lines, slices.Concat(r.attrs, attrs)}
}

func (r *recorder) WithGroup(string) slog.Handler { return r }

func (r *recorder) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(*r.lines)
}

// has reports whether a line was logged that contains all the parts.
func (r *recorder) has(parts ...string) bool {
	return slices.ContainsFunc(r.all(), func(line string) bool {
		return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(line, part) })
	})
}

func TestRaftLogger(t *testing.T) {
	t.Parallel()
	r := newRecorder()
	l := raftLogger(slog.New(r))
	l.Trace("tracing")
	l.Debug("debugging")
	l.Info("informing", "count", 3)
	l.Warn("warning", "error", errors.New("no route"))
	l.Error("failing", "servers", hclog.Fmt("%d of %s", 2, "three"))
	l.With("peer", "n1").Named("snapshot").Info("implied")
	want := []string{
		"DEBUG tracing component=raft",
		"DEBUG debugging component=raft",
		"INFO informing component=raft count=3",
		"WARN warning component=raft error=no route",
		"ERROR failing component=raft servers=2 of three",
		"INFO implied component=raft peer=n1",
	}
	if got := r.all(); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestGossipLogger(t *testing.T) {
	t.Parallel()
	r := newRecorder()
	l := gossipLogger(slog.New(r))
	l.Printf("[DEBUG] memberlist: stream from %s", "n1")
	l.Printf("[INFO] memberlist: joined")
	l.Printf("[WARN] memberlist: refuting")
	l.Printf("[ERR] memberlist: conflict")
	l.Print("no level")
	want := []string{
		"DEBUG memberlist: stream from n1 component=gossip",
		"INFO memberlist: joined component=gossip",
		"WARN memberlist: refuting component=gossip",
		"ERROR memberlist: conflict component=gossip",
		"DEBUG no level component=gossip",
	}
	if got := r.all(); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
