package webhook

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// object holds the members of a JSON object, each as it was written: numbers keep their digits.
type object map[string]jsontext.Value

var (
	errNotObject  = errors.New("not an object")
	errNotArray   = errors.New("not an array")
	errDuplicate  = errors.New("a member is given twice")
	errNotUTF8    = errors.New("not UTF-8")
	errTrailing   = errors.New("something follows the end of the JSON value")
	errTooManyIDs = fmt.Errorf("more than %d events", MaxEvents)
)

// MaxEvents bounds the events of one request.
const MaxEvents = 1000

// newJSONDecoder reads what providers write: members that are given twice, where we do not read them, and halves of
// surrogate pairs, which stay in texts that were cut, are passed on as they are. Values are slices of raw: jsontext
// reads a bytes.Buffer in place.
func newJSONDecoder(raw []byte) *jsontext.Decoder {
	return jsontext.NewDecoder(bytes.NewBuffer(raw), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

// parseValue returns the one JSON value that raw holds, without the space around it.
func parseValue(raw []byte) (jsontext.Value, error) {
	if !utf8.Valid(raw) {
		return nil, fmt.Errorf("%w: %w", ErrUnreadable, errNotUTF8)
	}
	d := newJSONDecoder(raw)
	value, err := d.ReadValue()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	if len(bytes.Trim(raw[d.InputOffset():], " \t\r\n")) > 0 {
		return nil, fmt.Errorf("%w: %w", ErrUnreadable, errTrailing)
	}
	return value[:len(value):len(value)], nil
}

// parseObject reads the members of an object. A member that is given twice is refused at this level: two readers may
// take two different ones for the event's id.
func parseObject(raw []byte) (object, error) {
	value, err := parseValue(raw)
	if err != nil {
		return nil, err
	}
	if value.Kind() != jsontext.KindBeginObject {
		return nil, fmt.Errorf("%w: %w", ErrUnreadable, errNotObject)
	}
	d := newJSONDecoder(value)
	if _, err := d.ReadToken(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	o := object{}
	for d.PeekKind() != jsontext.KindEndObject {
		name, err := d.ReadToken()
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrUnreadable, err)
		}
		key := name.String()
		member, err := d.ReadValue()
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrUnreadable, err)
		}
		if _, twice := o[key]; twice {
			return nil, fmt.Errorf("%w: %w", ErrUnreadable, errDuplicate)
		}
		o[key] = member[:len(member):len(member)]
	}
	return o, nil
}

// parseArray reads the elements of an array of at most MaxEvents.
func parseArray(raw []byte) ([]jsontext.Value, error) {
	value, err := parseValue(raw)
	if err != nil {
		return nil, err
	}
	if value.Kind() != jsontext.KindBeginArray {
		return nil, fmt.Errorf("%w: %w", ErrUnreadable, errNotArray)
	}
	d := newJSONDecoder(value)
	if _, err := d.ReadToken(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	var elements []jsontext.Value
	for d.PeekKind() != jsontext.KindEndArray {
		element, err := d.ReadValue()
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrUnreadable, err)
		}
		if len(elements) == MaxEvents {
			return nil, fmt.Errorf("%w: %w", ErrUnreadable, errTooManyIDs)
		}
		elements = append(elements, element[:len(element):len(element)])
	}
	return elements, nil
}

// value returns the member at a path of names separated by dots; nil if there is none, or not just one.
func (o object) value(path string) jsontext.Value {
	return o.member(strings.Split(path, ".")...)
}

func (o object) member(names ...string) jsontext.Value {
	for i, name := range names {
		value, ok := o[name]
		if !ok {
			return nil
		}
		if i == len(names)-1 {
			return value
		}
		var err error
		if o, err = parseObject(value); err != nil {
			return nil
		}
	}
	return nil
}

// text returns the string at a path; "" if there is none.
func (o object) text(path string) string { return textOf(o.value(path)) }

// scalar returns the string, the integer or the boolean at a path as text; "" if there is none.
func (o object) scalar(path string) string { return scalarOf(o.value(path)) }

// time returns the point in time at a path; zero if there is none.
func (o object) time(path string, f timestampFormat) time.Time {
	return f.timeOrZero(o.scalar(path))
}

func textOf(value jsontext.Value) string {
	if value.Kind() != jsontext.KindString {
		return ""
	}
	text, err := jsontext.AppendUnquote(nil, value)
	if err != nil {
		return "" // half a surrogate pair, which stands for no text
	}
	return string(text)
}

func scalarOf(value jsontext.Value) string {
	switch value.Kind() {
	case jsontext.KindString:
		return textOf(value)
	case jsontext.KindTrue, jsontext.KindFalse:
		return string(value)
	case jsontext.KindNumber:
		if bytes.ContainsAny(value, ".eE") {
			return ""
		}
		return string(value)
	default:
		return ""
	}
}

// anyPayload is for bodies whose form the receiver chose: JSON stays what it is, any other text becomes a string.
func anyPayload(body []byte) ([]byte, error) {
	if value, err := parseValue(body); err == nil {
		return value, nil
	}
	if !utf8.Valid(body) {
		return nil, fmt.Errorf("%w: %w", ErrUnreadable, errNotUTF8)
	}
	return quote(string(body)), nil
}

// quote writes a JSON string. What is not UTF-8 becomes U+FFFD.
func quote(text string) []byte {
	quoted, _ := jsontext.AppendQuote(nil, text)
	return quoted
}
