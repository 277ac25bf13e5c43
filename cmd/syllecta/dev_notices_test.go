package main

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseWarning(t *testing.T) {
	t.Parallel()
	umlauts := strings.Repeat("ä", 150)
	for line, want := range map[string]warning{
		`{"time":"t","level":"WARN","msg":"slow disk"}`:          {"WARN", "slow disk"},
		`{"level":"ERROR","msg":"no write","error":"disk full"}`: {"ERROR", "no write: disk full"},
		`{"level":"ERROR+4","msg":"worse"}`:                      {"ERROR+4", "worse"},
		`{"level":"WARN","msg":"odd","error":{"code":1}}`:        {"WARN", "odd"},
		`{"level":"INFO","msg":"fine"}`:                          {},
		`{"level":"DEBUG","msg":"fine"}`:                         {},
		`{"msg":"no level"}`:                                     {},
		`{}`:                                                     {},
		``:                                                       {},
		`goroutine 1 [running]:`:                                 {},
		`panic: runtime error: index out of range`:               {"ERROR", "panic: runtime error: index out of range"},
		`fatal error: all goroutines are asleep`:                 {"ERROR", "fatal error: all goroutines are asleep"},
		`syllecta: port 4001 is already in use`:                  {"ERROR", "port 4001 is already in use"},
		`{"level":"WARN","msg":"\u001b[2Jgone"}`:                 {"WARN", "\uFFFD[2Jgone"},
		`{"level":"WARN","msg":"` + umlauts[:300] + `"}`:         {"WARN", umlauts[:200] + "…"},
		`{"level":"WARN","msg":"cut in the midd`:                 {},
		`{"level":"WARN","msg":"x","raft":{"term":3},"peer":1}`:  {"WARN", "x"},
	} {
		got, ok := parseWarning([]byte(line + "\n"))
		if got != want || ok != (want != warning{}) {
			t.Errorf("%s: got %v, %t; want %v", line, got, ok, want)
		}
	}
}

// collect returns notices that append what they show to a list.
func collect(quiet *bool) (*notices, *[]string) {
	shown := &[]string{}
	return &notices{
		quiet: func() bool { return *quiet },
		show:  func(w warning) { *shown = append(*shown, w.message) },
	}, shown
}

func warnLine(message string) string {
	return fmt.Sprintf("{\"level\":\"WARN\",\"msg\":%q}\n", message)
}

func TestNoticesCopyEverythingAndShowWarnings(t *testing.T) {
	t.Parallel()
	long := `{"level":"INFO","msg":"` + strings.Repeat(warnLine("x"), maxNoticeBytes/20)
	long = strings.ReplaceAll(long, "\n", " ") + "\n"
	input := warnLine("one") + `{"level":"INFO","msg":"quiet"}` + "\n" + long + warnLine("two") + "syllecta: the end"
	n, shown := collect(new(bool))
	var log bytes.Buffer
	n.copy(&log, strings.NewReader(input))
	if log.String() != input {
		t.Errorf("the log has %d bytes, want all %d", log.Len(), len(input))
	}
	if want := []string{"one", "two", "the end"}; !slices.Equal(*shown, want) {
		t.Errorf("got %q, want %q", *shown, want)
	}
	if n.last() != "the end" {
		t.Errorf("last: got %q", n.last())
	}
}

func TestNoticesRepeat(t *testing.T) {
	t.Parallel()
	n, shown := collect(new(bool))
	for range 3 {
		n.look([]byte(warnLine("peer is gone")))
	}
	if len(*shown) != 1 {
		t.Errorf("shown %d times, want once", len(*shown))
	}
	start, fresh := time.Unix(1_000_000, 0), 0
	for i := range 100 {
		if !n.repeats("in 100 s", start.Add(time.Duration(i)*time.Second)) {
			fresh++
		}
	}
	if fresh != 4 {
		t.Errorf("100 repetitions in 100 s: %d are fresh, want 4", fresh)
	}
	for i := range 10 * maxRemembered {
		n.repeats(fmt.Sprint(i), start)
	}
	if len(n.seen) > maxRemembered {
		t.Errorf("%d messages are remembered, want at most %d", len(n.seen), maxRemembered)
	}
}

// TestNoticesSettle is about a warning that comes just before dev knows why.
func TestNoticesSettle(t *testing.T) {
	t.Parallel()
	n, shown := collect(new(bool))
	asked := 0
	n.quiet = func() bool {
		asked++
		return asked > 1
	}
	n.look([]byte(warnLine("peer is gone")))
	if len(*shown) != 0 || asked != 2 {
		t.Errorf("got %q after quiet was asked %d times", *shown, asked)
	}
}

func TestNoticesQuiet(t *testing.T) {
	t.Parallel()
	quiet := true
	n, shown := collect(&quiet)
	if n.last() == "" {
		t.Error("last: got nothing before the first message")
	}
	n.look([]byte(warnLine("expected")))
	if len(*shown) != 0 || n.last() != "expected" {
		t.Errorf("got %q shown and %q last", *shown, n.last())
	}
	quiet = false
	n.look([]byte(warnLine("expected")))
	if len(*shown) != 1 {
		t.Error("what was not shown while quiet must be shown later")
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestNoticesSurviveAFullDisk(t *testing.T) {
	t.Parallel()
	n, shown := collect(new(bool))
	n.copy(fullDisk{}, strings.NewReader(warnLine("one")+warnLine("two")))
	if want := []string{"its log cannot be written: disk full", "one", "two"}; !slices.Equal(*shown, want) {
		t.Errorf("got %q, want %q", *shown, want)
	}
}
