package webhook

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/syllecta/syllecta/fsm"
)

// Bounds of Options.
const (
	MaxToleranceSeconds = 24 * 60 * 60
	MaxWebhookIDBytes   = 128
)

// Options is what a source can be told beside its secrets, as it is kept in fsm.Source.Options. The zero value leaves
// everything to the provider's defaults.
type Options struct {
	// ToleranceSeconds is Source.Tolerance, 0…MaxToleranceSeconds.
	ToleranceSeconds int64 `json:"toleranceSeconds,omitzero"`
	// NotificationURL is Source.NotificationURL: absolute, at most fsm.MaxURLBytes.
	NotificationURL string `json:"notificationUrl,omitzero"`
	// WebhookID is Source.WebhookID, at most MaxWebhookIDBytes.
	WebhookID string `json:"webhookId,omitzero"`
	// HMAC is Source.HMAC.
	HMAC *HMAC `json:"hmac,omitzero"`
}

// ParseOptions reads the JSON of Options, of which "" is the zero value. It refuses members that it does not know or that
// are given twice; the error names the member, and wraps ErrNotConfigured.
func ParseOptions(text []byte) (Options, error) {
	var o Options
	if len(text) == 0 {
		return o, nil
	}
	if len(text) > fsm.MaxSourceOptionsBytes {
		return Options{}, fmt.Errorf("%w: the options have %d bytes, at most %d are taken",
			ErrNotConfigured, len(text), fsm.MaxSourceOptionsBytes)
	}
	if k := jsontext.Value(text).Kind(); k != jsontext.KindBeginObject {
		return Options{}, fmt.Errorf("%w: the options are not an object", ErrNotConfigured)
	}
	if err := json.Unmarshal(text, &o, json.RejectUnknownMembers(true)); err != nil {
		return Options{}, fmt.Errorf("%w: the options: %w", ErrNotConfigured, faultOf(err))
	}
	if err := o.check(); err != nil {
		return Options{}, fmt.Errorf("%w: the options: %w", ErrNotConfigured, err)
	}
	return o, nil
}

// faultOf says which member cannot be read, in fewer words than the decoder and none of Go's.
func faultOf(err error) error {
	var semantic *json.SemanticError
	var syntactic *jsontext.SyntacticError
	switch {
	case errors.As(err, &semantic):
		name := memberName(semantic.JSONPointer)
		if errors.Is(err, json.ErrUnknownName) {
			return fmt.Errorf("%s is not known", name)
		}
		return fmt.Errorf("%s is not of its type, or too large", name)
	case errors.As(err, &syntactic) && errors.Is(err, jsontext.ErrDuplicateName):
		return fmt.Errorf("%s is given twice", memberName(syntactic.JSONPointer))
	case errors.As(err, &syntactic):
		return fmt.Errorf("not JSON, at byte %d", syntactic.ByteOffset)
	default:
		return errors.New("not JSON")
	}
}

// memberName writes a pointer as members are written elsewhere, such as hmac.hash.
func memberName(p jsontext.Pointer) string {
	var names []string
	for name := range p.Tokens() {
		names = append(names, name)
	}
	return strings.Join(names, ".")
}

func (o Options) check() error {
	switch {
	case o.ToleranceSeconds < 0 || o.ToleranceSeconds > MaxToleranceSeconds:
		return fmt.Errorf("toleranceSeconds is not between 0 and %d", MaxToleranceSeconds)
	case len(o.WebhookID) > MaxWebhookIDBytes || strings.ContainsFunc(o.WebhookID, isControl):
		return fmt.Errorf("webhookId is longer than %d bytes, or has a control character", MaxWebhookIDBytes)
	}
	if fault := notificationURLFault(o.NotificationURL); fault != "" {
		return errors.New("notificationUrl " + fault)
	}
	if o.HMAC == nil {
		return nil
	}
	if _, err := o.HMAC.scheme(); err != nil {
		return fmt.Errorf("hmac: %w", err)
	}
	return nil
}

// notificationURLFault says what is wrong with a URL that a provider is to have signed; "" if nothing. It is compared as
// it is written, and never visited.
func notificationURLFault(text string) string {
	if text == "" {
		return ""
	}
	if len(text) > fsm.MaxURLBytes {
		return fmt.Sprintf("is longer than %d bytes", fsm.MaxURLBytes)
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || !utf8.ValidString(text) || strings.ContainsFunc(text, isControl):
		return "is not a URL"
	case u.Scheme != "https" && u.Scheme != "http" || u.Host == "":
		return "is not an absolute URL of https or http"
	case u.User != nil || strings.Contains(text, "#"):
		return "has a user or a fragment, which no provider would send"
	}
	return ""
}

// Source returns the configuration of a source of a provider. Certificates, of PayPal, are the caller's to add.
func (o Options) Source(provider string, secrets []string) Source {
	return Source{
		Provider: provider, Secrets: secrets, Tolerance: time.Duration(o.ToleranceSeconds) * time.Second,
		NotificationURL: o.NotificationURL, WebhookID: o.WebhookID, HMAC: o.HMAC,
	}
}
