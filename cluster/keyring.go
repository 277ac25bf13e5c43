package cluster

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/memberlist"
)

const (
	// GossipKeyBytes is the length of a gossip key: AES-256.
	GossipKeyBytes = 32
	// MaxGossipKeys bounds a file of gossip keys. During a rotation it holds two.
	MaxGossipKeys = 8
)

// gossipKeys are the keys of gossip: the first one encrypts, all of them decrypt.
//
// To replace a key without a moment in which two nodes do not understand each other, take one step on all nodes
// before the next:
//
//  1. add the new key as the second line: now everybody can read it;
//  2. move it to the first line: now everybody writes it;
//  3. remove the old key: now nobody reads it any more.
//
// Between two steps wait until every node has taken the file, which it says in its log.
type gossipKeys struct {
	ring *memberlist.Keyring
	file *Reloaded[[][]byte]
}

// loadGossipKeys reads a file of base64 keys, or returns nil if path is "".
func loadGossipKeys(path string) (*gossipKeys, error) {
	if path == "" {
		return nil, nil
	}
	file, err := NewReloaded(func() ([][]byte, error) { return ReadGossipKeys(path) }, path)
	if err != nil {
		return nil, fmt.Errorf("gossip keys: %w", err)
	}
	keys := file.Current()
	ring, err := memberlist.NewKeyring(keys, keys[0])
	if err != nil {
		return nil, fmt.Errorf("gossip keys: %w", err)
	}
	return &gossipKeys{ring: ring, file: file}, nil
}

// keyring is what memberlist works with; it follows the file by reload.
func (g *gossipKeys) keyring() *memberlist.Keyring { return g.ring }

// primary is the fingerprint of the key that encrypts.
func (g *gossipKeys) primary() string { return GossipKeyFingerprint(g.file.Current()[0]) }

// reload looks at the file again and gives the running keyring what it holds. If it cannot be used, the keys stay,
// and the reason is returned once.
func (g *gossipKeys) reload() (changed bool, err error) {
	changed, err = g.file.Reload()
	if err != nil {
		return false, fmt.Errorf("the new gossip keys are not taken: %w", err)
	}
	if !changed {
		return false, nil
	}
	if err := turn(g.ring, g.file.Current()); err != nil {
		return false, fmt.Errorf("changing the gossip keys: %w", err)
	}
	return true, nil
}

// turn makes keys those of a ring that is in use. They are checked, so no step fails but by a mistake of ours.
func turn(ring *memberlist.Keyring, keys [][]byte) error {
	if err := errors.Join(ring.AddKey(keys[0]), ring.UseKey(keys[0])); err != nil {
		return err
	}
	// memberlist's RemoveKey shifts the keys behind the removed one within an array that readers hold without a lock
	// (GetKeys hands out its own). The last key has none behind it, so keys go from the end, and come back below.
	old := ring.GetKeys()
	gone := slices.IndexFunc(old, func(k []byte) bool { return !containsKey(keys, k) })
	if gone >= 0 {
		for _, key := range slices.Backward(old[gone:]) {
			if err := ring.RemoveKey(key); err != nil {
				return err
			}
		}
	}
	for _, key := range keys {
		if err := ring.AddKey(key); err != nil {
			return err
		}
	}
	return nil
}

func containsKey(keys [][]byte, key []byte) bool {
	return slices.ContainsFunc(keys, func(k []byte) bool { return bytes.Equal(k, key) })
}

// GossipKeyFingerprint names a key without giving it away: the first 8 hexadecimal digits of its SHA-256.
func GossipKeyFingerprint(key []byte) string {
	sum := sha256.Sum256(key)
	return hex.EncodeToString(sum[:4])
}

// ReadGossipKeys reads a file of 1 to MaxGossipKeys keys, each of GossipKeyBytes in base64 on a line of its own. Empty
// lines and those that begin with # are skipped. Only the owner may be able to read the file.
func ReadGossipKeys(path string) ([][]byte, error) {
	content, err := ReadSecretFile(path)
	if err != nil {
		return nil, err
	}
	var keys [][]byte
	number := 0
	for line := range strings.Lines(string(content)) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		// What the line holds stays out of the error: it may be a key with a slip of the pen.
		key, err := base64.StdEncoding.DecodeString(line)
		if err != nil || len(key) != GossipKeyBytes {
			return nil, fmt.Errorf("%s, line %d: want %d bytes in base64", path, number, GossipKeyBytes)
		}
		if containsKey(keys, key) {
			return nil, fmt.Errorf("%s, line %d: the key is there twice", path, number)
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 || len(keys) > MaxGossipKeys {
		return nil, fmt.Errorf("%s holds %d keys: want 1 to %d", path, len(keys), MaxGossipKeys)
	}
	return keys, nil
}
