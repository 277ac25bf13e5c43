package webhook

import (
	"crypto/sha256"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// adyenHeader is the scheme of Adyen's platform and management webhooks, which sign the body.
var adyenHeader = &scheme{
	header: "HmacSignature", hash: sha256.New, encoding: base64Text, key: hexKey, signed: "{body}",
}

// adyenSignedMembers are what an item's signature covers, in its order. The rest of an item is not signed.
var adyenSignedMembers = []string{
	"pspReference", "originalReference", "merchantAccountCode", "merchantReference", "amount.value",
	"amount.currency", "eventCode", "success",
}

// verifyAdyen verifies the body by the header if that was sent, else every item by its own signature. One secret must
// have signed all of them.
func verifyAdyen(s Source, r Request) (int, error) {
	if r.has(adyenHeader.header) {
		return verdict(adyenHeader.verify(s, r))
	}
	items, err := adyenItems(r.Body)
	if err != nil || len(items) == 0 {
		return verdict(noSecret)
	}
	matched := noSecret
	for i, secret := range s.Secrets {
		key, err := hexKey(secret)
		if err != nil {
			continue
		}
		good := 0
		for _, item := range items {
			signature := decodeAll([]string{item.text("additionalData.hmacSignature")}, base64Text, sha256.Size)
			if matchesAny(adyenSum(key, item.object), signature) {
				good++
			}
		}
		if good == len(items) {
			matched = i
		}
	}
	return verdict(matched)
}

func adyenSum(key []byte, item object) []byte {
	parts := make([]string, len(adyenSignedMembers))
	for i, path := range adyenSignedMembers {
		parts[i] = item.scalar(path)
	}
	mac := newMAC(sha256.New, key)
	_, _ = mac.Write([]byte(strings.Join(parts, ":")))
	return mac.Sum(nil)
}

// adyenItem is one notification of a batch.
type adyenItem struct {
	object
	raw jsontext.Value
}

// adyenItems returns the items of a batch; none if the body is no batch.
func adyenItems(body []byte) ([]adyenItem, error) {
	o, err := parseObject(body)
	if err != nil || o["notificationItems"] == nil {
		return nil, err
	}
	elements, err := parseArray(o["notificationItems"])
	if err != nil {
		return nil, err
	}
	items := make([]adyenItem, len(elements))
	for i, element := range elements {
		wrapper, err := parseObject(element)
		if err != nil {
			return nil, err
		}
		items[i].raw = wrapper["NotificationRequestItem"]
		if items[i].object, err = parseObject(items[i].raw); err != nil {
			return nil, err
		}
	}
	return items, nil
}

// readAdyen splits a batch. An item is known by the payment, by what became of it and by whether that succeeded. Adyen
// repeats what is not answered with "[accepted]".
func readAdyen(_ Source, r Request, _ int) (Receipt, error) {
	receipt := Receipt{Answer: plainAnswer("[accepted]")}
	items, err := adyenItems(r.Body)
	if err != nil {
		return Receipt{}, err
	}
	for _, item := range items {
		e := Event{
			RawType: item.text("eventCode"), OccurredAt: item.time("eventDate", rfc3339), Payload: item.raw,
		}
		success := item.scalar("success")
		e.Type = adyenTypes.normalise(e.RawType, success)
		if reference := item.text("pspReference"); reference != "" {
			e.ID = compositeID(reference, e.RawType, success)
		}
		receipt.Events = append(receipt.Events, e)
	}
	if len(items) > 0 {
		return receipt, nil
	}
	e, err := readAdyenPlatform(r.Body)
	receipt.Events = []Event{e}
	return receipt, err
}

// readAdyenPlatform reads a webhook whose header signs it. The same object is reported again whenever it changes, so
// its id is no event's id: the body is.
func readAdyenPlatform(body []byte) (Event, error) {
	o, err := parseObject(body)
	if err != nil {
		return Event{}, err
	}
	payload, err := parseValue(body)
	if err != nil {
		return Event{}, err
	}
	return Event{
		ID: contentID(body), RawType: o.text("type"), OccurredAt: o.time("timestamp", rfc3339), Payload: payload,
	}, nil
}
