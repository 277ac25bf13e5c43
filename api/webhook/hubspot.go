package webhook

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

var hubspotV3 = &scheme{
	header: "X-HubSpot-Signature-v3", hash: sha256.New, encoding: base64Text, key: rawKey,
	signed: "{method}{url}{body}{timestamp}", atHeader: "X-HubSpot-Request-Timestamp", atFormat: unixMillis,
}

const (
	hubspotSignature = "X-HubSpot-Signature"
	hubspotVersion   = "X-HubSpot-Signature-Version"
)

// verifyHubSpot verifies version 3 if it was sent, and else version 1 or 2. Those are plain hashes that begin with the
// secret: whoever has seen one can sign what he appends, but not so that the body stays JSON.
func verifyHubSpot(s Source, r Request) (int, error) {
	if !r.has(hubspotV3.header) {
		return verdict(verifyHubSpotHash(s, r))
	}
	url := s.signedURL(r)
	matched := hubspotV3.verifyURL(s, r, url)
	if decoded := hubspotV3.verifyURL(s, r, hubspotUnescape.Replace(url)); decoded != noSecret {
		matched = decoded
	}
	return verdict(matched)
}

// hubspotUnescape decodes the escapes that HubSpot decodes in a URL before it signs.
var hubspotUnescape = strings.NewReplacer(
	"%3A", ":", "%3a", ":", "%2F", "/", "%2f", "/", "%3F", "?", "%3f", "?", "%40", "@", "%21", "!", "%24", "$",
	"%27", "'", "%28", "(", "%29", ")", "%2A", "*", "%2a", "*", "%2C", ",", "%2c", ",", "%3B", ";", "%3b", ";",
)

func verifyHubSpotHash(s Source, r Request) int {
	signature, err := hex.DecodeString(r.header(hubspotSignature))
	if err != nil {
		return noSecret
	}
	signed := signedValues{method: r.Method, url: s.signedURL(r), body: r.Body}
	template := ""
	switch r.header(hubspotVersion) {
	case "v1":
		template = "{body}"
	case "v2":
		template = "{method}{url}{body}"
	default:
		return noSecret
	}
	matched := noSecret
	for i, secret := range s.Secrets {
		digest := sha256.New()
		_, _ = digest.Write([]byte(secret))
		signed.write(digest, template)
		if subtle.ConstantTimeCompare(digest.Sum(nil), signature) == 1 {
			matched = i
		}
	}
	return matched
}

// readHubSpot splits a batch. An item's eventId alone is not unique, and attemptNumber changes with every retry, so that
// the item's bytes do not repeat themselves either.
func readHubSpot(_ Source, r Request, _ int) (Receipt, error) {
	elements, err := hubspotItems(r.Body)
	if err != nil {
		return Receipt{}, err
	}
	var receipt Receipt
	for _, element := range elements {
		o, err := parseObject(element)
		if err != nil {
			return Receipt{}, err
		}
		e := Event{
			RawType: o.text("subscriptionType"), OccurredAt: o.time("occurredAt", unixMillis), Payload: element,
		}
		if id := o.scalar("eventId"); id != "" {
			e.ID = compositeID(o.scalar("portalId"), o.scalar("subscriptionId"), id, o.scalar("occurredAt"),
				o.scalar("objectId"))
		}
		receipt.Events = append(receipt.Events, e)
	}
	return receipt, nil
}

// hubspotItems takes an item that comes alone for a batch of one.
func hubspotItems(body []byte) ([]jsontext.Value, error) {
	if trimmed := bytes.TrimSpace(body); len(trimmed) == 0 || trimmed[0] != '{' {
		return parseArray(body)
	}
	item, err := parseValue(body)
	return []jsontext.Value{item}, err
}
