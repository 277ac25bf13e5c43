package api

import (
	"encoding/hex"
	"strconv"

	"github.com/syllecta/syllecta/fsm"
)

// Bounds of one page of the audit log.
const (
	defaultAuditEntries = 100
	maxAuditEntries     = 1_000
)

// showAudit answers GET /v1/admin/audit: the changes of the control plane in their order, page by page.
func showAudit(x *exchange) {
	q, p := decodeAuditQuery(x.r.URL.RawQuery)
	if p != nil {
		x.refuse(p)
		return
	}
	ctx, cancel := x.deadline(0)
	defer cancel()
	if !x.catchUp(ctx) {
		return
	}
	entries, total := x.node.AuditLog(q.after, q.limit)
	b := append(x.out.b[:0], `{"entries":[`...)
	for i := range entries {
		b = appendAuditEntry(appendName(b, ""), &entries[i])
	}
	b = appendIntMember(append(b, ']'), "total", int64(total))
	if n := len(entries); n > 0 && entries[n-1].Seq < total {
		b = appendIntMember(b, "next", int64(entries[n-1].Seq))
	}
	x.out.b = append(b, '}')
	x.ok("audit")
}

// auditQuery asks for at most limit entries that come after one.
type auditQuery struct {
	after uint64
	limit int
}

// decodeAuditQuery reads the parameters after and limit. Parameters it does not know are ignored.
func decodeAuditQuery(raw string) (auditQuery, *problem) {
	var text struct{ after, limit string }
	const digits = 16
	p := eachParameter(raw, func(name, value string) *problem {
		switch name {
		case "after":
			return once(&text.after, name, value, digits)
		case "limit":
			return once(&text.limit, name, value, digits)
		default:
			return nil
		}
	})
	q := auditQuery{limit: defaultAuditEntries}
	if p == nil && text.after != "" {
		q.after, p = parseNumber("after", text.after, 0, 1<<53-1)
	}
	if p == nil && text.limit != "" {
		var n uint64
		n, p = parseNumber("limit", text.limit, 1, maxAuditEntries)
		q.limit = int(n)
	}
	return q, p
}

func parseNumber(name, text string, low, high uint64) (uint64, *problem) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n < low || n > high {
		return 0, invalidField.problem("%s is not an integer between %d and %d", name, low, high)
	}
	return n, nil
}

func appendAuditEntry(b []byte, e *fsm.AuditEntry) []byte {
	b = append(b, '{')
	b = appendIntMember(b, "seq", int64(e.Seq))
	b = appendIntMember(b, "index", int64(e.Index))
	b = appendTimeMember(b, "at", e.AtMs)
	b = appendStringMember(b, "actor", e.By.Name)
	b = appendStringMember(b, "role", e.By.Role)
	b = appendStringMember(b, "requestId", e.By.RequestID)
	b = appendStringMember(b, "address", e.By.Address)
	b = appendStringMember(b, "action", e.Action)
	b = appendStringMember(b, "target", e.Target)
	b = append(appendName(b, "changes"), '[')
	for _, c := range e.Changes {
		b = append(appendName(b, ""), '{')
		b = appendStringMember(b, "member", c.Member)
		b = appendStringMember(b, "before", c.Before)
		b = appendStringMember(b, "after", c.After)
		b = append(b, '}')
	}
	b = append(b, `],"hash":"`...)
	b = hex.AppendEncode(b, e.Hash[:])
	return append(b, `"}`...)
}
