package redact

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Redacted stands where something was taken out.
const Redacted = redactedPrefix + "]"

const redactedPrefix = "[redacted"

// maxDepth bounds how deep objects and arrays are looked into, those in texts included. What lies deeper is taken out.
const maxDepth = 64

var quotedRedacted = []byte(`"` + Redacted + `"`)

var errTrailing = errors.New("something follows the end of the JSON value")

// JSON returns a payload without what is sensitive in it, see the package. What is not one JSON value is taken out as a
// whole. The result is JSON of its own memory.
func JSON(payload []byte) []byte {
	out, err := redactJSON(payload, 0)
	if err != nil {
		return bytes.Clone(quotedRedacted)
	}
	return out
}

// redactJSON redacts one JSON value that lies at a depth.
func redactJSON(src []byte, depth int) ([]byte, error) {
	// jsontext reads a bytes.Buffer in place: what it returns are slices of src.
	w := walker{src: src, in: jsontext.NewDecoder(bytes.NewBuffer(src),
		jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))}
	if err := w.value(place{}, depth); err != nil {
		return nil, err
	}
	if len(bytes.Trim(src[w.in.InputOffset():], " \t\r\n")) > 0 {
		return nil, errTrailing
	}
	return append(w.out, src[w.done:]...), nil
}

// walker copies a JSON value from src to out, but for what it replaces.
type walker struct {
	src  []byte
	in   *jsontext.Decoder
	out  []byte
	done int // how much of src is in out, or replaced
}

// place is where a value stands.
type place struct {
	parent, name label
	rule         rule
}

// value copies the next value.
func (w *walker) value(at place, depth int) error {
	switch kind := w.in.PeekKind(); kind {
	case jsontext.KindBeginObject, jsontext.KindBeginArray:
		if depth >= maxDepth {
			return w.replace(func([]byte) ([]byte, bool) { return quotedRedacted, true })
		}
		if _, err := w.in.ReadToken(); err != nil {
			return err
		}
		if kind == jsontext.KindBeginArray {
			return w.elements(at, depth+1)
		}
		return w.members(at, depth+1)
	case jsontext.KindString:
		return w.replace(func(raw []byte) ([]byte, bool) { return redactString(raw, at.rule, depth) })
	case jsontext.KindNumber:
		return w.replace(func(raw []byte) ([]byte, bool) {
			return quotedRedacted, at.rule == everything || isCardAsNumber(raw)
		})
	default: // true, false and null tell nothing; what is no value fails
		return w.in.SkipValue()
	}
}

// elements copies the rest of an array. Its elements stand where it does.
func (w *walker) elements(at place, depth int) error {
	for w.in.PeekKind() != jsontext.KindEndArray {
		if err := w.value(at, depth); err != nil {
			return err
		}
	}
	_, err := w.in.ReadToken()
	return err
}

// members copies the rest of an object.
func (w *walker) members(at place, depth int) error {
	taken := 0 // names that were replaced
	for w.in.PeekKind() != jsontext.KindEndObject {
		inside := place{parent: at.name}
		err := w.replace(func(raw []byte) ([]byte, bool) {
			name := unquote(raw)
			inside.name = parseLabel(name)
			inside.rule = ruleOf(at.name, inside.name)
			if strings.HasPrefix(name, redactedPrefix) {
				inside.name = label{} // as if it had just been replaced
			}
			if !isSensitive(name) {
				return nil, false
			}
			inside.name = label{}
			taken++
			return quote(replacedName(taken)), true
		})
		if err != nil {
			return err
		}
		if at.rule == everything {
			inside.rule = everything
		}
		if err := w.value(inside, depth); err != nil {
			return err
		}
	}
	_, err := w.in.ReadToken()
	return err
}

// replacedName keeps members apart whose names were taken out.
func replacedName(n int) string {
	if n == 1 {
		return Redacted
	}
	return fmt.Sprintf("%s %d]", redactedPrefix, n)
}

// replace reads the next name or value, and copies it unless by has something else for it.
func (w *walker) replace(by func(raw []byte) ([]byte, bool)) error {
	raw, err := w.in.ReadValue()
	if err != nil {
		return err
	}
	if other, ok := by(raw); ok {
		end := int(w.in.InputOffset())
		w.out = append(w.out, w.src[w.done:end-len(raw)]...)
		w.out = append(w.out, other...)
		w.done = end
	}
	return nil
}

// redactString returns what takes the place of a quoted string, if anything does.
func redactString(raw []byte, by rule, depth int) ([]byte, bool) {
	text := unquote(raw)
	if text == "" || text == Redacted {
		return nil, false
	}
	if by != nothing {
		return quotedRedacted, true
	}
	other := redactText(text, depth)
	return quote(other), other != text
}

// redactText redacts a text of no particular name. JSON in it is redacted as JSON.
func redactText(text string, depth int) string {
	if mayBeJSON(text) {
		if depth >= maxDepth {
			return Redacted
		}
		if inner, err := redactJSON([]byte(text), depth+1); err == nil {
			return string(inner)
		}
	}
	if isSensitive(text) {
		return Redacted
	}
	return redactParameters(text)
}

// mayBeJSON reports whether a text begins as an object, an array or a string of JSON does.
func mayBeJSON(text string) bool {
	for i := range len(text) {
		switch text[i] {
		case ' ', '\t', '\r', '\n':
		default:
			return text[i] == '{' || text[i] == '[' || text[i] == '"'
		}
	}
	return false
}

// unquote returns the text of a quoted string. What is no UTF-8 in it is replaced.
func unquote(raw []byte) string {
	text, _ := jsontext.AppendUnquote(nil, raw) // the error tells of what was replaced
	return string(text)
}

func quote(text string) []byte {
	quoted, _ := jsontext.AppendQuote(nil, text) // as in unquote
	return quoted
}
