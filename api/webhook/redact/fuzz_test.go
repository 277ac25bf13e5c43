package redact

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// FuzzJSON redacts what it is given, whatever that is.
func FuzzJSON(f *testing.F) {
	for _, payload := range payloads {
		f.Add([]byte(payload))
	}
	f.Add([]byte(`{"a":"{\"b\":\"[1,\\\"x\\\"]\"}","a":1}`))
	f.Add([]byte("[\"\xff\",\"\\ud800\"]"))
	f.Add([]byte(`["a=b&token=[redacted]","\"[redacted]\"",{"[redacted]":1,"[redacted 2]":2}]`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		before := bytes.Clone(payload)
		out := JSON(payload)
		if !bytes.Equal(before, payload) {
			t.Fatalf("%q was changed itself", before)
		}
		if !json.Valid(out) {
			t.Fatalf("%q became %q, which is no JSON", payload, out)
		}
		if again := JSON(out); !bytes.Equal(again, out) {
			t.Fatalf("%q became %q, and that %q", payload, out, again)
		}
		if !json.Valid(payload) && string(out) != `"[redacted]"` {
			t.Fatalf("%q is no JSON and became %q", payload, out)
		}
	})
}

// FuzzCanary puts what must go beside text of any kind, in several places.
func FuzzCanary(f *testing.F) {
	for i := range sensitiveValues {
		f.Add(uint(i), "before ", " after", uint8(i))
	}
	f.Fuzz(func(t *testing.T, which uint, before, after string, name uint8) {
		const canary = "canary"
		around := func(s string) string { return strings.ReplaceAll(s, canary, "") }
		text, err := json.Marshal(around(before) + " canary.x@example.com " + around(after))
		if err != nil {
			t.Fatal(err)
		}
		hidden, err := json.Marshal(fmt.Sprintf(`{"list":[%s]}`, text))
		if err != nil {
			t.Fatal(err)
		}
		names := []string{"password", "cardNumber", "client-secret", "Email", "line1", "shopperIP", "iban"}
		other, err := json.Marshal(around(before))
		if err != nil {
			t.Fatal(err)
		}
		payload := fmt.Sprintf(`{"list":[%s],"hidden":%s,%q:["canary"],%s:{%q:{"a":"canary"}},%s:1}`,
			text, hidden, names[int(name)%len(names)], other, names[int(which%uint(len(names)))], text)
		out := JSON([]byte(payload))
		if !json.Valid(out) || bytes.Contains(out, []byte(canary)) {
			t.Fatalf("%s became %s", payload, out)
		}
		value, err := json.Marshal(sensitiveValues[which%uint(len(sensitiveValues))])
		if err != nil {
			t.Fatal(err)
		}
		payload = fmt.Sprintf(`{"a":[{%s:%s}]}`, other, value)
		if out := JSON([]byte(payload)); bytes.Contains(out, value) {
			t.Fatalf("%s became %s", payload, out)
		}
	})
}
