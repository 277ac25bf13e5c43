package envelope

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/syllecta/syllecta/fsm"
)

// newDataKey draws a data key for a binding.
func newDataKey(t testing.TB, keks *KEKs, binding string) ([]byte, *DataKey) {
	t.Helper()
	wrapped, key, err := keks.NewDataKey(binding)
	if err != nil {
		t.Fatal(err)
	}
	return wrapped, key
}

func TestSealAndOpen(t *testing.T) {
	t.Parallel()
	keks := testKEKs(t, testLine("a", 1))
	wrapped, key := newDataKey(t, keks, "ten_1")
	again, err := keks.Unwrap("ten_1", wrapped)
	if err != nil {
		t.Fatal(err)
	}
	for _, plain := range []string{"", "x", "whsec_canary", strings.Repeat("long ", 100_000)} {
		sealed := key.Seal("event/src_1", []byte(plain))
		if len(sealed) != len(plain)+SealOverhead {
			t.Errorf("%d bytes became %d", len(plain), len(sealed))
		}
		if len(plain) > 8 && bytes.Contains(sealed, []byte(plain[:8])) {
			t.Error("what was sealed can be read")
		}
		for _, k := range []*DataKey{key, again} {
			if got, err := k.Open("event/src_1", sealed); err != nil || string(got) != plain {
				t.Errorf("got %.20q, %v; want %.20q", got, err, plain)
			}
		}
		if bytes.Equal(sealed, key.Seal("event/src_1", []byte(plain))) {
			t.Error("the same text was sealed to the same bytes twice")
		}
	}
	longest, _ := newDataKey(t, testKEKs(t, testLine(strings.Repeat("x", MaxKEKIDBytes), 1)), "ten_1")
	if len(longest) > fsm.MaxDataKeyBytes {
		t.Errorf("a wrapped key has %d bytes, more than the %d that the state keeps", len(longest), fsm.MaxDataKeyBytes)
	}
}

// TestSealedElsewhere: what was sealed under another key, or for something else, does not open.
func TestSealedElsewhere(t *testing.T) {
	t.Parallel()
	keks := testKEKs(t, testLine("a", 1))
	wrapped, key := newDataKey(t, keks, "ten_1")
	_, other := newDataKey(t, keks, "ten_1")
	_, moved := newDataKey(t, keks, "ten_2")
	moved.secret = key.secret // as if the key had been let through for another tenant
	sealed := key.Seal("source/src_1/secret", []byte("whsec_canary"))
	for name, c := range map[string]struct {
		key     *DataKey
		purpose string
	}{
		"another key":           {other, "source/src_1/secret"},
		"another tenant":        {moved, "source/src_1/secret"},
		"another source":        {key, "source/src_2/secret"},
		"another use":           {key, "source/src_1/signing"},
		"no purpose":            {key, ""},
		"a part of the purpose": {key, "source/src_1/secre"},
	} {
		if plain, err := c.key.Open(c.purpose, sealed); !errors.Is(err, ErrDamaged) || plain != nil {
			t.Errorf("%s: got %q, %v", name, plain, err)
		}
	}
	for _, binding := range []string{"", "ten_2", "ten_1 ", "ten_"} {
		if k, err := keks.Unwrap(binding, wrapped); !errors.Is(err, ErrDamaged) || k != nil {
			t.Errorf("unwrapped for %q: %v", binding, err)
		}
	}
	// The line between binding and purpose is where it is.
	a, b := &DataKey{secret: key.secret, binding: "ab"}, &DataKey{secret: key.secret, binding: "a"}
	if _, err := b.Open("bc", a.Seal("c", nil)); !errors.Is(err, ErrDamaged) {
		t.Errorf("opened across binding and purpose: %v", err)
	}
}

// TestEveryByteCounts changes, cuts and lengthens what was sealed, and a wrapped key, in every place.
func TestEveryByteCounts(t *testing.T) {
	t.Parallel()
	// A flip in an id must not find the key of another by chance alone: there is one whose id differs by a bit.
	keks := testKEKs(t, testLine("kek_1", 1), testLine("kek_3", 3))
	wrapped, key := newDataKey(t, keks, "ten_1")
	sealed := key.Seal("p", []byte("twelve bytes"))
	for name, c := range map[string]struct {
		content []byte
		open    func([]byte) error
	}{
		"sealed":  {sealed, func(b []byte) error { _, err := key.Open("p", b); return err }},
		"wrapped": {wrapped, func(b []byte) error { _, err := keks.Unwrap("ten_1", b); return err }},
	} {
		if err := c.open(c.content); err != nil {
			t.Fatal(err)
		}
		refused := func(how string, b []byte) {
			if err := c.open(b); !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrNoKEK) {
				t.Errorf("%s, %s: got %v", name, how, err)
			}
		}
		for i := range c.content {
			for bit := range 8 {
				b := bytes.Clone(c.content)
				b[i] ^= 1 << bit
				refused(fmt.Sprintf("bit %d of byte %d", bit, i), b)
			}
			refused(fmt.Sprintf("cut to %d bytes", i), c.content[:i])
			refused(fmt.Sprintf("without the first %d bytes", i+1), c.content[i+1:])
		}
		refused("a byte more", append(bytes.Clone(c.content), 0))
		refused("nothing", nil)
	}
}

func TestRotation(t *testing.T) {
	t.Parallel()
	oldLine, newLine := testLine("old", 1), testLine("new", 2)
	before, both, after := testKEKs(t, oldLine), testKEKs(t, newLine, oldLine), testKEKs(t, newLine)
	wrappedBefore, key := newDataKey(t, before, "ten_1")
	sealed := key.Seal("p", []byte("plain"))

	reopened, err := both.Unwrap("ten_1", wrappedBefore)
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := reopened.Open("p", sealed); err != nil || string(plain) != "plain" {
		t.Errorf("got %q, %v", plain, err)
	}
	wrappedNow, _ := newDataKey(t, both, "ten_2")
	for _, c := range []struct {
		wrapped []byte
		want    string
	}{{wrappedBefore, "old"}, {wrappedNow, "new"}} {
		if under, err := WrappedUnder(c.wrapped); err != nil || under != c.want {
			t.Errorf("wrapped under %q, %v; want %q", under, err, c.want)
		}
	}
	if _, err := after.Unwrap("ten_2", wrappedNow); err != nil {
		t.Error(err)
	}
	_, err = after.Unwrap("ten_1", wrappedBefore)
	if !errors.Is(err, ErrNoKEK) || errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "lacks old") {
		t.Errorf("without the old key: got %v", err)
	}
	again, changed, err := both.Rewrap("ten_1", wrappedBefore)
	if under, _ := WrappedUnder(again); err != nil || !changed || under != "new" {
		t.Errorf("wrapped again: under %q, %v, %v", under, changed, err)
	}
	if rewrapped, err := after.Unwrap("ten_1", again); err != nil || *rewrapped != *key {
		t.Errorf("wrapped again, it is another key: %v", err)
	}
	if same, changed, err := both.Rewrap("ten_1", again); err != nil || changed || !bytes.Equal(same, again) {
		t.Errorf("wrapped a third time: %v, %v", changed, err)
	}
	if _, _, err := both.Rewrap("ten_2", wrappedBefore); !errors.Is(err, ErrDamaged) {
		t.Errorf("wrapped again for another tenant: %v", err)
	}
	if _, _, err := after.Rewrap("ten_1", wrappedBefore); !errors.Is(err, ErrNoKEK) {
		t.Errorf("wrapped again without the old key: %v", err)
	}
	// A key under an id that was given twice is not the one that is needed.
	_, err = testKEKs(t, testLine("old", 9)).Unwrap("ten_1", wrappedBefore)
	if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "old is another key now") {
		t.Errorf("another key of the same id: got %v", err)
	}
	var none *KEKs
	if _, err = none.Unwrap("ten_1", wrappedBefore); !errors.Is(err, ErrNoKEK) || !strings.Contains(err.Error(), "needs old") {
		t.Errorf("without any key: got %v", err)
	}
	if _, _, err = none.NewDataKey("ten_1"); !errors.Is(err, ErrNoKEK) {
		t.Errorf("without any key: got %v", err)
	}
}

// TestKeysAreNotPrinted prints keys in every way that a careless line might.
func TestKeysAreNotPrinted(t *testing.T) {
	t.Parallel()
	const number = 0x41 // "AAAA…", or 65
	keks := testKEKs(t, testLine("a", number))
	_, key := newDataKey(t, keks, "ten_1")
	key.secret = [dataKeyBytes]byte(bytes.Repeat([]byte{number}, dataKeyBytes))
	var out bytes.Buffer
	text, asJSON := slog.New(slog.NewTextHandler(&out, nil)), slog.New(slog.NewJSONHandler(&out, nil))
	for _, v := range []any{keks, key, struct{ Key *DataKey }{key}, []any{keks, key}, NewVault(keks), *key} {
		for _, format := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q", "%d"} {
			fmt.Fprintf(&out, format+"\n", v)
		}
		text.Info("key", "key", v)
		asJSON.Info("key", "key", v)
		raw, err := json.Marshal(v)
		if err == nil {
			out.Write(raw)
		}
	}
	// Eight bytes in each notation: of less, what is random in the output would have some now and then.
	for _, secret := range []string{
		"AAAAAAAA", "65" + strings.Repeat(" 65", 7), strings.Repeat("41", 8), "0x41" + strings.Repeat(", 0x41", 7),
		"QUFBQUFBQU",
	} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("the output shows %q", secret)
		}
	}
}

func FuzzOpen(f *testing.F) {
	// All keys are drawn anew by every process: what comes from another one, or from a file, must not open.
	_, current := NewKEK()
	keks := testKEKs(f, current, testLine("kek_2", 2))
	wrapped, key := newDataKey(f, keks, "ten_1")
	sealed := key.Seal("p", []byte("plain"))
	f.Add(sealed)
	f.Add(wrapped)
	f.Add([]byte{sealedVersion})
	f.Add(append([]byte{wrappedVersion, 5}, "kek_2"...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if plain, err := key.Open("p", b); err == nil != bytes.Equal(b, sealed) || err != nil && (plain != nil || !errors.Is(err, ErrDamaged)) {
			t.Fatalf("opened %x: %q, %v", b, plain, err)
		}
		if k, err := keks.Unwrap("ten_1", b); err == nil != bytes.Equal(b, wrapped) || err != nil && k != nil {
			t.Fatalf("unwrapped %x: %v", b, err)
		}
	})
}
