package main

import (
	"bufio"
	"encoding/json"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"
)

const (
	// maxNoticeBytes is how much of a line is looked at; the log gets all of it.
	maxNoticeBytes = 16 << 10
	// repeatInterval keeps a message that a node repeats, as raft does about a dead peer, to one line in that time.
	repeatInterval = 30 * time.Second
	// maxRemembered bounds the messages kept to recognise repetitions.
	maxRemembered = 256
)

// warning is a line of a node's log that people should see.
type warning struct {
	level   string
	message string
}

// notices picks from a node's messages those that people should see.
type notices struct {
	quiet  func() bool   // while it is true, nothing is shown
	settle time.Duration // how long after a warning quiet is asked
	show   func(warning)

	seen map[string]time.Time // by message; of the reading goroutine alone

	mu       sync.Mutex
	lastSeen string
}

// copy appends everything from r to log until r ends. It goes on reading if the log cannot be written, because the
// process would stand still otherwise.
func (n *notices) copy(log io.Writer, r io.Reader) {
	lines := bufio.NewReaderSize(r, maxNoticeBytes)
	logFailed := false
	atStart := true
	for {
		part, err := lines.ReadSlice('\n')
		if len(part) > 0 {
			if _, writeErr := log.Write(part); writeErr != nil && !logFailed {
				logFailed = true
				n.show(warning{slog.LevelError.String(), "its log cannot be written: " + writeErr.Error()})
			}
			if atStart {
				n.look(part)
			}
			atStart = part[len(part)-1] == '\n'
		}
		if err != nil && err != bufio.ErrBufferFull {
			return
		}
	}
}

// look shows a line if it is worth it.
func (n *notices) look(line []byte) {
	w, ok := parseWarning(line)
	if !ok {
		return
	}
	n.mu.Lock()
	n.lastSeen = w.message
	n.mu.Unlock()
	if n.quiet() || n.repeats(w.message, time.Now()) {
		return
	}
	time.Sleep(n.settle)
	if !n.quiet() {
		n.show(w)
	}
}

// repeats reports whether a message was there a short time ago, and remembers it otherwise.
func (n *notices) repeats(message string, now time.Time) bool {
	if now.Sub(n.seen[message]) < repeatInterval {
		return true
	}
	if n.seen == nil || len(n.seen) >= maxRemembered {
		n.seen = map[string]time.Time{}
	}
	n.seen[message] = now
	return false
}

// last returns the latest warning or error of the node, shown or not: what it said before it ended.
func (n *notices) last() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.lastSeen == "" {
		return "it said nothing"
	}
	return n.lastSeen
}

// parseWarning reads a line of the log: a JSON record of level WARN or above, or the first line of what the Go runtime
// or the binary prints when it ends.
func parseWarning(line []byte) (warning, bool) {
	var record struct {
		Level string `json:"level"`
		Msg   string `json:"msg"`
		Error string `json:"error"`
	}
	text := strings.TrimSpace(string(line))
	if err := json.Unmarshal(line, &record); err != nil && record.Msg == "" {
		for _, prefix := range []string{"panic: ", "fatal error: ", "syllecta: "} {
			if strings.HasPrefix(text, prefix) {
				return warning{slog.LevelError.String(), shorten(strings.TrimPrefix(text, "syllecta: "))}, true
			}
		}
		return warning{}, false
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(record.Level)); err != nil || level < slog.LevelWarn {
		return warning{}, false
	}
	message := record.Msg
	if record.Error != "" {
		message += ": " + record.Error
	}
	return warning{level.String(), shorten(message)}, true
}
