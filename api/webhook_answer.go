package api

import (
	"net/http"
	"strings"

	"github.com/syllecta/syllecta/api/webhook"
	"github.com/syllecta/syllecta/fsm"
)

// The documented answers to a webhook.
const (
	acceptedAnswer = `{"ok":true}`
	cachedAnswer   = `{"ok":true,"cached":true}`
	queuedAnswer   = `{"ok":true,"queued":true}`
)

// answerWebhook answers for a webhook whose events are all accepted, now or before. What the provider itself wants to be
// told wins.
func (x *exchange) answerWebhook(got *receivedEvents) {
	status, body, outcome := http.StatusOK, acceptedAnswer, "accepted"
	switch {
	case got.receipt.Handshake:
		outcome = "handshake"
	case got.cached():
		body, outcome = cachedAnswer, "cached"
	case got.held(x.node.Directory()):
		status, body, outcome = http.StatusAccepted, queuedAnswer, "queued"
	}
	if a := got.receipt.Answer; !a.IsZero() {
		x.answerAs(a, outcome)
		return
	}
	x.out.b = append(x.out.b[:0], body...)
	x.send(status, outcome, jsonType)
}

// answerAs sends what an adapter has written.
func (x *exchange) answerAs(a webhook.Answer, outcome string) {
	x.out.b = append(x.out.b[:0], a.Body...)
	var contentType []string
	if a.ContentType != "" {
		contentType = []string{a.ContentType}
	}
	x.send(a.Status, outcome, contentType)
}

// cached reports whether all events were known before.
func (r *receivedEvents) cached() bool {
	for i := range r.results {
		if r.results[i].Outcome != fsm.EventDuplicate {
			return false
		}
	}
	return len(r.results) > 0
}

// held reports whether a new event is kept, and not delivered until somebody says so.
func (r *receivedEvents) held(dir *fsm.Directory) bool {
	for i := range r.results {
		if e := r.results[i].Event; r.results[i].Outcome == fsm.EventAccepted && e.StatusIn(dir) == fsm.EventHeld {
			return true
		}
	}
	return false
}

// webhookWord is the documented member error beside a problem's own members. Where no word is documented it is the code's.
func (k *errorKind) webhookWord() string {
	switch k {
	case usageLimitExceeded, eventsFull, storageFull:
		k = rateLimited
	}
	return strings.ReplaceAll(k.code, "_", " ")
}

// providerLabel is a provider's name in the metrics, which only know those that there are.
func providerLabel(name string) string {
	if p, known := providerNamed(name); known {
		return p.Name
	}
	return "other"
}

// adapterWords is what an adapter's error says, without the names of packages.
func adapterWords(err error) string {
	return strings.ReplaceAll(strings.TrimPrefix(err.Error(), "webhook: "), ": jsontext: ", ": ")
}
