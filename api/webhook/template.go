package webhook

import (
	"fmt"
	"io"
	"strings"
)

// signedValues are what a template's names stand for.
type signedValues struct {
	method, url, id, timestamp string
	body                       []byte
}

// write writes the bytes that are signed: the template's text, with {method}, {url}, {id}, {timestamp} and {body}
// replaced. Values are not looked into: braces in a body stay what they are. w must be a hash, which cannot fail.
func (v signedValues) write(w io.Writer, template string) {
	for template != "" {
		before, rest, found := strings.Cut(template, "{")
		_, _ = io.WriteString(w, before)
		if !found {
			return
		}
		name, after, _ := strings.Cut(rest, "}")
		v.writeNamed(w, name)
		template = after
	}
}

func (v signedValues) writeNamed(w io.Writer, name string) {
	switch name {
	case "method":
		_, _ = io.WriteString(w, v.method)
	case "url":
		_, _ = io.WriteString(w, v.url)
	case "id":
		_, _ = io.WriteString(w, v.id)
	case "timestamp":
		_, _ = io.WriteString(w, v.timestamp)
	case "body":
		_, _ = w.Write(v.body)
	}
}

// checkTemplate returns the names that a template uses, or an error if one of them is not known.
func checkTemplate(template string) (map[string]bool, error) {
	names := map[string]bool{}
	for rest := template; ; {
		_, after, found := strings.Cut(rest, "{")
		if !found {
			return names, nil
		}
		name, after, closed := strings.Cut(after, "}")
		switch name {
		case "method", "url", "id", "timestamp", "body":
		default:
			closed = false
		}
		if !closed {
			return nil, fmt.Errorf("the template %q has an unknown or open {name}", template)
		}
		names[name] = true
		rest = after
	}
}
