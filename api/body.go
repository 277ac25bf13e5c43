package api

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
)

// eagerBodyBytes is how much room a declared length gets before anything has arrived.
const eagerBodyBytes = 16 << 10

// checkContent refuses by the header alone what could not be read: a body that is declared too large, coded, or of
// another media type.
func checkContent(next handler) handler {
	return func(x *exchange) {
		if p := contentFault(x.r, x.route); p != nil {
			x.refuse(p)
			return
		}
		next(x)
	}
}

func contentFault(r *http.Request, rt *route) *problem {
	limit := rt.limit
	if limit == 0 || r.ContentLength == 0 {
		return nil // the body, if any, is not looked at
	}
	if r.ContentLength > limit {
		return tooLarge("the request", limit)
	}
	for _, coding := range r.Header["Content-Encoding"] {
		if coding != "" && !strings.EqualFold(coding, "identity") {
			return unsupportedMediaType.problem("the body must not be coded; it is %q", coding)
		}
	}
	if rt.ingress {
		return nil // each provider has a media type of its own
	}
	switch types := r.Header["Content-Type"]; {
	case len(types) == 0:
		return nil
	case len(types) > 1:
		return unsupportedMediaType.problem("there are two Content-Type headers")
	case types[0] == "application/json" || acceptableType(types[0]):
		return nil
	default:
		return unsupportedMediaType.problem("send application/json, not %q", types[0])
	}
}

// acceptableType reports whether JSON may come under that media type. That of an HTML form is what curl -d sends.
func acceptableType(contentType string) bool {
	mediaType, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return false
	}
	if charset, ok := params["charset"]; ok && !strings.EqualFold(charset, "utf-8") {
		return false
	}
	return mediaType == "application/json" || mediaType == "application/x-www-form-urlencoded" ||
		strings.HasSuffix(mediaType, "+json")
}

// readBody reads what the route takes.
func readBody(next handler) handler {
	return func(x *exchange) {
		if p := x.readBody(); p != nil {
			x.refuse(p)
			return
		}
		next(x)
	}
}

// readBody reads the body once. The bytes are never reused: a command may still refer to them when its caller has been
// told that the outcome is unknown.
func (x *exchange) readBody() *problem {
	limit := x.route.limit
	if x.bodyRead || limit == 0 || x.r.ContentLength == 0 {
		return nil
	}
	x.bodyRead = true
	if x.route.role == roleProvider {
		x.chargeBody()
	}
	err := x.readSized(limit)
	if errors.Is(err, errBodiesFull) {
		return busy.problem("the bodies of too many webhooks are being read; nothing was accepted")
	}
	if tooMany := (*http.MaxBytesError)(nil); errors.As(err, &tooMany) {
		return tooLarge("the request", limit)
	}
	if err != nil {
		x.err = err
		return invalidJSON.problem("the body could not be read to its end")
	}
	return nil
}

// readSized reads as much as was declared, or up to the limit if nothing was. checkContent has refused to take more.
func (x *exchange) readSized(limit int64) error {
	if n := x.r.ContentLength; n > 0 && n <= eagerBodyBytes {
		x.body = make([]byte, n)
		_, err := io.ReadFull(x.r.Body, x.body)
		return err
	}
	room := bytes.MinRead
	if x.r.ContentLength > 0 {
		room += eagerBodyBytes
	}
	b := bytes.NewBuffer(make([]byte, 0, room))
	_, err := b.ReadFrom(http.MaxBytesReader(x.ResponseWriter, x.r.Body, limit))
	x.body = b.Bytes()
	return err
}
