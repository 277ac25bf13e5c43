package webhook

import (
	"encoding/base64"
	"encoding/hex"
)

// encoding is how bytes are written in a header.
type encoding struct {
	encode func([]byte) string
	decode func(string) ([]byte, error)
}

// strictBase64 refuses stray bits after the last byte, so that only one text stands for a signature.
var strictBase64 = base64.StdEncoding.Strict()

var (
	hexText    = &encoding{hex.EncodeToString, hex.DecodeString}
	base64Text = &encoding{base64.StdEncoding.EncodeToString, strictBase64.DecodeString}
)
