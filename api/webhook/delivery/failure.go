package delivery

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
)

// What is told of an attempt that brought no answer. It is one of these texts, never the error itself: that names
// addresses of the operator's network, and parts of what the destination sent.
const (
	failedTimeout     = "no answer in time"
	failedNotAllowed  = "the address is not allowed"
	failedName        = "the host's name was not found"
	failedResolver    = "the host's name could not be resolved"
	failedRefused     = "the connection was refused"
	failedReset       = "the connection was closed before there was an answer"
	failedUnreachable = "the host cannot be reached"
	failedCertificate = "the TLS certificate is not trusted, or not the host's"
	failedTLS         = "TLS could not be agreed on"
	failedOther       = "there was no answer that HTTP allows"

	failedDropped    = "payload was dropped"
	failedUnreadable = "the payload cannot be read"
	failedNoURL      = "the source has no callback URL"
	failedURL        = "the callback URL is not allowed"
)

// describe puts an error of the transport in words for the tenant.
func describe(err error) string {
	if err == nil {
		return ""
	}
	var (
		dns         *net.DNSError
		certificate *tls.CertificateVerificationError
		timeout     net.Error
	)
	switch {
	case errors.Is(err, ErrNotAllowed):
		return failedNotAllowed
	case errors.As(err, &certificate):
		return failedCertificate
	case errors.As(err, &dns) && dns.IsNotFound:
		return failedName
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return failedTimeout
	case errors.As(err, &dns):
		return failedResolver
	case errors.Is(err, syscall.ECONNREFUSED):
		return failedRefused
	case isEnd(err):
		return failedReset
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return failedUnreachable
	case strings.Contains(err.Error(), "tls: "): // most errors of crypto/tls have no type of their own
		return failedTLS
	}
	return failedOther
}

// isEnd reports whether the destination closed the connection.
func isEnd(err error) bool {
	for _, end := range []error{io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, end) {
			return true
		}
	}
	return strings.Contains(err.Error(), "server closed idle connection") // of net/http, which does not export it
}
