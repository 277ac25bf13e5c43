package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/syllecta/syllecta/api"
	"github.com/syllecta/syllecta/cluster"
)

// filesCheckedEvery is how often, at most, files are looked at that connections depend on.
const filesCheckedEvery = time.Second

// secureHTTP gives the API its certificate, and the CAs by which it knows a leader. Both follow their files.
func secureHTTP(config *api.Config, s settings, registry *prometheus.Registry) error {
	if s.HTTPCertFile != "" {
		certificate, err := cluster.NewReloaded(func() (tls.Certificate, error) {
			return cluster.ReadKeyPair(s.HTTPCertFile, s.HTTPKeyFile)
		}, s.HTTPCertFile, s.HTTPKeyFile)
		if err != nil {
			return fmt.Errorf("the certificate of the HTTP API: %w", err)
		}
		kept := &onDemand[tls.Certificate]{files: certificate, what: "certificate of the HTTP API", log: config.Logger}
		config.TLS = httpTLS(kept)
		registry.MustRegister(expiryGauge(kept))
		warnIfExpired(kept)
	}
	if s.NodeCAFile != "" {
		roots, err := cluster.NewReloaded(func() (*x509.CertPool, error) { return forwardRoots(s.NodeCAFile) }, s.NodeCAFile)
		if err != nil {
			return fmt.Errorf("the CA of the nodes: %w", err)
		}
		kept := &onDemand[*x509.CertPool]{files: roots, what: "CA of the nodes", log: config.Logger}
		config.ForwardRoots = kept.current
	}
	return nil
}

func httpTLS(certificate *onDemand[tls.Certificate]) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			current := certificate.current()
			return &current, nil
		},
	}
}

// forwardRoots are who may sign for a leader: the nodes' CA, and those of the system for a proxy in front of it.
func forwardRoots(caFile string) (*x509.CertPool, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool() // a machine without any
	}
	return roots, addCertificates(roots, caFile)
}

// addCertificates makes a pool trust the CAs of a file.
func addCertificates(roots *x509.CertPool, caFile string) error {
	certs, err := cluster.ReadCertificates(caFile)
	if err != nil {
		return err
	}
	for _, cert := range certs {
		roots.AddCert(cert)
	}
	return nil
}

// onDemand looks at files when their value is asked for, at most each filesCheckedEvery: it needs no goroutine, and
// while nobody asks nothing happens.
type onDemand[T any] struct {
	files *cluster.Reloaded[T]
	what  string
	log   *slog.Logger

	checked atomic.Int64 // Unix nanoseconds
}

// current returns the newest good value. It may be called by several goroutines at a time.
func (o *onDemand[T]) current() T {
	last, now := o.checked.Load(), time.Now().UnixNano()
	// A wall clock that was set back must not put the next look off.
	if due := now-last >= int64(filesCheckedEvery) || now < last; due && o.checked.CompareAndSwap(last, now) {
		switch changed, err := o.files.Reload(); {
		case err != nil:
			o.log.Error("the new "+o.what+" is not taken; the old one stays", "error", err)
		case changed:
			o.log.Info("the " + o.what + " was reloaded")
		}
	}
	return o.files.Current()
}

func expiryGauge(certificate *onDemand[tls.Certificate]) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "syllecta_http_certificate_expiry_timestamp_seconds",
		Help: "When the certificate of the HTTP API expires, in Unix time.",
	}, func() float64 { return float64(certificate.current().Leaf.NotAfter.Unix()) })
}

// warnIfExpired tells of a certificate that clients will refuse. The node starts nevertheless: the cluster counts on
// it, whoever it may serve.
func warnIfExpired(certificate *onDemand[tls.Certificate]) {
	if end := certificate.current().Leaf.NotAfter; time.Now().After(end) {
		certificate.log.Warn("the certificate of the HTTP API has expired", "expired", end)
	}
}
