package fsm

// EventQuery says which events to list.
type EventQuery struct {
	Tenant   TenantID
	Provider string      // "" is all providers
	Source   string      // by name; "" is all sources
	Type     string      // "" is all types; "payment.*" is all that begin with "payment."
	Status   EventStatus // as StatusIn returns it; 0 is all
	// Repeated lists those alone that have duplicates.
	Repeated bool
	// FromMs ≤ ReceivedAtMs < ToMs; 0 is no bound.
	FromMs, ToMs int64
	// Before lists events whose Seq is smaller; 0 begins with the newest.
	Before uint64
	Limit  int
}

// EventPage is a part of a listing, the newest first.
type EventPage struct {
	Events []*Event
	// Next is the Before of the next page; 0 if there is none.
	Next uint64
}

// EventCount is how many events of a provider have a status, and how often they were repeated.
type EventCount struct {
	Provider   string
	Status     EventStatus
	Events     int64
	Duplicates int64
}
