// Package signers holds package webhook against the libraries that providers publish: what they sign is accepted, what
// they refuse is refused, and what is signed here they accept.
//
//	cd test/signers && go test .
//	cd test/signers && go test -tags npm .   # those of npm as well
//
// It is a module of its own, so that the product depends on none of these libraries.
package signers
