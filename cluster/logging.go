package cluster

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"

	"github.com/hashicorp/go-hclog"
)

// raftLogger makes raft, which logs through hclog, log through slog.
func raftLogger(logger *slog.Logger) hclog.Logger {
	l := hclog.NewInterceptLogger(&hclog.LoggerOptions{Name: "raft", Level: hclog.Debug, Output: io.Discard})
	l.RegisterSink(&slogSink{logger.With("component", "raft")})
	return l
}

// slogSink is an hclog.SinkAdapter.
type slogSink struct{ logger *slog.Logger }

// Accept implements hclog.SinkAdapter.
func (s *slogSink) Accept(name string, level hclog.Level, msg string, args ...any) {
	for i, arg := range args {
		// hclog's own way to defer formatting: a format and its operands.
		if f, ok := arg.(hclog.Format); ok && len(f) > 0 {
			args[i] = fmt.Sprintf(fmt.Sprint(f[0]), f[1:]...)
		}
	}
	s.logger.Log(context.Background(), slogLevel(level), msg, args...)
}

func slogLevel(level hclog.Level) slog.Level {
	switch {
	case level >= hclog.Error:
		return slog.LevelError
	case level == hclog.Warn:
		return slog.LevelWarn
	case level == hclog.Info:
		return slog.LevelInfo
	default:
		return slog.LevelDebug
	}
}

// gossipLogger makes memberlist, which writes lines like "… [WARN] memberlist: …", log through slog.
func gossipLogger(logger *slog.Logger) *log.Logger {
	return log.New(&lineLogger{logger.With("component", "gossip")}, "", 0)
}

type lineLogger struct{ logger *slog.Logger }

// Write implements io.Writer for one line of a log.Logger.
func (w *lineLogger) Write(line []byte) (int, error) {
	level, msg := slog.LevelDebug, bytes.TrimSpace(line)
	for prefix, l := range map[string]slog.Level{
		"[ERR] ": slog.LevelError, "[WARN] ": slog.LevelWarn, "[INFO] ": slog.LevelInfo,
	} {
		if rest, ok := bytes.CutPrefix(msg, []byte(prefix)); ok {
			level, msg = l, rest
		}
	}
	msg = bytes.TrimPrefix(msg, []byte("[DEBUG] "))
	if bytes.Contains(msg, []byte("label")) {
		// Packets of another cluster, or of a node that had no cluster yet a moment ago. Who is not taken for a peer is
		// told when it is met (Node.meet).
		level = slog.LevelDebug
	}
	w.logger.Log(context.Background(), level, string(msg))
	return len(line), nil
}
