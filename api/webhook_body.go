package api

import (
	"errors"
	"io"
)

// maxWebhookBytes bounds the bodies of all webhooks that are being read or decided. Anybody can send some, and nobody is
// known before the last byte of it is here. Bodies above smallWebhookBytes, as few providers send them, leave a quarter to
// the others: so it takes more than a hundred strangers that send most of one, and then nothing, to keep all others out.
const (
	maxWebhookBytes      = 128 << 20
	maxLargeWebhookBytes = maxWebhookBytes / 4 * 3
	smallWebhookBytes    = 64 << 10
)

var errBodiesFull = errors.New("too many bytes of webhooks are being read")

// chargeBody has the request's body count for the bound, as it arrives: what is only declared costs nobody anything.
func (x *exchange) chargeBody() {
	x.r.Body = &chargedBody{x.r.Body, x}
}

// chargedBody is a body whose bytes are counted.
type chargedBody struct {
	io.ReadCloser
	x *exchange
}

func (b *chargedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.x.charged += int64(n)
	limit := int64(maxWebhookBytes)
	if b.x.charged > smallWebhookBytes {
		limit = maxLargeWebhookBytes
	}
	if b.x.s.webhookBytes.Add(int64(n)) > limit {
		return 0, errBodiesFull
	}
	return n, err
}
