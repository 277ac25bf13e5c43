package webhook

import (
	"crypto/sha1" // Still in use by providers; HMAC does not depend on what SHA-1 has lost.
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"hash"
	"strings"
)

// genericScheme is our own: the scheme for those who have none.
var genericScheme = &scheme{
	header: "X-Syllecta-Signature", list: &list{separator: ",", assign: "=", signature: "v1", timestamp: "t"},
	hash: sha256.New, encoding: hexText, key: rawKey, signed: "{timestamp}.{body}",
}

// HMAC describes the scheme of a provider that this package does not know. Members that are "" have the default named.
type HMAC struct {
	Hash     string `json:"hash,omitzero"`     // sha1, sha256 or sha512; default sha256
	Encoding string `json:"encoding,omitzero"` // how the signature is written: hex or base64; default hex
	Key      string `json:"key,omitzero"`      // how the secret becomes a key: raw, hex or base64; default raw
	Header   string `json:"header,omitzero"`   // the header of the signature
	Prefix   string `json:"prefix,omitzero"`   // what precedes the signature there, such as "sha256="

	// A header that is a list of labelled values, such as "t=1700000000,v1=4a5a…,v1=9b1c…", has these instead of Prefix.
	Label          string `json:"label,omitzero"`          // the label of a signature
	TimestampLabel string `json:"timestampLabel,omitzero"` // the label of {timestamp}
	Separator      string `json:"separator,omitzero"`      // between the values; default ","

	// Signed is what is signed: text in which {method}, {url}, {id}, {timestamp} and {body} are replaced; default {body}.
	// Values that meet without a text between them can be shifted into one another.
	Signed          string `json:"signed,omitzero"`
	TimestampHeader string `json:"timestampHeader,omitzero"` // the header of {timestamp}, if it is in no list
	TimestampFormat string `json:"timestampFormat,omitzero"` // unix, unix-ms or rfc3339; default unix

	IDHeader    string `json:"idHeader,omitzero"`    // the header of the event's id, and of {id}
	IDPointer   string `json:"idPointer,omitzero"`   // where the id is in the body, a JSON Pointer (RFC 6901) through objects; default /id
	IDOfBody    bool   `json:"idOfBody,omitzero"`    // the event has no id but repeats itself byte by byte
	TypeHeader  string `json:"typeHeader,omitzero"`  // the header of the event's type
	TypePointer string `json:"typePointer,omitzero"` // where the type is in the body; default /type
}

var (
	hmacHashes     = map[string]func() hash.Hash{"": sha256.New, "sha1": sha1.New, "sha256": sha256.New, "sha512": sha512.New}
	hmacEncodings  = map[string]*encoding{"": hexText, "hex": hexText, "base64": base64Text}
	hmacKeys       = map[string]keyDecoding{"": rawKey, "raw": rawKey, "hex": hexKey, "base64": base64Key}
	hmacTimestamps = map[string]timestampFormat{"": unixSeconds, "unix": unixSeconds, "unix-ms": unixMillis, "rfc3339": rfc3339}
)

// scheme checks the description and returns what it describes.
func (h *HMAC) scheme() (*scheme, error) {
	c := &scheme{
		header: h.Header, prefix: h.Prefix, signed: h.Signed, hash: hmacHashes[h.Hash],
		encoding: hmacEncodings[h.Encoding], key: hmacKeys[h.Key],
	}
	if c.signed == "" {
		c.signed = "{body}"
	}
	format, known := hmacTimestamps[h.TimestampFormat]
	c.atFormat = format
	switch {
	case h.Header == "":
		return nil, errors.New("the header of the signature is missing")
	case c.hash == nil || c.encoding == nil || c.key == nil || !known:
		return nil, errors.New("an algorithm, encoding or format is not known")
	case !isPointer(h.IDPointer) || !isPointer(h.TypePointer):
		return nil, errors.New("a JSON Pointer does not begin with a slash")
	case h.Label == "" && (h.TimestampLabel != "" || h.Separator != ""):
		return nil, errors.New("the label of the signature is missing")
	case h.Label != "" && h.Prefix != "":
		return nil, errors.New("a list of signatures has labels and no prefix")
	}
	if h.Label != "" {
		c.list = &list{separator: h.Separator, assign: "=", signature: h.Label, timestamp: h.TimestampLabel}
		if h.Separator == "" {
			c.list.separator = ","
		}
	}
	return c, h.addSigned(c)
}

// addSigned adds the headers whose values the template needs.
func (h *HMAC) addSigned(c *scheme) error {
	names, err := checkTemplate(c.signed)
	switch {
	case err != nil:
		return err
	case !names["body"]:
		return fmt.Errorf("the template %q leaves the body unsigned", c.signed)
	case names["timestamp"] && (h.TimestampHeader == "") == (h.TimestampLabel == ""):
		return errors.New("{timestamp} is nowhere, or in two places")
	case !names["timestamp"] && h.TimestampLabel != "":
		return fmt.Errorf("the template %q leaves the timestamp of the list unsigned", c.signed)
	case names["id"] && h.IDHeader == "":
		return errors.New("the header of {id} is missing")
	}
	if names["timestamp"] { // else it is not looked at
		c.atHeader = h.TimestampHeader
	}
	if names["id"] {
		c.idHeader = h.IDHeader
	}
	return nil
}

func isPointer(text string) bool { return text == "" || text[0] == '/' && len(text) > 1 }

// genericSchemeOf returns the scheme of a generic source.
func genericSchemeOf(s Source) (*scheme, error) {
	if s.HMAC == nil {
		return genericScheme, nil
	}
	return s.HMAC.scheme()
}

func configuredGeneric(s Source) error {
	_, err := genericSchemeOf(s)
	return err
}

func checkGenericSecret(s Source, secret string) error {
	c, err := genericSchemeOf(s)
	if err != nil {
		return err
	}
	_, err = c.key(secret)
	return err
}

func verifyGeneric(s Source, r Request) (int, error) {
	c, err := genericSchemeOf(s)
	if err != nil {
		return noSecret, fmt.Errorf("%w: %w", ErrNotConfigured, err)
	}
	return verdict(c.verify(s, r))
}

var readDocumented = readMembers(nil, "", members{id: "id", rawType: "type"})

func readGeneric(s Source, r Request, secret int) (Receipt, error) {
	if s.HMAC == nil {
		return readDocumented(s, r, secret)
	}
	payload, err := anyPayload(r.Body)
	if err != nil {
		return Receipt{}, err
	}
	o, err := parseObject(r.Body)
	if err != nil && s.HMAC.needsObject() {
		return Receipt{}, err
	}
	return oneEvent(Event{ID: s.HMAC.id(r, o), RawType: s.HMAC.rawType(r, o), Payload: payload}), nil
}

// needsObject reports whether the id is inside the body.
func (h *HMAC) needsObject() bool { return !h.IDOfBody && h.IDHeader == "" }

func (h *HMAC) id(r Request, o object) string {
	switch {
	case h.IDOfBody:
		return contentID(r.Body)
	case h.IDHeader != "":
		return r.header(h.IDHeader)
	default:
		return o.pointer(h.IDPointer, "id")
	}
}

func (h *HMAC) rawType(r Request, o object) string {
	if h.TypeHeader != "" {
		return r.header(h.TypeHeader)
	}
	return o.pointer(h.TypePointer, "type")
}

// pointer returns the string at a JSON Pointer through objects, or that of a member if the pointer is "".
func (o object) pointer(pointer, fallback string) string {
	if pointer == "" {
		return textOf(o[fallback])
	}
	names := strings.Split(pointer[1:], "/")
	for i := range names {
		names[i] = strings.ReplaceAll(strings.ReplaceAll(names[i], "~1", "/"), "~0", "~")
	}
	return textOf(o.member(names...))
}
