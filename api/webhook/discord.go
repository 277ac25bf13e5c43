package webhook

import (
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"
	"time"
)

const (
	discordSignature = "X-Signature-Ed25519"
	discordTimestamp = "X-Signature-Timestamp"
)

var errNotEd25519Key = errors.New("is not an ed25519 public key")

// discordKey decodes the application's public key, as the developer portal shows it.
func discordKey(secret string) (ed25519.PublicKey, error) {
	key, err := hex.DecodeString(secret)
	if err != nil || len(key) != ed25519.PublicKeySize {
		return nil, errNotEd25519Key
	}
	return key, nil
}

func checkDiscordSecret(_ Source, secret string) error {
	_, err := discordKey(secret)
	return err
}

// verifyDiscord checks the timestamp's age only if the source has a tolerance: Discord documents none.
func verifyDiscord(s Source, r Request) (int, error) {
	signature, err := hex.DecodeString(r.header(discordSignature))
	timestamp := r.header(discordTimestamp)
	if err != nil || len(signature) != ed25519.SignatureSize || timestamp == "" {
		return verdict(noSecret)
	}
	message := append([]byte(timestamp), r.Body...)
	matched := noSecret
	for i, secret := range s.Secrets {
		if key, err := discordKey(secret); err == nil && ed25519.Verify(key, message, signature) {
			matched = i
		}
	}
	if s.Tolerance > 0 && !fresh(timestamp, unixSeconds, r.ReceivedAt, s.Tolerance) {
		return verdict(noSecret)
	}
	return verdict(matched)
}

// readDiscord reads interactions, which have an id, and webhook events, which have none. Both are numbered by type, and
// 1 is a ping among interactions but an event among webhook events, whose ping is 0.
func readDiscord(_ Source, r Request, _ int) (Receipt, error) {
	o, err := parseObject(r.Body)
	if err != nil {
		return Receipt{}, err
	}
	payload, err := parseValue(r.Body)
	if err != nil {
		return Receipt{}, err
	}
	kind := o.scalar("type")
	switch {
	case o.value("event") != nil:
		return oneEvent(Event{
			ID: contentID(r.Body), RawType: o.text("event.type"), OccurredAt: o.time("event.timestamp", rfc3339),
			Payload: payload,
		}), nil
	case kind == "0":
		return Receipt{Handshake: true, Answer: Answer{Status: http.StatusNoContent}}, nil
	case kind == "1":
		return Receipt{Handshake: true, Answer: jsonAnswer([]byte(`{"type":1}`))}, nil
	default:
		id := o.text("id")
		return oneEvent(Event{ID: id, RawType: "interaction." + kind, OccurredAt: snowflakeTime(id), Payload: payload}), nil
	}
}

// discordEpoch is the first second of 2015 in Unix milliseconds, from which Discord's ids count.
const discordEpoch = 1_420_070_400_000

// snowflakeTime returns when an id was made: its upper 42 bits are milliseconds.
func snowflakeTime(id string) time.Time {
	n, err := strconv.ParseUint(id, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMilli(int64(n>>22) + discordEpoch).UTC()
}
