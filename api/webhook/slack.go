package webhook

import (
	"bytes"
	"fmt"
	"net/http"
)

// readSlack reads events (JSON), slash commands (a form) and interactions (a form whose field payload is JSON).
func readSlack(_ Source, r Request, _ int) (Receipt, error) {
	if trimmed := bytes.TrimSpace(r.Body); len(trimmed) > 0 && trimmed[0] == '{' {
		return readSlackEvent(r.Body)
	}
	f, err := parseForm(string(r.Body))
	if err != nil {
		return Receipt{}, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	if interaction := f.get("payload"); interaction != "" {
		return readSlackInteraction([]byte(interaction))
	}
	payload, err := f.payload()
	if err != nil {
		return Receipt{}, err
	}
	return oneEvent(Event{ID: f.get("trigger_id"), RawType: "slash_command", Payload: payload}), nil
}

func readSlackEvent(body []byte) (Receipt, error) {
	o, err := parseObject(body)
	if err != nil {
		return Receipt{}, err
	}
	kind := o.text("type")
	if kind == "url_verification" {
		return Receipt{Handshake: true, Answer: plainAnswer(o.text("challenge"))}, nil
	}
	payload, err := parseValue(body)
	if err != nil {
		return Receipt{}, err
	}
	if inner := o.text("event.type"); inner != "" {
		kind = inner
	}
	return oneEvent(Event{
		ID: o.text("event_id"), RawType: kind, OccurredAt: o.time("event_time", unixSeconds), Payload: payload,
	}), nil
}

func readSlackInteraction(body []byte) (Receipt, error) {
	o, err := parseObject(body)
	if err != nil {
		return Receipt{}, err
	}
	payload, err := parseValue(body)
	if err != nil {
		return Receipt{}, err
	}
	return oneEvent(Event{ID: o.text("trigger_id"), RawType: o.text("type"), Payload: payload}), nil
}

func plainAnswer(text string) Answer {
	return Answer{Status: http.StatusOK, ContentType: "text/plain; charset=utf-8", Body: []byte(text)}
}
