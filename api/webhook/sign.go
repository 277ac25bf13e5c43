package webhook

import (
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"strconv"
	"time"
)

// stripeScheme is the scheme on which several others are modelled.
var stripeScheme = &scheme{
	header: "Stripe-Signature", list: genericScheme.list, hash: genericScheme.hash, encoding: hexText, key: rawKey,
	signed: "{timestamp}.{body}",
}

// SignStripe returns the value of Stripe-Signature for a body that is sent at a time.
func SignStripe(secret string, body []byte, at time.Time) string {
	return stripeScheme.sign(secret, body, at)
}

// SignGeneric returns the value of X-Syllecta-Signature for a body that is sent at a time.
func SignGeneric(secret string, body []byte, at time.Time) string {
	return genericScheme.sign(secret, body, at)
}

// sign makes a list of one signature, whose key is the secret as it is.
func (c *scheme) sign(secret string, body []byte, at time.Time) string {
	timestamp := strconv.FormatInt(at.Unix(), 10)
	sum := c.sum([]byte(secret), signedValues{timestamp: timestamp, body: body})
	return c.list.timestamp + c.list.assign + timestamp + c.list.separator +
		c.list.signature + c.list.assign + hex.EncodeToString(sum)
}

// SignBraintree returns the body of a webhook, a form, for a notification in XML. The secret is "public key|private key".
func SignBraintree(secret string, notification []byte) []byte {
	k := parseBraintreeKeys(secret)
	payload := base64.StdEncoding.EncodeToString(notification) + "\n"
	return []byte("bt_signature=" + url.QueryEscape(k.public+"|"+hex.EncodeToString(k.sum(payload))) +
		"&bt_payload=" + url.QueryEscape(payload))
}

// SignAdyen returns the value of additionalData.hmacSignature for a NotificationRequestItem in JSON. The error says that
// the secret is not hexadecimal, or the item no object.
func SignAdyen(secret string, item []byte) (string, error) {
	key, err := hexKey(secret)
	if err != nil {
		return "", err
	}
	o, err := parseObject(item)
	if err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(adyenSum(key, o)), nil
}
