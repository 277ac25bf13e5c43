package webhook

import (
	"crypto/x509"
	"fmt"
	"time"
)

const (
	// MaxSecrets bounds the secrets of a source.
	MaxSecrets = 8
	// DefaultTolerance is how far a signed timestamp may be from the time of receipt, in both directions, unless the
	// provider documents otherwise.
	DefaultTolerance = 5 * time.Minute
)

// Source says where requests come from and how they are verified.
type Source struct {
	// Provider is a name that Providers lists, or one of its aliases.
	Provider string
	// Secrets are 1 to MaxSecrets keys, each in the form in which the provider shows it. More than one are there while
	// they are rotated: a signature by any of them is good. PayPal has none.
	Secrets []string
	// Tolerance is how far a signed timestamp may be from the time of receipt, in both directions; 0 is the provider's
	// default. A timestamp that is not signed is not looked at.
	Tolerance time.Duration
	// NotificationURL is the URL that was registered with the provider, for those that sign it: Square, Twilio, HubSpot,
	// and generic with {url}. It takes the place of Request.URL up to the query, which is the request's if it has one.
	NotificationURL string

	// WebhookID is PayPal's id of the webhook, as its dashboard shows it.
	WebhookID string
	// Certificates fetches PayPal's certificates.
	Certificates Certificates
	// Roots are what PayPal's certificates must lead to; nil means those of the system.
	Roots *x509.CertPool

	// HMAC describes the scheme of a generic source; nil means the documented one.
	HMAC *HMAC
}

// Certificates returns the certificate at a URL, followed by those that lead towards a root. It is called with https
// URLs of PayPal's own hosts only, and must follow no redirect. An answer may be kept: the certificate at a URL does not
// change.
type Certificates func(url string) ([]*x509.Certificate, error)

// Validate reports what is missing, as an error that wraps ErrNotConfigured. It names no part of a secret.
func (s Source) Validate() error {
	if err := s.ValidateSettings(); err != nil {
		return err
	}
	if p := lookup[s.Provider]; p.NeedsSecret {
		return s.validateSecrets(p)
	}
	return nil
}

// ValidateSettings is Validate of all but the secrets, for a source whose provider makes them after it was told where to
// send webhooks.
func (s Source) ValidateSettings() error {
	p, known := lookup[s.Provider]
	if !known {
		return fmt.Errorf("%w: the provider %q is not known", ErrNotConfigured, s.Provider)
	}
	if s.Tolerance < 0 {
		return fmt.Errorf("%w: the tolerance is negative", ErrNotConfigured)
	}
	if s.HMAC != nil && p.Name != "generic" {
		return fmt.Errorf("%w: %s has a scheme of its own", ErrNotConfigured, p.Name)
	}
	if p.configured != nil {
		if err := p.configured(s); err != nil {
			return fmt.Errorf("%w: %w", ErrNotConfigured, err)
		}
	}
	return nil
}

func (s Source) validateSecrets(p *provider) error {
	if n := len(s.Secrets); n == 0 || n > MaxSecrets {
		return fmt.Errorf("%w: %d secrets, want 1 to %d", ErrNotConfigured, n, MaxSecrets)
	}
	for i, secret := range s.Secrets {
		if secret == "" {
			return fmt.Errorf("%w: secret %d is empty", ErrNotConfigured, i+1)
		}
		if err := p.checkSecret(s, secret); err != nil {
			return fmt.Errorf("%w: secret %d: %w", ErrNotConfigured, i+1, err)
		}
	}
	return nil
}

// tolerance returns the source's own, or the provider's.
func (s Source) tolerance(fallback time.Duration) time.Duration {
	if s.Tolerance > 0 {
		return s.Tolerance
	}
	return fallback
}

// signedURL returns the URL that the provider has signed.
func (s Source) signedURL(r Request) string {
	if s.NotificationURL == "" {
		return r.URL
	}
	query := r.query()
	if query == "" {
		return s.NotificationURL
	}
	return beforeQuery(s.NotificationURL) + "?" + query
}
