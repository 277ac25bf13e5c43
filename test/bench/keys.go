package main

import (
	"encoding/hex"
	"math/rand/v2"
)

// keyBytes is the length of every key: that of a UUID and a few letters.
const keyBytes = 40

// claimValue is what a lock's holder leaves under its key, where a peer keeps a value: as much as a random token.
const claimValue = "0123456789abcdef0123456789abcdef"

// claimTTLSeconds is when a lock goes away by itself, with peers that can do that. It is our default.
const claimTTLSeconds = 24 * 60 * 60

// keys makes keys that were never there before, as far as 160 random bits can tell. One goroutine uses it.
type keys struct {
	random *rand.ChaCha8
	raw    [keyBytes / 2]byte
	text   [keyBytes]byte
}

func newKeys() *keys {
	var seed [32]byte
	for i := range seed {
		seed[i] = byte(rand.Uint32())
	}
	return &keys{random: rand.NewChaCha8(seed)}
}

func (k *keys) next() string {
	_, _ = k.random.Read(k.raw[:]) // it never fails
	hex.Encode(k.text[:], k.raw[:])
	return string(k.text[:])
}
