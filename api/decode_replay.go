package api

import "github.com/syllecta/syllecta/fsm"

// maxReplayed bounds the events that one request replays.
const maxReplayed = 10_000

// replayFields say which events are replayed.
type replayFields struct {
	query  fsm.EventQuery
	limit  int
	dryRun bool
}

// decodeReplays reads the body of POST /v1/replays. Unlike elsewhere, a member it does not know is refused: a dryRun or a
// condition that is misspelt must not replay anything.
func decodeReplays(body []byte) (f replayFields, p *problem) {
	var filter eventFilter
	var limit optionalInt
	p = decodeObject(body, func(d *decoder, name []byte) *problem {
		switch string(name) {
		case "provider":
			return d.text(&filter.provider, "provider", fsm.MaxSlugBytes)
		case "source":
			return d.text(&filter.source, "source", fsm.MaxSlugBytes)
		case "status":
			return d.text(&filter.status, "status", len("delivery_failed"))
		case "type":
			return d.text(&filter.kind, "type", fsm.MaxEventTypeBytes)
		case "from":
			return d.text(&filter.from, "from", maxInstantBytes)
		case "to":
			return d.text(&filter.to, "to", maxInstantBytes)
		case "dryRun":
			return d.boolean(&f.dryRun, "dryRun")
		case "limit":
			return d.integer(&limit, "limit", 1, maxReplayed)
		default:
			return invalidField.problem("%q is not a member of this request", name)
		}
	})
	if p != nil {
		return f, p
	}
	f.limit = int(limit.or(maxReplayed))
	if filter.status == "" {
		filter.status = fsm.EventFailed.String()
	}
	f.query, p = filter.query()
	if p == nil && (f.query.Status == fsm.EventQueued || f.query.Repeated) {
		p = invalidField.problem("status is none of delivery_failed, held, processed and ignored, which can be replayed")
	}
	return f, p
}
