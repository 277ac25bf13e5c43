package webhook

// readShopify takes the id of the delivery, which stays the same over its retries. The id of the event is shared by
// all subscriptions that it concerns, so it counts together with the topic. X-Request-Id may come from a proxy, and then
// is a new one every time, so it comes last.
func readShopify(_ Source, r Request, _ int) (Receipt, error) {
	payload, err := anyPayload(r.Body)
	if err != nil {
		return Receipt{}, err
	}
	topic := firstHeader(r, "X-Shopify-Topic", "Shopify-Topic")
	e := Event{
		ID:         shopifyID(r, topic),
		RawType:    topic,
		OccurredAt: rfc3339.timeOrZero(firstHeader(r, "X-Shopify-Triggered-At", "Shopify-Triggered-At")),
		Payload:    payload,
	}
	status := ""
	if o, err := parseObject(r.Body); err == nil {
		status = o.text("status")
	}
	e.Type = shopifyTypes.normalise(topic, status)
	return oneEvent(e), nil
}

func shopifyID(r Request, topic string) string {
	if id := firstHeader(r, "X-Shopify-Webhook-Id", "Shopify-Webhook-Id"); id != "" {
		return id
	}
	if id := firstHeader(r, "X-Shopify-Event-Id", "Shopify-Event-Id"); id != "" {
		return compositeID(id, topic)
	}
	return r.header("X-Request-Id")
}

// firstHeader returns the first of several headers that was sent; "" if that one was sent twice.
func firstHeader(r Request, names ...string) string {
	for _, name := range names {
		if r.has(name) {
			return r.header(name)
		}
	}
	return ""
}
