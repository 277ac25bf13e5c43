package test

import (
	"crypto/sha256"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// receiver is a tenant's callback: it remembers what was delivered to it.
type receiver struct {
	*httptest.Server
	mu sync.Mutex
	// deliveries are by webhook-id, in the order in which they came.
	deliveries map[string][]delivery
	// providerIDs has the webhook-ids of each event of the provider.
	providerIDs map[string]map[string]bool
	total       int
}

// delivery is one request.
type delivery struct {
	attempt string // Syllecta-Attempt
	key     string // Idempotency-Key
	body    [sha256.Size]byte
}

// newReceiver starts a callback that takes everything.
func newReceiver(t testing.TB) *receiver {
	r := &receiver{deliveries: make(map[string][]delivery), providerIDs: make(map[string]map[string]bool)}
	r.Server = httptest.NewServer(http.HandlerFunc(r.take))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) take(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	id, providerID := request.Header.Get("webhook-id"), request.Header.Get("Syllecta-Event-Id")
	r.mu.Lock()
	defer r.mu.Unlock()
	r.total++
	r.deliveries[id] = append(r.deliveries[id], delivery{
		request.Header.Get("Syllecta-Attempt"), request.Header.Get("Idempotency-Key"), sha256.Sum256(body),
	})
	if r.providerIDs[providerID] == nil {
		r.providerIDs[providerID] = make(map[string]bool)
	}
	r.providerIDs[providerID][id] = true
}

// delivered returns how many events came, and how many requests.
func (r *receiver) delivered() (events, requests int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.providerIDs), r.total
}
