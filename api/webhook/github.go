package webhook

import "fmt"

// readGitHub takes the GUID of the delivery, which a manual redelivery keeps. The body is JSON, or a form whose field
// payload is JSON, as the webhook was set up.
func readGitHub(_ Source, r Request, _ int) (Receipt, error) {
	body := r.Body
	if r.isForm() {
		f, err := parseForm(string(r.Body))
		if err != nil {
			return Receipt{}, fmt.Errorf("%w: %w", ErrUnreadable, err)
		}
		body = []byte(f.get("payload"))
	}
	payload, err := parseValue(body)
	if err != nil {
		return Receipt{}, err
	}
	e := Event{ID: r.header("X-GitHub-Delivery"), RawType: r.header("X-GitHub-Event"), Payload: payload}
	if o, err := parseObject(body); err == nil {
		if action := o.text("action"); action != "" && e.RawType != "" {
			e.RawType += "." + action
		}
	}
	return oneEvent(e), nil
}
