package webhook

import "time"

// Receipt is what a verified request holds.
type Receipt struct {
	// Events are what the provider reports, in its order. There are none in a handshake, and may be none in a batch.
	Events []Event
	// Handshake says that the provider only asks whether it has come to the right place. Answer must then be sent.
	Handshake bool
	// Answer is the literal answer that the provider wants on success. It is zero if any 2xx will do.
	Answer Answer
}

// Answer is an HTTP answer.
type Answer struct {
	Status      int
	ContentType string // "" if there is no body
	Body        []byte
}

// IsZero reports whether the provider leaves the answer to the receiver.
func (a Answer) IsZero() bool { return a.Status == 0 }

// Event is one thing that happened at a provider.
type Event struct {
	// ID is the same in every repetition of the event, and differs between events of one source. Where the provider's
	// id alone does not do that, the other parts follow it, separated by slashes and escaped as in a URL's path. It is
	// 1 to MaxIDBytes bytes of UTF-8 without control characters.
	ID string
	// RawType is the provider's own word for what happened; "" if it has none.
	RawType string
	// Type is RawType in the words that all providers share, or RawType itself if there is none for it.
	Type string
	// OccurredAt is when it happened, by the provider's own clock; zero if the event does not say.
	OccurredAt time.Time
	// Payload is the event as JSON: the bytes that were sent, an object of the fields of a form, or a string that holds
	// what is neither (XML). What was sent may hold members that are given twice below the level of the event, and halves
	// of surrogate pairs in texts, which strict readers refuse.
	Payload []byte
}
