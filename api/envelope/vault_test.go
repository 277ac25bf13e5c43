package envelope

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

func TestVault(t *testing.T) {
	t.Parallel()
	v := NewVault(testKEKs(t, testLine("a", 1)))
	if id, ok := v.Current(); id != "a" || !ok {
		t.Errorf("current: got %q, %v", id, ok)
	}
	wrapped, err := v.NewDataKey("ten_1")
	if err != nil {
		t.Fatal(err)
	}
	key, err := v.DataKey("ten_1", wrapped)
	if err != nil {
		t.Fatal(err)
	}
	sealed := key.Seal("p", []byte("plain"))
	if again, err := v.DataKey("ten_1", wrapped); err != nil || again != key {
		t.Errorf("the second time: got another key, %v", err)
	}
	// A backup was restored into another cluster.
	elsewhere, err := NewVault(testKEKs(t, testLine("a", 1))).DataKey("ten_1", wrapped)
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := elsewhere.Open("p", sealed); err != nil || string(plain) != "plain" {
		t.Errorf("in another cluster: got %q, %v", plain, err)
	}
	// It is remembered for its own tenant only.
	_, err = v.DataKey("ten_2", wrapped)
	if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "data key of tenant ten_2: ") {
		t.Errorf("for another tenant: got %v", err)
	}
}

func TestVaultWithoutKEK(t *testing.T) {
	t.Parallel()
	wrapped, err := NewVault(testKEKs(t, testLine("a", 1))).NewDataKey("ten_1")
	if err != nil {
		t.Fatal(err)
	}
	v := NewVault(nil)
	if id, ok := v.Current(); id != "" || ok {
		t.Errorf("current: got %q, %v", id, ok)
	}
	if _, err := v.NewDataKey("ten_1"); !errors.Is(err, ErrNoKEK) {
		t.Errorf("a new key: got %v", err)
	}
	if !v.Lacks(wrapped) || v.Lacks([]byte("damaged")) {
		t.Error("a vault without keys lacks nothing, or what no key mends")
	}
	if _, err := v.DataKey("ten_1", wrapped); !errors.Is(err, ErrNoKEK) || !strings.Contains(err.Error(), "needs a") {
		t.Errorf("a key that there is: got %v", err)
	}
}

// TestVaultFollows: a vault works with the newest keys, and forgets what the others have opened.
func TestVaultFollows(t *testing.T) {
	t.Parallel()
	var keks atomic.Pointer[KEKs]
	v := FollowingVault(keks.Load)
	use := func(lines ...string) { keks.Store(testKEKs(t, lines...)) }
	if _, ok := v.Current(); ok {
		t.Error("there is a current key before there is a file")
	}
	use(testLine("old", 1))
	wrapped, err := v.NewDataKey("ten_1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.DataKey("ten_1", wrapped); err != nil {
		t.Fatal(err)
	}
	use(testLine("new", 2), testLine("old", 1))
	if id, _ := v.Current(); id != "new" {
		t.Errorf("current: got %q", id)
	}
	if _, err := v.DataKey("ten_1", wrapped); err != nil {
		t.Error(err)
	}
	use(testLine("new", 2))
	if _, err := v.DataKey("ten_1", wrapped); !errors.Is(err, ErrNoKEK) {
		t.Errorf("the old key is gone: got %v", err)
	}
}

func TestVaultIsBounded(t *testing.T) {
	t.Parallel()
	v := NewVault(testKEKs(t, testLine("a", 1)))
	for i := range maxOpenKeys + 10 {
		tenant := fmt.Sprint("ten_", i)
		wrapped, err := v.NewDataKey(tenant)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.DataKey(tenant, wrapped); err != nil {
			t.Fatal(err)
		}
	}
	if len(v.open) != maxOpenKeys {
		t.Errorf("it remembers %d keys, want %d", len(v.open), maxOpenKeys)
	}
}

func TestVaultConcurrently(t *testing.T) {
	t.Parallel()
	files := []*KEKs{
		testKEKs(t, testLine("a", 1), testLine("b", 2)), testKEKs(t, testLine("b", 2), testLine("a", 1)),
	}
	var turn atomic.Int64
	v := FollowingVault(func() *KEKs { return files[turn.Add(1)%2] })
	wrapped, err := v.NewDataKey("ten_1")
	if err != nil {
		t.Fatal(err)
	}
	key, err := v.DataKey("ten_1", wrapped)
	if err != nil {
		t.Fatal(err)
	}
	sealed := key.Seal("p", []byte("plain"))
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 200 {
				key, err := v.DataKey("ten_1", wrapped)
				if err != nil {
					t.Error(err)
					return
				}
				if plain, err := key.Open("p", sealed); err != nil || string(plain) != "plain" {
					t.Errorf("got %q, %v", plain, err)
				}
				key.Seal("p", sealed)
			}
		})
	}
	all.Wait()
}
