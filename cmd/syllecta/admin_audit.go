package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/syllecta/syllecta/fsm"
)

// auditPageEntries are how many entries a node tells at once, at most.
const auditPageEntries = 1_000

// auditPage is some entries of the audit log, oldest first.
type auditPage struct {
	Entries []told[auditEntry] `json:"entries"`
	Total   uint64             `json:"total"` // of the whole log
	Next    uint64             `json:"next"`  // after which to go on; 0 if there are no more
}

// auditEntry is a change of the control plane, as the admin API shows it.
type auditEntry struct {
	Seq       uint64        `json:"seq"`
	Index     uint64        `json:"index"`
	At        time.Time     `json:"at"`
	Actor     string        `json:"actor"`
	Role      string        `json:"role"`
	RequestID string        `json:"requestId"`
	Address   string        `json:"address"`
	Action    string        `json:"action"`
	Target    string        `json:"target"`
	Changes   []auditChange `json:"changes"`
	Hash      string        `json:"hash"`
}

// auditChange is a member that changed; "" is none.
type auditChange struct {
	Member string `json:"member"`
	Before string `json:"before"`
	After  string `json:"after"`
}

// auditLog returns at most limit entries that come after one, 0 for the first.
func (a admin) auditLog(ctx context.Context, after uint64, limit int) (page auditPage, err error) {
	query := url.Values{"limit": {strconv.Itoa(limit)}}
	if after > 0 {
		query.Set("after", strconv.FormatUint(after, 10))
	}
	err = a.call(ctx, http.MethodGet, "/v1/admin/audit?"+query.Encode(), nil, &page)
	return page, err
}

// walkAudit shows the entries after one to see, in their order, until there are limit of them. It returns the last page
// without its entries.
func (a admin) walkAudit(ctx context.Context, after uint64, limit int, see func(told[auditEntry]) error) (
	auditPage, error) {
	for {
		page, err := a.auditLog(ctx, after, min(limit, auditPageEntries))
		if err != nil {
			return page, err
		}
		for _, e := range page.Entries {
			if e.value.Seq <= after {
				return page, fmt.Errorf("entry %d of the audit log was told after entry %d", e.value.Seq, after)
			}
			after = e.value.Seq
			if err := see(e); err != nil {
				return page, err
			}
		}
		limit -= len(page.Entries)
		if page.Next == 0 || limit <= 0 || len(page.Entries) == 0 {
			page.Entries = nil
			return page, nil
		}
	}
}

// auditInstant is how instants are written, in UTC.
const auditInstant = "2006-01-02T15:04:05.000Z"

// auditHash is the hash of an entry.
type auditHash [32]byte

func (h auditHash) String() string { return hex.EncodeToString(h[:]) }

// MarshalJSON returns the hash as hexadecimal text.
func (h auditHash) MarshalJSON() ([]byte, error) { return json.Marshal(h.String()) }

func parseAuditHash(text string) (h auditHash, ok bool) {
	b, err := hex.DecodeString(text)
	return auditHash(append(b, h[:]...)[:len(h)]), err == nil && len(b) == len(h)
}

// chained returns the entry's hash, if it is the one that follows from its content and the hash before.
func (e auditEntry) chained(previous auditHash) (auditHash, error) {
	claimed, ok := parseAuditHash(e.Hash)
	if !ok {
		return claimed, fmt.Errorf("its hash %q is none", shorten(e.Hash))
	}
	entry := fsm.AuditEntry{
		Seq: e.Seq, Index: e.Index, AtMs: e.At.UnixMilli(), Action: e.Action, Target: e.Target,
		By: fsm.Actor{Name: e.Actor, Role: e.Role, RequestID: e.RequestID, Address: e.Address},
	}
	for _, c := range e.Changes {
		entry.Changes = append(entry.Changes, fsm.AuditChange(c))
	}
	hash, err := entry.ChainHash(previous)
	if err == nil && auditHash(hash) != claimed {
		err = fmt.Errorf("its hash is %s and should be %s", claimed, auditHash(hash))
	}
	return hash, err
}
