package api

import (
	"errors"
	"io"
)

// maxWebhookBytes bounds the bodies of all webhooks that are being read or decided. Anybody can send some, and nobody is
// known before the last byte of it is here.
const maxWebhookBytes = 128 << 20

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
	if b.x.s.webhookBytes.Add(int64(n)) > maxWebhookBytes {
		return 0, errBodiesFull
	}
	return n, err
}
