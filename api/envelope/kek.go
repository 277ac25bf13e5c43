package envelope

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/syllecta/syllecta/cluster"
)

const (
	// KEKBytes is the length of a key-encryption key: AES-256.
	KEKBytes = 32
	// MaxKEKs bounds a file of key-encryption keys. During a rotation it holds two.
	MaxKEKs = 8
	// MaxKEKIDBytes bounds the id of a key-encryption key.
	MaxKEKIDBytes = 64

	kekIDPrefix      = "kek_"
	kekIDRandomBytes = 4
)

var kekIDPattern = regexp.MustCompile(fmt.Sprintf(`^[A-Za-z0-9][A-Za-z0-9._-]{0,%d}$`, MaxKEKIDBytes-1))

// KEKs are key-encryption keys, of which the first is current: it wraps, and all of them unwrap. They never change, and
// may be used by several goroutines at a time. The nil KEKs has none.
type KEKs struct{ keys []kek }

type kek struct {
	id   string
	aead cipher.AEAD // puts a random nonce in front
}

// LoadKEKs reads a file of key-encryption keys, which only its owner may be able to read or write. ParseKEKs says what
// is in it.
func LoadKEKs(path string) (*KEKs, error) {
	content, err := cluster.ReadSecretFile(path)
	if err != nil {
		return nil, err
	}
	keks, err := ParseKEKs(content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return keks, nil
}

// ParseKEKs reads 1 to MaxKEKs lines of the form id:key. The id is 1 to MaxKEKIDBytes letters, digits, dots, dashes or
// underscores, a letter or digit first; the key is KEKBytes in base64. No id and no key may be there twice. Empty lines
// and those that begin with # are skipped. Errors name the line and show nothing of it but the id.
func ParseKEKs(content []byte) (*KEKs, error) {
	var lines kekLines
	number := 0
	for line := range strings.Lines(string(content)) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if err := lines.add(number, line); err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
	}
	if len(lines.keks.keys) == 0 {
		return nil, fmt.Errorf("it holds no key-encryption key: want 1 to %d lines of the form id:key", MaxKEKs)
	}
	return &lines.keks, nil
}

// kekLines are the lines read so far. Secrets and numbers go with keks.keys.
type kekLines struct {
	keks    KEKs
	secrets [][]byte
	numbers []int
}

func (l *kekLines) add(number int, line string) error {
	id, secret, err := parseKEKLine(line)
	if err != nil {
		return err
	}
	for i, other := range l.keks.keys {
		if other.id == id {
			return fmt.Errorf("the id %s is that of line %d already", id, l.numbers[i])
		}
		if subtle.ConstantTimeCompare(l.secrets[i], secret) == 1 {
			return fmt.Errorf("the key of %s is that of %s in line %d already", id, other.id, l.numbers[i])
		}
	}
	if len(l.secrets) == MaxKEKs {
		return fmt.Errorf("there are more than %d key-encryption keys", MaxKEKs)
	}
	l.keks.keys = append(l.keks.keys, kek{id: id, aead: gcm(secret)})
	l.secrets, l.numbers = append(l.secrets, secret), append(l.numbers, number)
	return nil
}

func parseKEKLine(line string) (id string, secret []byte, err error) {
	// What stands where the id is expected stays out of the error unless it is one: it may be a key.
	id, text, found := strings.Cut(line, ":")
	if !found {
		return "", nil, errors.New("want id:key")
	}
	if id = strings.TrimSpace(id); !kekIDPattern.MatchString(id) {
		return "", nil, fmt.Errorf("the id before the colon must be 1 to %d letters, digits, dots, dashes or underscores, a "+
			"letter or digit first", MaxKEKIDBytes)
	}
	secret, err = base64.StdEncoding.Strict().DecodeString(strings.TrimSpace(text))
	if err != nil {
		return "", nil, fmt.Errorf("the key of %s is not in base64; want %d bytes", id, KEKBytes)
	}
	if len(secret) != KEKBytes {
		return "", nil, fmt.Errorf("the key of %s has %d bytes; want %d in base64", id, len(secret), KEKBytes)
	}
	return id, secret, nil
}

// NewKEK draws a key-encryption key, and returns the line of a file that holds it, without a newline.
func NewKEK() (id, line string) {
	var random [kekIDRandomBytes + KEKBytes]byte
	_, _ = rand.Read(random[:]) // never fails (crypto/rand)
	id = kekIDPrefix + hex.EncodeToString(random[:kekIDRandomBytes])
	return id, id + ":" + base64.StdEncoding.EncodeToString(random[kekIDRandomBytes:])
}

// IDs returns the ids of the keys, the current one first.
func (k *KEKs) IDs() []string {
	if k == nil {
		return nil
	}
	ids := make([]string, len(k.keys))
	for i, key := range k.keys {
		ids[i] = key.id
	}
	return ids
}

// current returns the key that wraps.
func (k *KEKs) current() (kek, error) {
	if k == nil {
		return kek{}, fmt.Errorf("%w: this node was given none", ErrNoKEK)
	}
	return k.keys[0], nil
}

// named returns the key of that id.
func (k *KEKs) named(id string) (kek, error) {
	if k == nil {
		return kek{}, &MissingKEKError{ID: id}
	}
	i := slices.IndexFunc(k.keys, func(key kek) bool { return key.id == id })
	if i < 0 {
		return kek{}, &MissingKEKError{ID: id, HasOthers: true}
	}
	return k.keys[i], nil
}

// Format keeps keys out of whatever is printed, with any verb.
func (k KEKs) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "key-encryption keys %s", strings.Join(k.IDs(), " "))
}

// gcm returns AES-256-GCM that draws its nonces and puts them in front.
func gcm(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err == nil {
		var aead cipher.AEAD
		if aead, err = cipher.NewGCMWithRandomNonce(block); err == nil {
			return aead
		}
	}
	panic("a key of 32 bytes is always good: " + err.Error())
}
