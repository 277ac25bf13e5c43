package webhook

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
)

const (
	sendgridSignature = "X-Twilio-Email-Event-Webhook-Signature"
	sendgridTimestamp = "X-Twilio-Email-Event-Webhook-Timestamp"
)

var errNotP256Key = errors.New("is not the base64 of a public key on P-256")

// sendgridKey decodes the verification key, as the mail settings show it.
func sendgridKey(secret string) (*ecdsa.PublicKey, error) {
	der, err := base64.StdEncoding.DecodeString(secret)
	if err != nil {
		return nil, errNotP256Key
	}
	parsed, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, errNotP256Key
	}
	key, ok := parsed.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, errNotP256Key
	}
	return key, nil
}

func checkSendGridSecret(_ Source, secret string) error {
	_, err := sendgridKey(secret)
	return err
}

// verifySendGrid verifies an ECDSA signature of the timestamp and the body, which ends with CR LF. The timestamp's age
// is checked only if the source has a tolerance: SendGrid documents none.
func verifySendGrid(s Source, r Request) (int, error) {
	signature, err := strictBase64.DecodeString(r.header(sendgridSignature))
	timestamp := r.header(sendgridTimestamp)
	if err != nil || timestamp == "" {
		return verdict(noSecret)
	}
	digest := sha256.New()
	_, _ = digest.Write([]byte(timestamp))
	_, _ = digest.Write(r.Body)
	sum := digest.Sum(nil)
	matched := noSecret
	for i, secret := range s.Secrets {
		if key, err := sendgridKey(secret); err == nil && ecdsa.VerifyASN1(key, sum, signature) {
			matched = i
		}
	}
	if s.Tolerance > 0 && !fresh(timestamp, unixSeconds, r.ReceivedAt, s.Tolerance) {
		return verdict(noSecret)
	}
	return verdict(matched)
}

// readSendGrid splits a batch, which has no id itself.
func readSendGrid(_ Source, r Request, _ int) (Receipt, error) {
	elements, err := parseArray(r.Body)
	if err != nil {
		return Receipt{}, err
	}
	var receipt Receipt
	for _, element := range elements {
		o, err := parseObject(element)
		if err != nil {
			return Receipt{}, err
		}
		receipt.Events = append(receipt.Events, Event{
			ID: o.text("sg_event_id"), RawType: o.text("event"), OccurredAt: o.time("timestamp", unixSeconds),
			Payload: element,
		})
	}
	return receipt, nil
}
