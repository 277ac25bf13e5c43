package delivery

import (
	"errors"
	"fmt"

	"github.com/syllecta/syllecta/api/envelope"
	"github.com/syllecta/syllecta/api/webhook"
	"github.com/syllecta/syllecta/api/webhook/redact"
	"github.com/syllecta/syllecta/fsm"
)

var (
	// errDropped and errUnreadable are about one event, which nothing will ever deliver. Any other error of open concerns
	// all events of the source, and passes when the operator mends it.
	errDropped    = errors.New("the payload was dropped")
	errUnreadable = errors.New("the payload cannot be read")
)

// payloadPurpose, and signingPurpose, bind what is sealed to what it is for.
func payloadPurpose(s *fsm.Source) string { return "event/" + s.PublicID }
func signingPurpose(s *fsm.Source) string { return "source/" + s.PublicID + "/signing" }

// letter is what an event holds, opened.
type letter struct {
	stored  webhook.Stored
	signing [][]byte          // the keys that sign, the newest first; none without a signing secret
	data    *envelope.DataKey // under which the payload was sealed; nil if nothing was
}

// open returns what an event holds, and the keys that sign its delivery at an instant.
func (w *Worker) open(o order, nowMs int64) (l letter, err error) {
	if !o.own() && (o.event.Form != fsm.PayloadWhole || len(o.event.Payload) == 0) {
		return letter{}, errDropped
	}
	secrets := signingSecrets(o.source, nowMs)
	if !o.own() || len(secrets) > 0 {
		l.data, err = w.cfg.Vault.DataKey(o.tenant.PublicID, []byte(o.tenant.DataKey))
		if err != nil {
			return letter{}, err
		}
	}
	for _, sealed := range secrets {
		key, err := openSigningKey(l.data, o.source, sealed)
		if err != nil {
			return letter{}, fmt.Errorf("opening the signing secret of source %s: %w", o.source.PublicID, err)
		}
		l.signing = append(l.signing, key)
	}
	if !o.own() {
		if l.stored, err = openPayload(l.data, o); err != nil {
			return letter{}, fmt.Errorf("%w: %w", errUnreadable, err)
		}
	}
	return l, nil
}

// signingSecrets returns the encrypted secrets that a source signs with at an instant, the newest first.
func signingSecrets(s *fsm.Source, nowMs int64) (sealed [][]byte) {
	if len(s.SigningSecret) > 0 {
		sealed = append(sealed, s.SigningSecret)
	}
	if s.Previous.Good(nowMs) {
		sealed = append(sealed, s.Previous.Sealed)
	}
	return sealed
}

func openSigningKey(k *envelope.DataKey, s *fsm.Source, sealed []byte) ([]byte, error) {
	secret, err := k.Open(signingPurpose(s), sealed)
	if err != nil {
		return nil, err
	}
	return signingKey(secret)
}

func openPayload(k *envelope.DataKey, o order) (webhook.Stored, error) {
	plain, err := k.Open(payloadPurpose(o.source), o.event.Payload)
	if err != nil {
		return webhook.Stored{}, err
	}
	return webhook.DecodeStored(plain)
}

// keep returns what takes the place of a payload that was delivered, as the tenant's policy wants it; set is false if it
// stays as it is.
func keep(o order, l letter) (set bool, form fsm.PayloadForm, sealed []byte) {
	if o.own() || o.event.Form == fsm.PayloadNone {
		return false, 0, nil
	}
	switch o.tenant.PayloadPolicy {
	case fsm.PayloadRawDebugWindow:
		return false, 0, nil
	case fsm.PayloadRedacted:
		sealed := sealRedacted(o, l)
		if sealed == nil {
			return true, fsm.PayloadNone, nil
		}
		return true, fsm.PayloadPartial, sealed
	default:
		return true, fsm.PayloadNone, nil
	}
}

// sealRedacted returns the payload without what is sensitive, sealed; nil if it cannot be kept, since what stands for the
// sensitive parts may be longer than they were.
func sealRedacted(o order, l letter) []byte {
	plain, err := webhook.EncodeStored(webhook.Stored{
		Headers: redact.Header(l.stored.Headers), Payload: redact.JSON(l.stored.Payload),
	})
	if err != nil {
		return nil
	}
	sealed := l.data.Seal(payloadPurpose(o.source), plain)
	if len(sealed) > fsm.MaxEventPayloadBytes {
		return nil
	}
	return sealed
}
