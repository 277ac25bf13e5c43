package signers

import (
	"errors"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"github.com/syllecta/syllecta/api/webhook"
)

const rounds = 2000

// now is when everything is received.
var now = time.Unix(1_700_000_000, 0)

func request(body []byte, headers http.Header) webhook.Request {
	return webhook.Request{
		Method: http.MethodPost, URL: "https://in.example/hook", Header: headers, Body: body, ReceivedAt: now,
	}
}

// verified reports whether the signature was accepted, whatever the body may be.
func verified(t *testing.T, s webhook.Source, r webhook.Request) bool {
	t.Helper()
	_, err := webhook.Accept(s, r)
	if err != nil && !errors.Is(err, webhook.ErrInvalidSignature) && !errors.Is(err, webhook.ErrUnreadable) &&
		!errors.Is(err, webhook.ErrMissingID) {
		t.Fatal(err)
	}
	return !errors.Is(err, webhook.ErrInvalidSignature)
}

// source is the same in every run, so that a failure can be seen again.
func source() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

// text returns up to n characters of an alphabet.
func text(r *rand.Rand, alphabet string, n int) string {
	runes := []rune(alphabet)
	out := make([]rune, r.IntN(n+1))
	for i := range out {
		out[i] = runes[r.IntN(len(runes))]
	}
	return string(out)
}

const bodyAlphabet = "{}[]\":,.abc019 \n\té♥\x00"
