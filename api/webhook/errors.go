package webhook

import "errors"

var (
	// ErrInvalidSignature means that the provider did not send this, or not now. Which part failed is told to nobody.
	ErrInvalidSignature = errors.New("webhook: invalid signature")
	// ErrUnreadable means that the signature is good but the body is not what the provider documents.
	ErrUnreadable = errors.New("webhook: the body cannot be read")
	// ErrMissingID means that the signature is good but there is no id, or not just one, to recognise a repetition by.
	ErrMissingID = errors.New("webhook: the event has no id")
	// ErrNotConfigured means that no request can be verified: the provider is not known, or its secrets are missing or
	// cannot be keys. It says nothing about the request.
	ErrNotConfigured = errors.New("webhook: the source is not configured")
	// ErrUnavailable means that what is needed to verify could not be had this time. The provider should try again.
	ErrUnavailable = errors.New("webhook: the signature cannot be verified now")
)
