package main

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"
)

// The exit codes, which scripts rely on. exitCodesHelp documents them.
const (
	exitOK            = 0
	exitFailure       = 1
	exitUsage         = 2
	exitNotFound      = 3
	exitNotAuthorised = 4
	exitConflict      = 5
	exitUnreachable   = 6
	exitQuota         = 7
	exitRemoved       = 8
)

const exitCodesHelp = `Exit codes:
  0  done
  1  failure
  2  wrong usage: a flag, a setting or a value that is not allowed
  3  not found
  4  not authorised
  5  conflict: it exists already, or is held by somebody else
  6  no leader, unreachable or timed out: try again
  7  quota or limit reached
  8  this node was removed from the cluster`

// failure is an error whose exit code is known.
type failure struct {
	code   int
	err    error
	logged bool // it is in the log already, so the error line would repeat it
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// usageErrorf returns an error that ends the process with exitUsage.
func usageErrorf(format string, args ...any) error {
	return &failure{code: exitUsage, err: fmt.Errorf(format, args...)}
}

// runE is a verb's work.
type runE func(cmd *cobra.Command, args []string) error

// verb adapts a verb's work for cobra: an error that names no exit code is a plain failure. What cobra itself
// refuses, before any verb ran, never passes here and is therefore wrong usage.
func verb(work runE) runE {
	return func(cmd *cobra.Command, args []string) error {
		err := work(cmd, args)
		var known *failure
		if err == nil || errors.As(err, &known) {
			return err
		}
		return &failure{code: exitFailure, err: err}
	}
}

// exitCode maps the outcome of a command line to the process's exit code.
func exitCode(err error) int {
	if err == nil {
		return exitOK
	}
	var known *failure
	if errors.As(err, &known) {
		return known.code
	}
	return exitUsage
}

// errorLine is the one line that tells people what went wrong, or "" if the log did.
func errorLine(err error) string {
	var known *failure
	if err == nil || errors.As(err, &known) && known.logged {
		return ""
	}
	return "syllecta: " + oneLine(err.Error()) + "\n"
}

// exitCodeOfStatus maps an HTTP error status to an exit code.
func exitCodeOfStatus(status int) int {
	switch status {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType:
		return exitUsage
	case http.StatusUnauthorized, http.StatusForbidden:
		return exitNotAuthorised
	case http.StatusNotFound:
		return exitNotFound
	case http.StatusConflict, http.StatusUnprocessableEntity:
		return exitConflict
	case http.StatusTooManyRequests:
		return exitQuota
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return exitUnreachable
	default:
		return exitFailure
	}
}

// oneLine joins the lines of a message: joined errors come with newlines.
func oneLine(message string) string {
	return strings.Join(strings.FieldsFunc(message, func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}
