package webhook

import (
	"crypto/hmac"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"hash"
	"strings"
)

// keyDecoding turns a secret, as the provider shows it, into the key of a MAC.
type keyDecoding func(secret string) ([]byte, error)

// Errors about a secret say what it should be and nothing of what it is.
var (
	errNotHexKey    = errors.New("is not hexadecimal")
	errNotBase64Key = errors.New("is not base64")
)

// rawKey takes the secret's own bytes, prefix and all.
func rawKey(secret string) ([]byte, error) { return []byte(secret), nil }

func hexKey(secret string) ([]byte, error) {
	key, err := hex.DecodeString(secret)
	if err != nil || len(key) == 0 {
		return nil, errNotHexKey
	}
	return key, nil
}

// base64Key takes base64 with or without padding, after whsec_ if that is there (Standard Webhooks).
func base64Key(secret string) ([]byte, error) {
	text := strings.TrimRight(strings.TrimPrefix(secret, symmetricPrefix), "=")
	key, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil || len(key) == 0 {
		return nil, errNotBase64Key
	}
	return key, nil
}

func newMAC(algorithm func() hash.Hash, key []byte) hash.Hash { return hmac.New(algorithm, key) }
