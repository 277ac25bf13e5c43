// Package api is the HTTP edge: it routes, authenticates, limits and decodes a request, hands one command or read to
// the node, and writes the answer. What a command means is decided below; nothing in here holds state of its own but
// the token buckets of its limits.
//
// # A request's way
//
//	Server.ServeHTTP   request id, common headers, observation, refusal of paths that are not in their plain form
//	httprouter         one table of routes; every route names its role and its body limit
//	limitAddress       429 for an address that sends too many requests, if that is limited
//	requireNode        503 until a node is attached
//	checkContent       coding, media type and declared length, before anything is read
//	authenticate       API key, admin token, or the ticket of a node that sent the caller here; 429 for an address whose
//	                   credentials keep being refused
//	authorize          the scope that the route asks of an API key
//	readBody           the bounded body
//	the handler        decode → a claim's token from the bucket of its API key → exchange.onLeader → answer
//
// # Followers
//
// A write or a linearizable read that meets a follower is redirected (307) or forwarded to the leader, as configured.
// Plain HTTP clients drop Authorization when a redirect changes the host or port, so the Location carries a ticket: a
// proof by the redirecting node, good for ten seconds and for exactly that request. Forwarding takes one hop at most.
//
// # Webhooks
//
// Providers follow no redirect, so what they send is always forwarded, with all header fields, the bytes of the body, and
// the URL that was called, which some of them sign. The leader does the rest, in this order:
//
//	receiveWebhook   the tenant of the key or of the path, and its source
//	openSource       the source's secrets, decrypted
//	webhook.Accept   the signature over the bytes; only then ids, types and times
//	Propose          one entry accepts what is new and counts what is not; payloads are encrypted before
//	answerWebhook    the documented answer, or the one that the provider wants
//
// A follower verifies nothing itself: its clock, and the secrets it knows of, may not be the leader's, and what it
// refused wrongly a provider might never send again. So it passes on what strangers send, within bounds: of a body, of
// all bodies at a time, of requests at a time, and of the time that each may take.
//
// A simulated dispute takes the same way from openSource on.
//
// # Errors
//
// Every refusal is an RFC 9457 problem whose code is listed in errors.go, the only place where codes are made.
package api
