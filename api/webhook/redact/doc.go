// Package redact takes out of payloads what must not be kept or shown: card data, accounts, credentials, and how to reach
// people. What it leaves is meant for finding out what happened to an event; it is not anonymous.
//
// # Two kinds of rules
//
//	names    (names.go)            what a member is called decides, whatever its value looks like
//	values   (values.go, card.go,  what a text looks like decides, wherever it stands: in members of any name, in names,
//	          iban.go)             and in JSON within texts
//
// A value that a rule meets becomes Redacted as a whole: what is left around a match might still tell. Of an address
// with parameters, the parameters' values alone do. All else stays as it is, byte for byte: order, space and digits.
// What was redacted stays the same if it is redacted again.
//
// # What it cannot know
//
// Secrets without a telling name or form, what is encoded (base64, compressed) or cut in pieces, names of people, and
// pictures. Nothing that was redacted is therefore public.
package redact
