package webhook

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
)

// readZoom answers Zoom's question for the token by the secret that the question was signed with. It is asked after
// verification only: else anybody could have any text signed. Other events have no id of their own: the type, the time
// and the meeting's uuid make one, or the body where there is no uuid.
func readZoom(s Source, r Request, secret int) (Receipt, error) {
	o, err := parseObject(r.Body)
	if err != nil {
		return Receipt{}, err
	}
	if token := o.text("payload.plainToken"); o.text("event") == "endpoint.url_validation" && token != "" {
		return Receipt{Handshake: true, Answer: zoomAnswer(s.Secrets[secret], token)}, nil
	}
	payload, err := parseValue(r.Body)
	if err != nil {
		return Receipt{}, err
	}
	e := Event{
		ID: contentID(r.Body), RawType: o.text("event"), OccurredAt: o.time("event_ts", unixMillis), Payload: payload,
	}
	if uuid, at := o.text("payload.object.uuid"), o.scalar("event_ts"); uuid != "" && at != "" {
		e.ID = compositeID(e.RawType, at, uuid, zoomParticipant(o))
	}
	return oneEvent(e), nil
}

// zoomParticipant tells apart those who join or leave a meeting in the same millisecond; "" if it is not about one.
func zoomParticipant(o object) string {
	if id := o.text("payload.object.participant.participant_uuid"); id != "" {
		return id
	}
	return o.scalar("payload.object.participant.user_id")
}

func zoomAnswer(secret, token string) Answer {
	mac := newMAC(sha256.New, []byte(secret))
	_, _ = mac.Write([]byte(token))
	body := append([]byte(`{"plainToken":`), quote(token)...)
	body = append(body, `,"encryptedToken":"`+hex.EncodeToString(mac.Sum(nil))+`"}`...)
	return jsonAnswer(body)
}

func jsonAnswer(body []byte) Answer {
	return Answer{Status: http.StatusOK, ContentType: "application/json", Body: body}
}
