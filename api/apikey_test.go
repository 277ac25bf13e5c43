package api

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"hash"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"github.com/syllecta/syllecta/fsm"
)

func TestNewAPIKey(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for range 200 {
		secret, hint := NewAPIKey(rand.Reader)
		if !wellFormedAPIKey(secret) || seen[secret] || !strings.HasSuffix(secret, hint) || len(hint) != apiKeyHint {
			t.Fatalf("key %q, hint %q", secret, hint)
		}
		seen[secret] = true
	}
	defer func() {
		if recover() == nil {
			t.Error("a failing source of randomness made a key")
		}
	}()
	NewAPIKey(iotest.ErrReader(iotest.ErrTimeout))
}

func TestRandomBase62IsFair(t *testing.T) {
	t.Parallel()
	count := make(map[byte]int)
	const draws = 62_000
	for _, c := range appendRandomBase62(nil, rand.Reader, draws) {
		count[c]++
	}
	for _, c := range []byte(base62) {
		if n := count[c]; n < 800 || n > 1200 { // six standard deviations around 1000
			t.Errorf("%c came %d times of %d", c, n, draws)
		}
	}
}

func TestWellFormedAPIKey(t *testing.T) {
	t.Parallel()
	good, _ := NewAPIKey(rand.Reader)
	for i := range good {
		c := byte('x')
		if good[i] == c {
			c = 'y'
		}
		if changed := good[:i] + string(c) + good[i+1:]; wellFormedAPIKey(changed) {
			t.Errorf("character %d changed: accepted", i)
		}
	}
	for _, bad := range []string{"", "ck_", good[:len(good)-1], good + "A", strings.Repeat("a", 10<<10)} {
		if wellFormedAPIKey(bad) {
			t.Errorf("%.60q is accepted", bad)
		}
	}
}

func TestHashKey(t *testing.T) {
	t.Parallel()
	mac := hmac.New(sha256.New, testKeySecret[:])
	mac.Write([]byte("ck_x"))
	if got := HashKey(testKeySecret, "ck_x"); string(got[:]) != string(mac.Sum(nil)) {
		t.Errorf("got %x", got)
	}
}

// TestHashKeyOfTheDirectory: keys hash the same whoever computes it, also after a restore has brought another secret.
func TestHashKeyOfTheDirectory(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, nil, nil)
	for _, secret := range [][32]byte{{1}, {1}, {2}, {1}, {}} {
		for _, key := range []string{"", "ck_a", "ck_b", strings.Repeat("k", 500), "ck_a"} {
			if got, want := s.hashKey(&fsm.Directory{KeyHashSecret: secret}, key), HashKey(secret, key); got != want {
				t.Errorf("%q under %x: %x, want %x", key, secret[:1], got, want)
			}
		}
	}
}

// countingHash counts the API keys that are hashed.
type countingHash struct {
	hash.Hash
	count *atomic.Int64
}

func (h countingHash) Reset() {
	h.count.Add(1)
	h.Hash.Reset()
}

// countHashes counts the API keys that a server hashes from now on.
func countHashes(s *Server) *atomic.Int64 {
	count := new(atomic.Int64)
	h := &keyHasher{secret: testKeySecret}
	h.macs.New = func() any { return countingHash{hmac.New(sha256.New, testKeySecret[:]), count} }
	s.keyHasher.Store(h)
	return count
}
