package envelope

import (
	"fmt"
	"sync"
)

// maxOpenKeys bounds the data keys that a Vault remembers. A key costs a microsecond to unwrap again.
const maxOpenKeys = 4096

// Vault hands out the data keys of tenants, and remembers those it has unwrapped. It may be used by several goroutines
// at a time.
type Vault struct {
	keks func() *KEKs

	mu   sync.RWMutex
	from *KEKs // what the keys in open were unwrapped by
	open map[openKey]*DataKey
}

// openKey is the tenant's public id beside its wrapped key: what opens for one tenant must not be found for another.
type openKey struct{ tenant, wrapped string }

// NewVault returns a vault that works with these keys. With nil everything that needs one fails with ErrNoKEK.
func NewVault(keks *KEKs) *Vault { return FollowingVault(func() *KEKs { return keks }) }

// FollowingVault returns a vault that asks for the keys, which may be nil, whenever it is used: they may become others
// while it is in use. The function may be called by several goroutines at a time.
func FollowingVault(keks func() *KEKs) *Vault {
	return &Vault{keks: keks, open: map[openKey]*DataKey{}}
}

// Current returns the id of the key-encryption key that wraps; ok is false if there is none.
func (v *Vault) Current() (id string, ok bool) {
	current, err := v.keks().current()
	return current.id, err == nil
}

// NewDataKey draws a data key for a tenant and returns it wrapped, as it is kept in the state. It fails with ErrNoKEK
// only.
func (v *Vault) NewDataKey(tenantPublicID string) (wrapped []byte, err error) {
	wrapped, _, err = v.keks().NewDataKey(tenantPublicID)
	return wrapped, aboutTenant(tenantPublicID, err)
}

// DataKey returns the data key that a tenant's wrapped one is. It fails with ErrNoKEK if the key-encryption key is not
// there, and with ErrDamaged if it is not the key of this tenant.
func (v *Vault) DataKey(tenantPublicID string, wrapped []byte) (*DataKey, error) {
	keks, at := v.keks(), openKey{tenantPublicID, string(wrapped)}
	if key := v.remembered(keks, at); key != nil {
		return key, nil
	}
	key, err := keks.Unwrap(tenantPublicID, wrapped)
	if err != nil {
		return nil, aboutTenant(tenantPublicID, err)
	}
	v.remember(keks, at, key)
	return key, nil
}

// Rewrap returns a tenant's data key wrapped under the current key-encryption key; changed is false if it is already. It
// fails as DataKey does.
func (v *Vault) Rewrap(tenantPublicID string, wrapped []byte) (again []byte, changed bool, err error) {
	again, changed, err = v.keks().Rewrap(tenantPublicID, wrapped)
	return again, changed, aboutTenant(tenantPublicID, err)
}

func (v *Vault) remembered(keks *KEKs, at openKey) *DataKey {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if v.from != keks {
		return nil
	}
	return v.open[at]
}

// remember forgets the keys that others than keks have unwrapped: whose key-encryption key was taken away has to find
// that out at once. Of too many keys it forgets any one.
func (v *Vault) remember(keks *KEKs, at openKey, key *DataKey) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.from != keks {
		v.from = keks
		clear(v.open)
	}
	if len(v.open) >= maxOpenKeys {
		for other := range v.open {
			delete(v.open, other)
			break
		}
	}
	v.open[at] = key
}

// aboutTenant says whose key it is that an error is about.
func aboutTenant(tenantPublicID string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("data key of tenant %s: %w", tenantPublicID, err)
}

// Lacks reports whether the key-encryption key is missing that a data key was wrapped under. It decrypts nothing.
func (v *Vault) Lacks(wrapped []byte) bool {
	id, _, err := splitWrapped(wrapped)
	if err != nil {
		return false // damaged, which no other key mends
	}
	_, err = v.keks().named(id)
	return err != nil
}
