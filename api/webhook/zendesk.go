package webhook

// readZendesk takes the id of the invocation, which stays the same over retries. Events are objects with type and time;
// what a trigger sends is whatever its author wrote.
func readZendesk(_ Source, r Request, _ int) (Receipt, error) {
	payload, err := anyPayload(r.Body)
	if err != nil {
		return Receipt{}, err
	}
	e := Event{ID: r.header("X-Zendesk-Webhook-Invocation-Id"), Payload: payload}
	if o, err := parseObject(r.Body); err == nil {
		e.RawType, e.OccurredAt = o.text("type"), o.time("time", rfc3339)
	}
	return oneEvent(e), nil
}
