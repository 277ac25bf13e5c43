package webhook

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
)

// Standard Webhooks mark a secret by its prefix.
const (
	symmetricPrefix = "whsec_"
	publicPrefix    = "whpk_"
)

// standardScheme is the HMAC of Standard Webhooks, whose headers begin with "webhook-" or, at Svix, "svix-".
func standardScheme(prefix string) *scheme {
	return &scheme{
		header:   prefix + "signature",
		list:     &list{separator: " ", assign: ",", signature: "v1"},
		hash:     sha256.New,
		encoding: base64Text,
		key:      standardKey,
		signed:   "{id}.{timestamp}.{body}",
		idHeader: prefix + "id",
		atHeader: prefix + "timestamp",
	}
}

var (
	standardHMAC = standardScheme("webhook-")
	svixHMAC     = standardScheme("svix-")
)

var errPublicKey = errors.New("is a public key")

// standardKey leaves public keys to verifyStandardPublic.
func standardKey(secret string) ([]byte, error) {
	if strings.HasPrefix(secret, publicPrefix) {
		return nil, errPublicKey
	}
	return base64Key(secret)
}

// checkStandardSecret takes whsec_ and base64, or whpk_ and the base64 of an ed25519 public key.
func checkStandardSecret(_ Source, secret string) error {
	if strings.HasPrefix(secret, publicPrefix) {
		_, err := standardPublicKey(secret)
		return err
	}
	_, err := base64Key(secret)
	return err
}

func standardPublicKey(secret string) (ed25519.PublicKey, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, publicPrefix))
	if err != nil || len(key) != ed25519.PublicKeySize {
		return nil, errNotEd25519Key
	}
	return key, nil
}

// verifyStandard verifies by the headers that were sent, those of the standard first.
func verifyStandard(s Source, r Request) (int, error) {
	c := standardHMAC
	if !r.has(c.header) {
		c = svixHMAC
	}
	matched := c.verify(s, r)
	if public := c.verifyStandardPublic(s, r); public != noSecret {
		matched = public
	}
	return verdict(matched)
}

// verifyStandardPublic is verify for signatures by a private key, which are labelled v1a.
func (c *scheme) verifyStandardPublic(s Source, r Request) int {
	public := *c
	public.list = &list{separator: " ", assign: ",", signature: "v1a"}
	texts, values, ok := public.parse(r)
	if !ok {
		return noSecret
	}
	var message strings.Builder
	values.write(&message, c.signed)
	matched := noSecret
	for i, secret := range s.Secrets {
		if !strings.HasPrefix(secret, publicPrefix) {
			continue
		}
		key, err := standardPublicKey(secret)
		if err != nil {
			continue
		}
		for _, signature := range decodeAll(texts, base64Text, ed25519.SignatureSize) {
			if ed25519.Verify(key, []byte(message.String()), signature) {
				matched = i
			}
		}
	}
	if !c.fresh(s, r, values.timestamp) {
		return noSecret
	}
	return matched
}

// readStandard takes the id that was signed. The body should be an object with type and timestamp, but need not be.
func readStandard(_ Source, r Request, _ int) (Receipt, error) {
	payload, err := anyPayload(r.Body)
	if err != nil {
		return Receipt{}, err
	}
	id := r.header(standardHMAC.idHeader)
	if !r.has(standardHMAC.header) {
		id = r.header(svixHMAC.idHeader)
	}
	e := Event{ID: id, Payload: payload}
	if o, err := parseObject(r.Body); err == nil {
		e.RawType = o.text("type")
		e.OccurredAt = o.time("timestamp", rfc3339)
	}
	return oneEvent(e), nil
}
