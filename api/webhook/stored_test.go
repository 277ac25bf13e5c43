package webhook

import (
	"bytes"
	"errors"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

// storedSamples are in the form in which DecodeStored returns them.
var storedSamples = []Stored{
	{Payload: []byte(`{}`)},
	{Payload: []byte(`{"a": 1.50, "a":"\ud800"}`), ContentType: "application/json"},
	{
		Headers: http.Header{"Stripe-Signature": {"t=1,v1=ab"}, "Accept": {"*/*", ""}}, Payload: []byte(`{"id":"evt_1"}`),
		Raw: []byte("  {\"id\":\"evt_1\"}\r\n"), ContentType: "application/json; charset=utf-8",
	},
	{Payload: []byte(`{"id":"evt_1"}`), Raw: []byte(`{"id":"evt_1"}`)},
	{Payload: []byte(`"x"`), Raw: []byte{0, 0xff, '\n'}},
}

func TestStored(t *testing.T) {
	t.Parallel()
	for i, s := range storedSamples {
		b, err := EncodeStored(s)
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodeStored(b)
		if err != nil || !reflect.DeepEqual(got, s) {
			t.Errorf("sample %d: got %+v, %v, want %+v", i, got, err, s)
		}
		for n := range b {
			if cut, err := DecodeStored(b[:n]); err == nil && len(s.Raw) == 0 {
				t.Errorf("sample %d: the first %d of %d bytes are %+v", i, n, len(b), cut)
			}
		}
		if _, err := DecodeStored(append(bytes.Clone(b), 'x')); len(s.Raw) == 0 && !errors.Is(err, ErrDamaged) {
			t.Errorf("sample %d with a byte more: %v", i, err)
		}
	}
}

func TestStoredIsBounded(t *testing.T) {
	t.Parallel()
	many := http.Header{"X": make([]string, MaxStoredHeaders+1)}
	for name, s := range map[string]Stored{
		"payload": {Payload: bytes.Repeat([]byte("1"), MaxStoredBytes)},
		"raw":     {Payload: []byte("1"), Raw: make([]byte, MaxStoredBytes)},
		"header":  {Payload: []byte("1"), Headers: http.Header{"X": {strings.Repeat("x", MaxStoredBytes)}}},
		"headers": {Payload: []byte("1"), Headers: many},
	} {
		if _, err := EncodeStored(s); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: %v", name, err)
		}
	}
	largest := Stored{Payload: bytes.Repeat([]byte("1"), MaxStoredBytes-16)}
	largest.Raw = largest.Payload
	if b, err := EncodeStored(largest); len(b) > MaxStoredBytes || err != nil {
		t.Errorf("%d bytes: %v", len(b), err)
	}
	if _, err := EncodeStored(Stored{Raw: []byte("x")}); err == nil {
		t.Error("an event without a payload is kept")
	}
	if _, err := DecodeStored(make([]byte, MaxStoredBytes+1)); !errors.Is(err, ErrDamaged) {
		t.Errorf("more than was ever kept: %v", err)
	}
}

func TestKeptHeaders(t *testing.T) {
	t.Parallel()
	h := http.Header{}
	for _, name := range []string{"authorization", "cookie", "x-gitlab-token", "connection", "content-length", "te", "host"} {
		h.Set(name, "secret")
	}
	for _, name := range []string{"Stripe-Signature", "X-GitHub-Event", "Content-Type", "User-Agent"} {
		h.Set(name, "kept")
	}
	kept := KeptHeaders(h)
	if len(kept) != 4 || len(h) != 11 {
		t.Errorf("of %v is kept %v", h, kept)
	}
	for name := range kept {
		if kept.Get(name) != "kept" {
			t.Errorf("%s is kept", name)
		}
	}
}

// FuzzStored: what can be read has one form only.
func FuzzStored(f *testing.F) {
	for _, s := range storedSamples {
		b, err := EncodeStored(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := DecodeStored(b)
		if err != nil {
			return
		}
		again, err := EncodeStored(s)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x became %x, %v", b, again, err)
		}
	})
}
