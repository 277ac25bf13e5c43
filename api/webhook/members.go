package webhook

// members says where the parts of an event are in a body that is a JSON object. Paths are names separated by dots.
type members struct {
	id            string   // the event's id
	discriminator string   // what is added to the id if it is there
	rawType       string   // the provider's type
	decisive      []string // what the normalised type depends on besides; the first that is there counts
	at            string   // when it happened
	atFormat      timestampFormat
}

// event reads an event; idHeader, if it is not "", is the header that holds the id.
func (m members) event(r Request, idHeader string) (Event, string, error) {
	o, err := parseObject(r.Body)
	if err != nil {
		return Event{}, "", err
	}
	payload, err := parseValue(r.Body)
	if err != nil {
		return Event{}, "", err
	}
	id := o.text(m.id)
	if idHeader != "" {
		id = r.header(idHeader)
	}
	if extra := o.text(m.discriminator); id != "" && extra != "" {
		id = compositeID(id, extra)
	}
	e := Event{ID: id, RawType: o.text(m.rawType), Payload: payload}
	if m.at != "" {
		e.OccurredAt = o.time(m.at, m.atFormat)
	}
	return e, m.decisiveOf(o), nil
}

func (m members) decisiveOf(o object) string {
	for _, path := range m.decisive {
		if text := o.text(path); text != "" {
			return text
		}
	}
	return ""
}

// readMembers reads bodies that are one event.
func readMembers(types typeTable, idHeader string, m members) readFunc {
	return func(_ Source, r Request, _ int) (Receipt, error) {
		e, decisive, err := m.event(r, idHeader)
		if err != nil {
			return Receipt{}, err
		}
		e.Type = types.normalise(e.RawType, decisive)
		return oneEvent(e), nil
	}
}

func oneEvent(e Event) Receipt { return Receipt{Events: []Event{e}} }
