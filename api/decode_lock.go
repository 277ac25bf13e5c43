package api

import "github.com/syllecta/syllecta/fsm"

// lockFields are the members by which the calls on a held lock name it.
type lockFields struct {
	scope, key string
	token      fsm.Token
	lockMs     optionalInt
}

func (f *lockFields) member(d *decoder, name []byte) *problem {
	switch string(name) {
	case "scope":
		return d.text(&f.scope, "scope", fsm.MaxScopeBytes)
	case "key":
		return d.text(&f.key, "key", fsm.MaxKeyBytes)
	case "token":
		return d.token(&f.token, "token")
	case "lockMs":
		return d.lease(&f.lockMs)
	default:
		return d.skip()
	}
}

// decodeLock reads who holds which lock: scope, key and token are required.
func decodeLock(body []byte, headerKey string) (lockFields, fsm.RecordID, *problem) {
	var f lockFields
	p := decodeObject(body, f.member)
	if p != nil {
		return f, fsm.RecordID{}, p
	}
	id, p := identity("", f.scope, f.key, headerKey)
	if p == nil && f.token.IsZero() {
		p = missingField.problem("token is missing")
	}
	return f, id, p
}

// decodeRenew reads the body of POST /v1/record/renew.
func decodeRenew(body []byte, headerKey string) (fsm.Renew, *problem) {
	f, id, p := decodeLock(body, headerKey)
	return fsm.Renew{ID: id, Token: f.token, LeaseMs: f.lockMs.value, KeepLease: !f.lockMs.set}, p
}

// decodeRelease reads the body of POST /v1/record/release.
func decodeRelease(body []byte, headerKey string) (fsm.Release, *problem) {
	f, id, p := decodeLock(body, headerKey)
	return fsm.Release{ID: id, Token: f.token}, p
}
