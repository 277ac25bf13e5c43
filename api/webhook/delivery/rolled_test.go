package delivery

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/syllecta/syllecta/api/webhook"
	"github.com/syllecta/syllecta/fsm"
)

// rolledSecret takes the place of signingSecret.
const rolledSecret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"

// roll gives a source rolledSecret.
func (o *outbox) roll(s *fsm.Source, overlap time.Duration) *fsm.Source {
	o.t.Helper()
	next := *s
	next.SigningSecret = o.key().Seal(signingPurpose(s), []byte(rolledSecret))
	result := o.apply(fsm.PutSource{Source: next, IfRevision: s.Revision, OverlapMs: overlap.Milliseconds()})[0]
	if result.Outcome != fsm.OK {
		o.t.Fatalf("the secret is not rolled: %+v", result)
	}
	return result.Source
}

// verifiedBy returns by which of the secrets a receiver verifies a delivery.
func verifiedBy(r received, secrets ...string) (good []string) {
	for _, secret := range secrets {
		_, err := webhook.Accept(webhook.Source{Provider: "standard-webhooks", Secrets: []string{secret}}, webhook.Request{
			Method: "POST", URL: "http://127.0.0.1/", Header: r.header, Body: []byte(r.body), ReceivedAt: noon,
		})
		if err == nil {
			good = append(good, secret)
		}
	}
	return good
}

// signedBy returns the secret of each signature of a delivery, in their order.
func signedBy(t *testing.T, r received) (secrets []string) {
	t.Helper()
	if n := len(r.header.Values(signatureHeader)); n != 1 {
		t.Errorf("%d headers with signatures", n)
	}
	for part := range strings.SplitSeq(r.header.Get(signatureHeader), " ") {
		one := received{r.header.Clone(), r.body}
		one.header.Set(signatureHeader, part)
		good := verifiedBy(one, signingSecret, rolledSecret)
		if len(good) != 1 {
			t.Fatalf("the signature %q is verified by %q", part, good)
		}
		secrets = append(secrets, good[0])
	}
	return secrets
}

// TestRolledSecretsOverlap has receivers that know the old secret, the new one, or both take what is delivered while a
// secret that was rolled is still good, and only those that know the new one afterwards.
func TestRolledSecretsOverlap(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		overlap, later time.Duration
		want           []string
	}{
		"at once":         {time.Hour, 0, []string{rolledSecret, signingSecret}},
		"just before":     {time.Hour, time.Hour - time.Millisecond, []string{rolledSecret, signingSecret}},
		"at the end":      {time.Hour, time.Hour, []string{rolledSecret}},
		"without overlap": {0, 0, []string{rolledSecret}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOutbox(t)
			rc, url := newReceiver(t)
			s := o.source("default", url, nil)
			start(t, o, nil)
			o.waitStatus(o.accept(s, "evt_1"), fsm.EventProcessed)
			s = o.roll(s, c.overlap)
			o.advance(c.later)
			o.waitStatus(o.accept(s, "evt_2"), fsm.EventProcessed)
			got := rc.got()
			if before := signedBy(t, got[0]); !slices.Equal(before, []string{signingSecret}) {
				t.Errorf("before it was rolled: signed by %q", before)
			}
			if signed := signedBy(t, got[1]); !slices.Equal(signed, c.want) {
				t.Errorf("signed by %q, want %q", signed, c.want)
			}
			slices.Sort(c.want)
			good := verifiedBy(got[1], signingSecret, rolledSecret)
			if slices.Sort(good); !slices.Equal(good, c.want) {
				t.Errorf("verified by %q, want %q", good, c.want)
			}
		})
	}
}

// TestPreviousSecretEndsByTheClock: not only when an entry has dropped it. A retry is sent when none has come since.
func TestPreviousSecretEndsByTheClock(t *testing.T) {
	t.Parallel()
	o := newOutbox(t)
	rc, url := newReceiver(t)
	rc.status.Store(http.StatusInternalServerError)
	s := o.source("default", url, func(s *fsm.Source) { s.RetryDelaysMs = []int64{60_000, 60_000} })
	s = o.roll(s, time.Minute)
	start(t, o, nil)
	id := o.accept(s, "evt_1")
	o.waitAttempts(id, 1)
	rc.status.Store(http.StatusOK)
	if o.Directory().SourceByID(s.ID).Previous.EndsAtMs != noon2026+60_000 {
		t.Fatal("it was dropped before its time")
	}
	o.advance(72 * time.Second) // with the fifth by which it may be later
	o.waitStatus(id, fsm.EventProcessed)
	got := rc.got()
	for i, want := range [][]string{{rolledSecret, signingSecret}, {rolledSecret}} {
		if signed := signedBy(t, got[i]); !slices.Equal(signed, want) {
			t.Errorf("attempt %d is signed by %q, want %q", i+1, signed, want)
		}
	}
}

// TestRawDeliveriesCarryBothSignatures: those of the provider's own bytes.
func TestRawDeliveriesCarryBothSignatures(t *testing.T) {
	t.Parallel()
	o := newOutbox(t)
	rc, url := newReceiver(t)
	raw := o.roll(o.source("raw", url, func(s *fsm.Source) { s.Raw = true }), time.Hour)
	start(t, o, nil)
	o.waitStatus(o.accept(raw, "evt_1"), fsm.EventProcessed)
	if signed := signedBy(t, rc.got()[0]); !slices.Equal(signed, []string{rolledSecret, signingSecret}) {
		t.Errorf("signed by %q", signed)
	}
}
