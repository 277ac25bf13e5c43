// Package envelope encrypts what must be readable again: the secrets of webhook sources, and payloads. The state
// machine, and with it the log, snapshots and backups, see ciphertext only.
//
// # The keys
//
//	key-encryption key (KEK)   in a file that the operator gives to every node; never in the log
//	data key                   one per tenant, drawn when it is first needed; in the log, wrapped by a KEK
//	message key                one per message, derived from the data key; nowhere
//
// All encryption is AES-256-GCM with random nonces. A random nonce of 96 bits is good for 2^32 messages under one key,
// which a busy tenant reaches in weeks. So nothing is encrypted under a data key itself: each message has a key of its
// own, derived from the data key and 16 random bytes that go with the message, by HKDF-SHA-256 (RFC 5869).
//
// # What is bound to what
//
// A wrapped data key opens for its tenant only, and what was sealed opens under that key for its purpose only: neither
// can be put in the place of another by somebody who can write to the log but has no KEK. Tenants are told apart by their
// public ids, which are drawn at random and never given twice, in any cluster. The cluster's id is no part of it: a
// backup is restored into a cluster of another id, and must be readable there.
//
// # Rotation
//
// The first KEK of the file is current and wraps, all of them unwrap. A new one goes in front, on all nodes; the old one
// stays until nothing is wrapped under it any more (Rewrap), neither in the state nor in a backup that may be needed. What
// is sealed under data keys is not touched by that.
//
//	KEKs.Unwrap   knows by the id that goes with a wrapped key which KEK to use
//	Vault         follows the file, and remembers unwrapped keys
package envelope
