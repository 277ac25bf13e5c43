package webhook

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"
)

// maxFormFields bounds the fields of a form.
const maxFormFields = 1000

var errForm = errors.New("not a form")

// field is one field of an HTML form.
type field struct{ name, value string }

// form holds fields in the order in which they were sent.
type form []field

// parseForm decodes application/x-www-form-urlencoded. Unlike url.ParseQuery it keeps the order.
func parseForm(encoded string) (form, error) {
	if strings.Count(encoded, "&") >= maxFormFields || strings.Contains(encoded, ";") {
		return nil, errForm
	}
	var f form
	for pair := range strings.SplitSeq(encoded, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		if err != nil {
			return nil, errForm
		}
		if value, err = url.QueryUnescape(value); err != nil {
			return nil, errForm
		}
		f = append(f, field{name, value})
	}
	return f, nil
}

// get returns the value of a field that was sent exactly once, else "".
func (f form) get(name string) string {
	values := f.all(name)
	if len(values) != 1 {
		return ""
	}
	return values[0]
}

func (f form) all(name string) (values []string) {
	for _, field := range f {
		if field.name == name {
			values = append(values, field.value)
		}
	}
	return values
}

// payload writes the fields as a JSON object; a field that was sent several times becomes an array.
func (f form) payload() ([]byte, error) {
	names, values := []string{}, map[string][]string{}
	for _, field := range f {
		if !utf8.ValidString(field.name) || !utf8.ValidString(field.value) {
			return nil, fmt.Errorf("%w: %w", ErrUnreadable, errNotUTF8)
		}
		if _, seen := values[field.name]; !seen {
			names = append(names, field.name)
		}
		values[field.name] = append(values[field.name], field.value)
	}
	b := []byte{'{'}
	for i, name := range names {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(b, quote(name)...), ':')
		b = append(b, quoteAll(values[name])...)
	}
	return append(b, '}'), nil
}

func quoteAll(values []string) []byte {
	if len(values) == 1 {
		return quote(values[0])
	}
	b := []byte{'['}
	for i, value := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, quote(value)...)
	}
	return append(b, ']')
}
