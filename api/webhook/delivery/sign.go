package delivery

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
)

// secretPrefix marks a signing secret (Standard Webhooks).
const secretPrefix = "whsec_"

var errSigningSecret = errors.New("the signing secret is not whsec_ and base64")

// signingKey returns the key of a signing secret in the form in which its owner has it.
func signingKey(secret []byte) ([]byte, error) {
	text, ok := strings.CutPrefix(string(secret), secretPrefix)
	key, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil || len(key) == 0 {
		return nil, errSigningSecret
	}
	return key, nil
}

// signatures returns the value of webhook-signature (Standard Webhooks): a signature under each key, in their order. A
// receiver takes what any of them verifies.
func signatures(keys [][]byte, id string, unixSeconds int64, body []byte) string {
	all := make([]string, len(keys))
	for i, key := range keys {
		all[i] = signature(key, id, unixSeconds, body)
	}
	return strings.Join(all, " ")
}

// signature returns one of them (symmetric).
func signature(key []byte, id string, unixSeconds int64, body []byte) string {
	mac := hmac.New(sha256.New, key)
	mac.Write(strconv.AppendInt([]byte(id+"."), unixSeconds, 10))
	mac.Write([]byte("."))
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
