package main

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestExitCodeOfErrors(t *testing.T) {
	t.Parallel()
	plain := verb(func(*cobra.Command, []string) error { return errors.New("x") })
	coded := verb(func(*cobra.Command, []string) error {
		return fmt.Errorf("while trying: %w", &failure{code: exitQuota, err: errors.New("x")})
	})
	for name, c := range map[string]struct {
		err  error
		want int
	}{
		"none":               {nil, exitOK},
		"of cobra":           {errors.New("unknown flag: --x"), exitUsage},
		"of a verb":          {plain(nil, nil), exitFailure},
		"of a verb, wrapped": {coded(nil, nil), exitQuota},
		"usage":              {usageErrorf("x"), exitUsage},
	} {
		if got := exitCode(c.err); got != c.want {
			t.Errorf("%s: got %d, want %d", name, got, c.want)
		}
	}
}

func TestExitCodeOfStatus(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]int{
		http.StatusBadRequest:          exitUsage,
		http.StatusUnauthorized:        exitNotAuthorised,
		http.StatusForbidden:           exitNotAuthorised,
		http.StatusNotFound:            exitNotFound,
		http.StatusConflict:            exitConflict,
		http.StatusUnprocessableEntity: exitConflict,
		http.StatusTooManyRequests:     exitQuota,
		http.StatusServiceUnavailable:  exitUnreachable,
		http.StatusGatewayTimeout:      exitUnreachable,
		http.StatusInternalServerError: exitFailure,
		http.StatusInsufficientStorage: exitFailure,
	} {
		if got := exitCodeOfStatus(status); got != want {
			t.Errorf("%d: got %d, want %d", status, got, want)
		}
	}
}

func TestErrorLine(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		want string
	}{
		{nil, ""},
		{errors.Join(errors.New("a"), errors.New("b")), "syllecta: a; b\n"},
		{&failure{code: exitFailure, err: errors.New("a"), logged: true}, ""},
	} {
		if got := errorLine(c.err); got != c.want {
			t.Errorf("%v: got %q, want %q", c.err, got, c.want)
		}
	}
}

func TestUsageErrors(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"nonsense"}, {"tenant", "nonsense"}, {"server", "--nonsense"}, {"version", "argument"}, {"tenant", "create"},
		{"key", "create", "--tenant"}, {"key", "list"}, {"dev", "--nodes=2"}, {"dev", "--port=80"},
		{"dev", "--raft-multiplier=0"}, {"server", "--data-dir="}, {"tenant", "create", "x", "--monthly-claims=-1"},
	} {
		out, errText, code := runVerb(t, nil, args...)
		if code != exitUsage || out != "" || strings.Count(errText, "\n") != 1 || !strings.HasPrefix(errText, "syllecta: ") {
			t.Errorf("%v: got exit code %d, stdout %q, stderr %q", args, code, out, errText)
		}
	}
	if _, errText, _ := runVerb(t, nil, "tenant", "creat"); !strings.Contains(errText, "did you mean create?") {
		t.Errorf("got %q, want a suggestion", errText)
	}
}

func TestHelp(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{}, {"server"}, {"dev"}, {"tenant", "create"}, {"tenant", "list"}, {"key", "create"}, {"key", "list"},
		{"key", "revoke"}, {"version"}, {"tenant"}, {"key"}, {"tenant", "show"}, {"tenant", "update"}, {"tenant", "suspend"},
		{"tenant", "resume"}, {"plan"}, {"plan", "list"}, {"plan", "show"}, {"plan", "set"}, {"plan", "delete"}, {"usage"},
		{"audit"}, {"audit", "list"}, {"audit", "verify"}, {"source"}, {"source", "list"}, {"source", "show"},
		{"source", "create"}, {"source", "update"}, {"source", "enable"}, {"source", "disable"}, {"source", "delete"},
		{"source", "secret"}, {"source", "secret", "add"}, {"source", "secret", "remove"}, {"source", "roll-signing-secret"},
		{"events"}, {"events", "list"}, {"events", "show"}, {"events", "replay"}, {"events", "ignore"}, {"events", "tail"},
	} {
		out, _, code := runVerb(t, nil, append(args, "--help")...)
		_, examples, _ := strings.Cut(out, "Examples:\n")
		examples, _, _ = strings.Cut(examples, "\n\n")
		if n := strings.Count(examples, "  syllecta "); code != exitOK || n < 2 || n > 3 {
			t.Errorf("%v: exit code %d, %d examples in\n%s", args, code, n, out)
		}
	}
	out, _, _ := runVerb(t, nil, "--help")
	if !strings.Contains(out, exitCodesHelp) {
		t.Error("the help does not document the exit codes")
	}
}
