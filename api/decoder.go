package api

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"strconv"
	"sync"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/syllecta/syllecta/fsm"
)

// maxDepth bounds the nesting of a request's JSON; the root object is the first level.
const maxDepth = 64

// decoder reads JSON objects strictly. jsontext refuses duplicate members, bytes that are not UTF-8 and lone
// surrogates; the decoder adds the limits, and names the field that is at fault. Members it does not know are skipped,
// so that a client of a later version works; a known name in other letters is such a member.
type decoder struct {
	json jsontext.Decoder
	buf  bytes.Buffer
	data []byte
	path string // what precedes a field's name in a detail, such as "records[3]."
}

// optionalInt is an integer member that may be absent.
type optionalInt struct {
	value int64
	set   bool
}

func (o optionalInt) or(fallback int64) int64 {
	if o.set {
		return o.value
	}
	return fallback
}

var decoders = sync.Pool{New: func() any { return new(decoder) }}

// decodeObject walks the one object that data must be.
func decodeObject(data []byte, member func(d *decoder, name []byte) *problem) *problem {
	if tooDeep(data) {
		return invalidJSON.problem("the body is nested deeper than %d levels", maxDepth)
	}
	d := decoders.Get().(*decoder)
	defer d.free()
	d.data = data
	d.buf = *bytes.NewBuffer(data) // jsontext reads a bytes.Buffer in place
	d.json.Reset(&d.buf)
	if k := d.json.PeekKind(); k != jsontext.KindBeginObject && k != jsontext.KindInvalid {
		return invalidJSON.problem("the body is not an object")
	}
	if p := d.object(member); p != nil {
		return p
	}
	if _, err := d.json.ReadToken(); err != io.EOF {
		return invalidJSON.problem("there is something after the end of the object")
	}
	return nil
}

// free gives d back without keeping the request's bytes alive.
func (d *decoder) free() {
	d.data, d.path = nil, ""
	d.buf = bytes.Buffer{}
	d.json.Reset(&d.buf)
	decoders.Put(d)
}

// tooDeep tells before parsing. On text that is not JSON it may be wrong either way; the parser refuses that.
func tooDeep(data []byte) bool {
	depth, inString := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

// object calls member for each member of the object that comes next; member must read the value.
func (d *decoder) object(member func(d *decoder, name []byte) *problem) *problem {
	if _, err := d.json.ReadToken(); err != nil {
		return d.syntax(err)
	}
	for d.json.PeekKind() != jsontext.KindEndObject {
		raw, err := d.json.ReadValue()
		if err != nil {
			return d.syntax(err)
		}
		if p := member(d, unquote(raw)); p != nil {
			return p
		}
	}
	_, err := d.json.ReadToken()
	return d.syntax(err)
}

// unquote returns the text of a JSON string that was checked, in place if nothing is escaped.
func unquote(raw jsontext.Value) []byte {
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1]
	}
	text, _ := jsontext.AppendUnquote(nil, raw) // cannot fail: the decoder has read raw as a string
	return text
}

// syntax says what is wrong with the text, and where.
func (d *decoder) syntax(err error) *problem {
	if err == nil {
		return nil
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return invalidJSON.problem("the body ends too early, after %d bytes", len(d.data))
	}
	if s := (*jsontext.SyntacticError)(nil); errors.As(err, &s) {
		return invalidJSON.problem("at byte %d: %v", s.ByteOffset, s.Err)
	}
	return invalidJSON.problem("%v", err)
}

// skip passes over the value of a member that is not known.
func (d *decoder) skip() *problem { return d.syntax(d.json.SkipValue()) }

// null passes over a null, which for an optional member is the same as leaving it out.
func (d *decoder) null() (bool, *problem) {
	if d.json.PeekKind() != jsontext.KindNull {
		return false, nil
	}
	_, err := d.json.ReadToken()
	return true, d.syntax(err)
}

// expect refuses a next value of another kind, as a field that is not valid if it is valid JSON at all.
func (d *decoder) expect(name string, kind jsontext.Kind, want string) *problem {
	if k := d.json.PeekKind(); k == kind {
		return nil
	}
	if p := d.skip(); p != nil {
		return p
	}
	return d.invalid(name, "is not "+want)
}

// value reads the next value, which must be of the given kind. It is nil, without a problem, for a null.
func (d *decoder) value(name string, kind jsontext.Kind, want string) (jsontext.Value, *problem) {
	if isNull, p := d.null(); isNull || p != nil {
		return nil, p
	}
	if p := d.expect(name, kind, want); p != nil {
		return nil, p
	}
	raw, err := d.json.ReadValue()
	return raw, d.syntax(err)
}

// text reads a string of 1 to limit bytes without control characters.
func (d *decoder) text(dst *string, name string, limit int) *problem {
	raw, p := d.value(name, jsontext.KindString, "a string")
	if raw == nil || p != nil {
		return p
	}
	s := string(unquote(raw))
	if fault := textFault(s, limit); fault != "" {
		return d.invalid(name, fault)
	}
	*dst = s
	return nil
}

// integer reads an integer between low and high. Nothing is converted: "5", 5.0 and 5e0 are not integers here.
func (d *decoder) integer(dst *optionalInt, name string, low, high int64) *problem {
	raw, p := d.value(name, jsontext.KindNumber, "an integer")
	if raw == nil || p != nil {
		return p
	}
	n, err := strconv.ParseInt(string(raw), 10, 64)
	switch {
	case errors.Is(err, strconv.ErrSyntax):
		return d.invalid(name, "is not an integer written without a fraction or exponent")
	case err != nil || n < low || n > high:
		return d.invalid(name, "is not between "+strconv.FormatInt(low, 10)+" and "+strconv.FormatInt(high, 10))
	}
	*dst = optionalInt{n, true}
	return nil
}

// token reads a holder's token: 32 hexadecimal digits.
func (d *decoder) token(dst *fsm.Token, name string) *problem {
	raw, p := d.value(name, jsontext.KindString, "a string")
	if raw == nil || p != nil {
		return p
	}
	text := unquote(raw)
	var t fsm.Token
	if len(text) == hex.EncodedLen(len(t)) {
		if _, err := hex.Decode(t[:], text); err == nil && !t.IsZero() {
			*dst = t
			return nil
		}
	}
	return d.invalid(name, "is not a token as a grant carries it, 32 hexadecimal digits")
}

// verbatim reads any value as it was written; nil for a null.
func (d *decoder) verbatim() ([]byte, *problem) {
	if isNull, p := d.null(); isNull || p != nil {
		return nil, p
	}
	raw, err := d.json.ReadValue()
	return raw[:len(raw):len(raw)], d.syntax(err)
}

func (d *decoder) invalid(name, fault string) *problem {
	return invalidField.problem("%s%s %s", d.path, name, fault)
}
