package api

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"
	"time"
)

func TestTicketIsForOneRequest(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(1_800_000_000_000)
	key := []byte("the target's key")
	use := ticketUse{
		node: "n1", method: "PUT", path: "/v1/record", query: "scope=s", bodyHash: sha256.Sum256([]byte("body")),
	}
	good := ticket{expiryMs: now.Add(ticketLife).UnixMilli(), role: roleTenant, tenant: 7, keyID: "key_1"}
	text := good.seal(key, use)
	if got, ok := openTicket(text, key, use, now); !ok || got != good {
		t.Fatalf("got %+v, %v", got, ok)
	}
	changes := map[string]func(*ticketUse){
		"node":   func(u *ticketUse) { u.node = "n2" },
		"method": func(u *ticketUse) { u.method = "DELETE" },
		"path":   func(u *ticketUse) { u.path = "/v1/records" },
		"query":  func(u *ticketUse) { u.query = "scope=t" },
		"body":   func(u *ticketUse) { u.bodyHash = sha256.Sum256([]byte("other")) },
		"key":    func(u *ticketUse) { u.headerKey = "other" },
		"sender": func(u *ticketUse) { u.forwardID = "0123" },
		"seam":   func(u *ticketUse) { u.method, u.path = "PUT/", "v1/record" },
	}
	for name, change := range changes {
		other := use
		change(&other)
		if _, ok := openTicket(text, key, other, now); ok {
			t.Errorf("accepted for another %s", name)
		}
	}
	if _, ok := openTicket(text, []byte("another key"), use, now); ok {
		t.Error("accepted under another key")
	}
	if _, ok := openTicket(good.seal(nil, use), nil, use, now); ok {
		t.Error("accepted without a key")
	}
}

func TestTicketCannotBeChanged(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(1_800_000_000_000)
	key, use := []byte("key"), ticketUse{node: "n1"}
	text := ticket{expiryMs: now.UnixMilli(), role: roleTenant, tenant: 7, keyID: "key_1"}.seal(key, use)
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	for i := range len(raw) * 8 {
		changed := append([]byte(nil), raw...)
		changed[i/8] ^= 1 << (i % 8)
		if _, ok := openTicket(base64.RawURLEncoding.EncodeToString(changed), key, use, now); ok {
			t.Errorf("accepted with bit %d turned", i)
		}
	}
	for i := range raw {
		if _, ok := openTicket(base64.RawURLEncoding.EncodeToString(raw[:i]), key, use, now); ok {
			t.Errorf("accepted cut to %d bytes", i)
		}
	}
	for _, bad := range []string{"", "!", text + "A", text + "=", text + "\n", " " + text, strings.Repeat("A", 1000)} {
		if _, ok := openTicket(bad, key, use, now); ok {
			t.Errorf("accepted %q", bad)
		}
	}
}

func TestTicketLife(t *testing.T) {
	t.Parallel()
	made := time.UnixMilli(1_800_000_000_000)
	key, use := []byte("key"), ticketUse{node: "n1"}
	text := ticket{expiryMs: made.Add(ticketLife).UnixMilli(), role: roleAdmin}.seal(key, use)
	for offset, want := range map[time.Duration]bool{
		0:                                  true,
		ticketLife:                         true,
		ticketLife + time.Millisecond:      false,
		-ticketLife:                        true,
		-(ticketLife + time.Millisecond):   false,
		time.Hour:                          false,
		-time.Hour:                         false,
		ticketLife - 500*time.Millisecond:  true,
		-ticketLife + 500*time.Millisecond: true,
	} {
		if _, ok := openTicket(text, key, use, made.Add(offset)); ok != want {
			t.Errorf("%s after it was made: %v", offset, ok)
		}
	}
}
