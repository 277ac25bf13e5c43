package webhook

import (
	"crypto/sha256"
	"time"
)

// linearTolerance is what Linear advises.
const linearTolerance = time.Minute

var linearScheme = &scheme{
	header: "Linear-Signature", hash: sha256.New, encoding: hexText, key: rawKey, signed: "{body}",
}

// verifyLinear also checks the age of the timestamp in the body, which is signed with it. The one in the header is not.
func verifyLinear(s Source, r Request) (int, error) {
	matched := linearScheme.verify(s, r)
	if o, err := parseObject(r.Body); err == nil && o.value("webhookTimestamp") != nil {
		if !fresh(o.scalar("webhookTimestamp"), unixMillis, r.ReceivedAt, s.tolerance(linearTolerance)) {
			return verdict(noSecret)
		}
	}
	return verdict(matched)
}

func readLinear(_ Source, r Request, _ int) (Receipt, error) {
	e, action, err := members{
		rawType: "type", decisive: []string{"action"}, at: "createdAt", atFormat: rfc3339,
	}.event(r, "Linear-Delivery")
	if err != nil {
		return Receipt{}, err
	}
	if action != "" && e.RawType != "" {
		e.RawType += "." + action
	}
	return oneEvent(e), nil
}
