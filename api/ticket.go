package api

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strings"
	"time"

	"github.com/syllecta/syllecta/fsm"
)

// A ticket lets one request pass at the node it is made for, in place of the Authorization header that clients drop on
// the way. It names the caller, and its MAC under that node's ticket key covers the request to the last byte.
//
//	version 1 | expiry 8, Unix ms | role 1 | tenant 4 | length of key id 1 | key id | HMAC-SHA-256 32
const (
	ticketVersion  = 1
	ticketLife     = 10 * time.Second
	ticketHead     = 1 + 8 + 1 + 4 + 1
	maxTicketBytes = 512 // as text

	// ticketLabel keeps a ticket's MAC apart from anything else that is ever signed with the same key.
	ticketLabel = "syllecta ticket 1"
)

var ticketText = base64.RawURLEncoding.Strict()

// ticket says who the caller is and how long that holds.
type ticket struct {
	expiryMs int64 // by the clock of the node that made it
	role     role
	tenant   fsm.TenantID
	keyID    string // public id of the API key; "" for the admin
}

// ticketUse is the one request that a ticket is good for.
type ticketUse struct {
	node         string // id of the node that is to accept it
	method, path string
	query        string // without the ticket, in the spelling of splitTicket
	headerKey    string // the Idempotency-Key header as it was sent, because it may name the record
	forwardID    string // the request id of the node that forwards it; "" if the caller brings it
	bodyHash     [sha256.Size]byte
}

// seal returns the ticket as text, under the accepting node's key.
func (t ticket) seal(key []byte, use ticketUse) string {
	b := make([]byte, 0, ticketHead+len(t.keyID)+sha256.Size)
	b = append(b, ticketVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(t.expiryMs))
	b = append(b, byte(t.role))
	b = binary.BigEndian.AppendUint32(b, uint32(t.tenant))
	b = append(b, byte(len(t.keyID)))
	b = append(b, t.keyID...)
	return ticketText.EncodeToString(append(b, ticketMAC(key, b, use)...))
}

// openTicket returns the ticket in text if it is good for that use at that time. The clocks of the two nodes may
// differ: a ticket must have been made within its life before or after now.
func openTicket(text string, key []byte, use ticketUse, now time.Time) (ticket, bool) {
	if len(text) > maxTicketBytes || strings.ContainsAny(text, "\r\n") || len(key) == 0 { // base64 would skip line ends
		return ticket{}, false
	}
	b, err := ticketText.DecodeString(text)
	if err != nil || len(b) < ticketHead+sha256.Size || b[0] != ticketVersion {
		return ticket{}, false
	}
	head, mac := b[:len(b)-sha256.Size], b[len(b)-sha256.Size:]
	if !hmac.Equal(mac, ticketMAC(key, head, use)) || int(head[ticketHead-1]) != len(head)-ticketHead {
		return ticket{}, false
	}
	t := ticket{
		expiryMs: int64(binary.BigEndian.Uint64(head[1:])),
		role:     role(head[9]),
		tenant:   fsm.TenantID(binary.BigEndian.Uint32(head[10:])),
		keyID:    string(head[ticketHead:]),
	}
	left := time.UnixMilli(t.expiryMs).Sub(now)
	return t, left >= 0 && left <= 2*ticketLife
}

// ticketMAC covers the ticket's own members and the request. Every part is preceded by its length, so that no two
// requests have the same bytes.
func ticketMAC(key, head []byte, use ticketUse) []byte {
	mac := hmac.New(sha256.New, key)
	var size [4]byte
	for _, part := range [...][]byte{
		[]byte(ticketLabel), head, []byte(use.node), []byte(use.method), []byte(use.path), []byte(use.query),
		[]byte(use.headerKey), []byte(use.forwardID), use.bodyHash[:],
	} {
		binary.BigEndian.PutUint32(size[:], uint32(len(part)))
		mac.Write(size[:])
		mac.Write(part)
	}
	return mac.Sum(nil)
}
