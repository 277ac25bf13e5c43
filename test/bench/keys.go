package main

import (
	"crypto/rand"
	"strconv"
	"strings"
)

// keyBytes is the length of every key: that of a UUID and a few letters.
const keyBytes = 40

// runNameBytes is the length of a run's name, which begins all its keys: no run meets those of another.
const runNameBytes = 10

// claimValue is what a lock's holder leaves under its key, where a peer keeps a value: as much as a random token.
const claimValue = "0123456789abcdef0123456789abcdef"

// claimTTLSeconds is when a lock goes away by itself, with peers that can do that. It is our default.
const claimTTLSeconds = 24 * 60 * 60

// keys are the new keys of one worker: the run's name and a number, as those of `syllecta bench` are. Workers take turns
// with the numbers.
type keys struct {
	text []byte
	next uint64
	step uint64
}

func newRunName() string { return strings.ToLower(rand.Text()[:runNameBytes]) }

// newKeys makes the keys of a worker, counted from 0, of so many.
func newKeys(run string, worker, workers int) *keys {
	return &keys{
		text: append([]byte(run), strings.Repeat("0", keyBytes-len(run))...),
		next: uint64(worker), step: uint64(workers),
	}
}

func (k *keys) take() string {
	var digits [20]byte
	number := strconv.AppendUint(digits[:0], k.next, 10)
	copy(k.text[keyBytes-len(number):], number)
	k.next += k.step
	return string(k.text)
}
