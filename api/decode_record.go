package api

import (
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/syllecta/syllecta/fsm"
)

const (
	// maxWaitMs bounds waitMs.
	maxWaitMs = 30_000
	// maxBatch bounds the claims of one POST /v1/records.
	maxBatch = 256
	// maxStoredHeaders bounds the members of a record's headers.
	maxStoredHeaders = 64

	defaultStatus = http.StatusOK
)

// Values of members that a caller left out of a PUT.
var (
	noHeaders = []byte("{}")
	noBody    = []byte("null")
)

// claim is a decoded POST. Tenant, Owner and Token are filled in later: Owner holds the caller's own, without prefix.
type claim struct {
	fsm.Claim
	wait time.Duration
}

// decodeClaim reads the body of POST /v1/record. headerKey stands in for a missing key.
func decodeClaim(body []byte, headerKey string, l limits) (claim, *problem) {
	f, ok := plainClaim(body, l)
	if ok {
		return f.claim("", headerKey, l)
	}
	return strictClaim(body, headerKey, l)
}

func strictClaim(body []byte, headerKey string, l limits) (claim, *problem) {
	var f claimFields
	p := decodeObject(body, func(d *decoder, name []byte) *problem { return f.member(d, name, l) })
	if p != nil {
		return claim{}, p
	}
	return f.claim("", headerKey, l)
}

// decodeClaims reads the body of POST /v1/records.
func decodeClaims(body []byte, l limits) ([]claim, *problem) {
	if claims, ok := plainClaims(body, l); ok {
		return claims, nil
	}
	return strictClaims(body, l)
}

func strictClaims(body []byte, l limits) ([]claim, *problem) {
	var claims []claim
	p := decodeObject(body, func(d *decoder, name []byte) *problem {
		if string(name) != "records" {
			return d.skip()
		}
		var p *problem
		claims, p = d.claims(l)
		return p
	})
	if p == nil && claims == nil {
		p = missingField.problem("records is missing")
	}
	return claims, p
}

// claims reads the array of claims; an empty or overlong one is refused.
func (d *decoder) claims(l limits) ([]claim, *problem) {
	if isNull, p := d.null(); isNull || p != nil {
		return nil, p
	}
	if p := d.expect("records", jsontext.KindBeginArray, "an array"); p != nil {
		return nil, p
	}
	if _, err := d.json.ReadToken(); err != nil {
		return nil, d.syntax(err)
	}
	var claims []claim
	for d.json.PeekKind() != jsontext.KindEndArray {
		if len(claims) == maxBatch {
			return nil, d.invalid("records", "has more than "+strconv.Itoa(maxBatch)+" elements")
		}
		c, p := d.element(len(claims), l)
		if p != nil {
			return nil, p
		}
		claims = append(claims, c)
	}
	if _, err := d.json.ReadToken(); err != nil {
		return nil, d.syntax(err)
	}
	if len(claims) == 0 {
		return nil, d.invalid("records", "is empty")
	}
	return claims, nil
}

// element reads one claim of the array, and names it in what it refuses.
func (d *decoder) element(i int, l limits) (claim, *problem) {
	name := "records[" + strconv.Itoa(i) + "]"
	if p := d.expect(name, jsontext.KindBeginObject, "an object"); p != nil {
		return claim{}, p
	}
	d.path = name + "."
	defer func() { d.path = "" }()
	var f claimFields
	p := d.object(func(d *decoder, name []byte) *problem { return f.member(d, name, l) })
	if p != nil {
		return claim{}, p
	}
	return f.claim(d.path, "", l)
}

// claimFields are the members of a claim as they were sent.
type claimFields struct {
	scope, key, owner, fingerprint string
	ttlSeconds, lockMs, waitMs     optionalInt
}

func (f *claimFields) member(d *decoder, name []byte, l limits) *problem {
	switch string(name) {
	case "scope":
		return d.text(&f.scope, "scope", fsm.MaxScopeBytes)
	case "key":
		return d.text(&f.key, "key", fsm.MaxKeyBytes)
	case "owner":
		return d.text(&f.owner, "owner", fsm.MaxOwnerBytes)
	case "fingerprint":
		return d.text(&f.fingerprint, "fingerprint", fsm.MaxFingerprintBytes)
	case "ttlSeconds":
		return d.integer(&f.ttlSeconds, "ttlSeconds", 1, l.maxTTLSeconds)
	case "lockMs":
		return d.lease(&f.lockMs)
	case "waitMs":
		return d.integer(&f.waitMs, "waitMs", 0, maxWaitMs)
	default:
		return d.skip()
	}
}

// lease reads lockMs: 0, which is never taken over, or a length within the bounds.
func (d *decoder) lease(dst *optionalInt) *problem {
	if p := d.integer(dst, "lockMs", 0, fsm.MaxLeaseMs); p != nil {
		return p
	}
	if dst.set && !validLease(dst.value) {
		return d.invalid("lockMs", "is neither 0 nor between "+
			strconv.Itoa(fsm.MinLeaseMs)+" and "+strconv.Itoa(fsm.MaxLeaseMs))
	}
	return nil
}

func validLease(ms int64) bool {
	return ms == fsm.NeverMs || ms >= fsm.MinLeaseMs && ms <= fsm.MaxLeaseMs
}

func (f *claimFields) claim(path, headerKey string, l limits) (claim, *problem) {
	id, p := identity(path, f.scope, f.key, headerKey)
	if p != nil {
		return claim{}, p
	}
	return claim{
		Claim: fsm.Claim{
			ID:          id,
			Owner:       f.owner,
			LeaseMs:     f.lockMs.or(l.defaultLeaseMs),
			TTLMs:       ttlMs(f.ttlSeconds, l),
			Fingerprint: f.fingerprint,
		},
		wait: time.Duration(f.waitMs.value) * time.Millisecond,
	}, nil
}

// identity puts a record's name together: the key may also come in a header, but not two different ones.
func identity(path, scope, key, headerKey string) (fsm.RecordID, *problem) {
	switch {
	case scope == "":
		return fsm.RecordID{}, missingField.problem("%sscope is missing", path)
	case key == "" && headerKey == "":
		return fsm.RecordID{}, missingField.problem("%skey is missing", path)
	case key == "":
		key = headerKey
	case headerKey != "" && headerKey != key:
		return fsm.RecordID{}, invalidField.problem("key differs from the Idempotency-Key header")
	}
	return fsm.RecordID{Scope: scope, Key: key}, nil
}

func ttlMs(seconds optionalInt, l limits) int64 {
	if !seconds.set {
		return l.defaultTTLMs
	}
	return seconds.value * 1_000
}

// decodeComplete reads the body of PUT /v1/record. Headers and Body are slices of it.
func decodeComplete(body []byte, headerKey string, l limits) (fsm.Complete, *problem) {
	c := fsm.Complete{Headers: noHeaders, Body: noBody}
	var ttlSeconds, status optionalInt
	p := decodeObject(body, func(d *decoder, name []byte) *problem {
		switch string(name) {
		case "scope":
			return d.text(&c.ID.Scope, "scope", fsm.MaxScopeBytes)
		case "key":
			return d.text(&c.ID.Key, "key", fsm.MaxKeyBytes)
		case "token":
			return d.token(&c.Token, "token")
		case "status":
			return d.integer(&status, "status", fsm.MinStatus, fsm.MaxStatus)
		case "headers":
			return d.storedHeaders(&c.Headers)
		case "body":
			return d.storedBody(&c.Body, l.maxBodyBytes)
		case "ttlSeconds":
			return d.integer(&ttlSeconds, "ttlSeconds", 1, l.maxTTLSeconds)
		default:
			return d.skip()
		}
	})
	if p != nil {
		return fsm.Complete{}, p
	}
	c.Status = uint16(status.or(defaultStatus))
	c.TTLMs, c.InheritTTL = ttlMs(ttlSeconds, l), !ttlSeconds.set
	c.ID, p = identity("", c.ID.Scope, c.ID.Key, headerKey)
	return c, p
}

func (d *decoder) storedBody(dst *[]byte, limit int) *problem {
	raw, p := d.verbatim()
	if raw == nil || p != nil {
		return p
	}
	if len(raw) > limit {
		return tooLarge("the record's body", int64(limit))
	}
	*dst = raw
	return nil
}

// storedHeaders reads an object of strings and arrays of strings, and keeps it as it was written.
func (d *decoder) storedHeaders(dst *[]byte) *problem {
	raw, p := d.value("headers", jsontext.KindBeginObject, "an object")
	if raw == nil || p != nil {
		return p
	}
	if len(raw) > fsm.MaxHeadersBytes {
		return d.invalid("headers", "is larger than "+strconv.Itoa(fsm.MaxHeadersBytes)+" bytes")
	}
	count := 0
	p = decodeObject(raw, func(d *decoder, name []byte) *problem {
		if count++; count > maxStoredHeaders {
			return d.invalid("headers", "has more than "+strconv.Itoa(maxStoredHeaders)+" members")
		}
		return d.storedHeader(name)
	})
	*dst = raw[:len(raw):len(raw)]
	return p
}

func (d *decoder) storedHeader(name []byte) *problem {
	var err error
	last := jsontext.KindString
	if d.json.PeekKind() == jsontext.KindBeginArray {
		last = jsontext.KindEndArray
		_, err = d.json.ReadToken()
		for err == nil && d.json.PeekKind() == jsontext.KindString {
			err = d.json.SkipValue()
		}
	}
	if err == nil && d.json.PeekKind() != last {
		return d.invalid("headers."+string(name), "is neither a string nor an array of strings")
	}
	if err == nil {
		_, err = d.json.ReadToken()
	}
	return d.syntax(err)
}
