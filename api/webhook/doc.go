// Package webhook knows the webhooks of other companies: how each signs them, which of its ids makes a repetition
// recognisable, and what its types mean. It is pure: it reaches no network, reads no clock and writes no log.
//
// # The order
//
// Accept is the only way in. It verifies the signature over the bytes as they arrived, and only then reads them. What
// was not signed by the provider therefore never yields an id, and nobody else can claim an id before its owner does.
//
//	Validate    the source: is there a secret, and can it be a key of this provider
//	verify      every secret against every signature, in constant time; then the signed timestamp, if there is one
//	read        handshakes, ids, types, times and payloads
//	normalise   the provider's type in the words that all providers share
//
// # How a provider is added
//
// A line in the table of providers.go. Most sign with an HMAC and need a scheme, which is data (scheme.go), and the
// places of a few members (members.go); what does not fit has a file of its own.
//
// # What else there is
//
//	Options    what a source is told beside its secrets, as it is kept
//	Stored     what is kept of an event until it is delivered
//	Simulate   disputes that never happened, as some providers would report them
//
// # What a signature does not cover
//
// Ids that a provider sends in a header beside a signature of the body alone (Provider.IDSigned is false) can be changed
// by whoever has seen a genuine request: it would be accepted once more, as a new event. The same is true of the members
// of an Adyen item that its signature leaves out. Nothing that this package could do would mend that.
package webhook
