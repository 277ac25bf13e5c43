package api

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"strings"
	"sync"

	"github.com/syllecta/syllecta/fsm"
)

// An API key is "ck_", 43 random base62 characters (256 bits), and 6 characters of their CRC-32. The prefix lets
// secret scanners find a key that was published; the checksum refuses a mistyped one before anything is looked up.
const (
	apiKeyPrefix   = "ck_"
	apiKeySecret   = 43
	apiKeyChecksum = 6
	apiKeyBytes    = len(apiKeyPrefix) + apiKeySecret + apiKeyChecksum
	apiKeyHint     = 4
)

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// NewAPIKey draws an API key, and the hint by which people tell it apart from others: its last characters.
// It panics if random fails, which crypto/rand.Reader never does.
func NewAPIKey(random io.Reader) (secret, hint string) {
	b := append(make([]byte, 0, apiKeyBytes), apiKeyPrefix...)
	b = appendRandomBase62(b, random, apiKeySecret)
	b = appendChecksum(b, b[len(apiKeyPrefix):])
	return string(b), string(b[len(b)-apiKeyHint:])
}

// keyHasher computes HashKey many times under one secret, and keeps what the secret alone determines.
type keyHasher struct {
	secret [32]byte
	macs   sync.Pool // of hash.Hash, keyed
}

func newKeyHasher(secret [32]byte) *keyHasher {
	h := &keyHasher{secret: secret}
	h.macs.New = func() any { return hmac.New(sha256.New, secret[:]) }
	return h
}

func (h *keyHasher) hash(apiKey string) (sum [32]byte) {
	mac := h.macs.Get().(hash.Hash)
	mac.Reset()
	io.WriteString(mac, apiKey)
	mac.Sum(sum[:0])
	h.macs.Put(mac)
	return sum
}

// hashKey is HashKey under the secret of the directory, which changes only when the cluster is formed or restored.
func (s *Server) hashKey(dir *fsm.Directory, apiKey string) [32]byte {
	h := s.keyHasher.Load()
	if h == nil || h.secret != dir.KeyHashSecret {
		h = newKeyHasher(dir.KeyHashSecret)
		s.keyHasher.Store(h)
	}
	return h.hash(apiKey)
}

// HashKey returns the form in which an API key is stored and looked up: its HMAC-SHA-256 under the cluster's secret.
// A key has 256 bits of chance, so a slow hash would cost only us.
func HashKey(secretKey [32]byte, apiKey string) (hash [32]byte) {
	mac := hmac.New(sha256.New, secretKey[:])
	io.WriteString(mac, apiKey)
	mac.Sum(hash[:0])
	return hash
}

// wellFormedAPIKey reports whether s can be an API key at all.
func wellFormedAPIKey(s string) bool {
	if len(s) != apiKeyBytes || !strings.HasPrefix(s, apiKeyPrefix) {
		return false
	}
	end := len(s) - apiKeyChecksum
	var sum [apiKeyChecksum]byte
	return string(appendChecksum(sum[:0], []byte(s[len(apiKeyPrefix):end]))) == s[end:]
}

// appendRandomBase62 appends n characters, every one equally likely: bytes above the last multiple of 62 are drawn
// again.
func appendRandomBase62(b []byte, random io.Reader, n int) []byte {
	const fair = 256 / len(base62) * len(base62)
	var draw [64]byte
	for n > 0 {
		if _, err := io.ReadFull(random, draw[:]); err != nil {
			panic(fmt.Sprintf("api: the source of randomness failed: %v", err))
		}
		for _, c := range draw {
			if n > 0 && int(c) < fair {
				b = append(b, base62[int(c)%len(base62)])
				n--
			}
		}
	}
	return b
}

func appendChecksum(b, secret []byte) []byte {
	sum := crc32.ChecksumIEEE(secret)
	for range apiKeyChecksum {
		b = append(b, base62[sum%uint32(len(base62))])
		sum /= uint32(len(base62))
	}
	return b
}
