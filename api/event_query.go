package api

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"time"

	"github.com/syllecta/syllecta/fsm"
)

// How many events one answer lists.
const (
	defaultListedEvents = 50
	maxListedEvents     = 500
)

// statusCached is what an event is listed as, among those that were repeated, for its repetitions.
const statusCached = "cached"

// maxInstantBytes bounds an instant as text.
const maxInstantBytes = 64

// eventFilter says which events are meant, as it was sent; "" is no condition.
type eventFilter struct {
	provider, source, status, kind, from, to string
}

// query is the filter as the node understands it.
func (f *eventFilter) query() (q fsm.EventQuery, p *problem) {
	q.Provider, q.Source, q.Type = f.provider, f.source, f.kind
	if f.status == statusCached {
		q.Repeated = true
	} else if f.status != "" {
		var ok bool
		if q.Status, ok = fsm.EventStatusNamed(f.status); !ok {
			return q, invalidField.problem("status is none of queued, processed, delivery_failed, held, ignored and cached")
		}
	}
	if q.FromMs, p = parseInstant("from", f.from, 0); p != nil {
		return q, p
	}
	if q.ToMs, p = parseInstant("to", f.to, 1); p != nil {
		return q, p
	}
	if f.to != "" && q.FromMs >= q.ToMs {
		return q, invalidField.problem("from is not before to")
	}
	return q, nil
}

// parseInstant reads an instant, or a UTC day: its beginning, or that of a day so many days later. "" is 0.
func parseInstant(name, text string, days int) (unixMs int64, p *problem) {
	if text == "" {
		return 0, nil
	}
	t, err := time.Parse(time.DateOnly, text)
	if err == nil {
		t = t.AddDate(0, 0, days)
	} else {
		t, err = time.Parse(time.RFC3339, text)
	}
	if err != nil || t.UnixMilli() < 0 {
		return 0, invalidField.problem("%s is neither an instant such as 2026-11-29T12:00:00Z nor a day such as 2026-11-29", name)
	}
	return t.UnixMilli(), nil
}

// eventListing is what a listing of events is asked for.
type eventListing struct {
	fsm.EventQuery
	counts bool
}

// decodeEventListing reads the parameters of GET /v1/events. Parameters it does not know are ignored.
func decodeEventListing(raw string) (l eventListing, p *problem) {
	var f eventFilter
	var limit, cursor, counts string
	p = eachParameter(raw, func(name, value string) *problem {
		switch name {
		case "provider":
			return once(&f.provider, name, value, fsm.MaxSlugBytes)
		case "source":
			return once(&f.source, name, value, fsm.MaxSlugBytes)
		case "status":
			return once(&f.status, name, value, len("delivery_failed"))
		case "type":
			return once(&f.kind, name, value, fsm.MaxEventTypeBytes)
		case "from":
			return once(&f.from, name, value, maxInstantBytes)
		case "to":
			return once(&f.to, name, value, maxInstantBytes)
		case "limit":
			return once(&limit, name, value, len("500"))
		case "cursor":
			return once(&cursor, name, value, maxCursorBytes)
		case "counts":
			return once(&counts, name, value, len("false"))
		default:
			return nil
		}
	})
	if p == nil {
		l.EventQuery, p = f.query()
	}
	if p == nil {
		p = l.page(limit, cursor)
	}
	if p == nil {
		l.counts = cursor == ""
		p = truth(&l.counts, "counts", counts)
	}
	return l, p
}

// page sets how many events are listed, and from where on.
func (l *eventListing) page(limit, cursor string) *problem {
	l.Limit = defaultListedEvents
	if limit != "" {
		n, p := parseNumber("limit", limit, 1, maxListedEvents)
		if p != nil {
			return p
		}
		l.Limit = int(n)
	}
	if cursor != "" {
		var ok bool
		if l.Before, ok = parseEventCursor(cursor); !ok {
			return invalidField.problem("cursor is none that a listing of events has answered")
		}
	}
	return nil
}

// A cursor is the place in the order of events before which a listing goes on. It holds for any node, and for ever.
var eventCursorText = base64.RawURLEncoding.Strict()

func eventCursor(before uint64) string {
	return eventCursorText.EncodeToString(binary.BigEndian.AppendUint64(nil, before))
}

func parseEventCursor(text string) (before uint64, ok bool) {
	b, err := eventCursorText.DecodeString(text)
	if err != nil || len(b) != 8 {
		return 0, false
	}
	before = binary.BigEndian.Uint64(b)
	return before, before > 0 && before <= math.MaxInt64
}
