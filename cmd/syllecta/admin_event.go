package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
)

// eventPageEvents are how many events a node lists at once, at most.
const eventPageEvents = 500

// webhookEvent is an event, as the API shows it. What a list leaves out is "" or nil.
type webhookEvent struct {
	EventID         string `json:"eventId"`
	ID              string `json:"id"` // the provider's
	Provider        string `json:"provider"`
	Source          string `json:"source"`
	ProviderRawType string `json:"providerRawType"`
	Type            string `json:"type"`
	Status          string `json:"status"`
	OccurredAt      string `json:"occurredAt"`
	ReceivedAt      string `json:"receivedAt"`
	Attempts        int64  `json:"attempts"`
	ReplayCount     int64  `json:"replayCount"` // how often it came again
	NextAttemptAt   string `json:"nextAttemptAt"`
	Synthetic       bool   `json:"synthetic"`
	PayloadForm     string `json:"payloadForm"`
	PayloadMismatch bool   `json:"payloadMismatch"`

	AttemptLog   []eventAttempt      `json:"attemptLog"`
	Duplicates   []eventDuplicate    `json:"duplicates"`
	Masked       bool                `json:"masked"`
	Payload      json.RawMessage     `json:"payload"`
	Headers      map[string][]string `json:"headers"`
	PayloadError string              `json:"payloadError"`
}

// eventAttempt is an attempt to deliver an event.
type eventAttempt struct {
	Number     int64  `json:"number"`
	At         string `json:"at"`
	LatencyMs  int64  `json:"latencyMs"`
	StatusCode int    `json:"statusCode"` // 0 if there was no answer
	Error      string `json:"error"`
	Replay     string `json:"replay"`
}

// eventDuplicate is a time at which an event came again.
type eventDuplicate struct {
	At     string `json:"at"`
	Source string `json:"source"`
}

// eventPage is a part of a list of events, the newest first.
type eventPage struct {
	Events     []told[webhookEvent]          `json:"events"`
	Counts     told[map[string]statusCounts] `json:"counts"` // by provider
	NextCursor string                        `json:"nextCursor"`
}

// statusCounts are how many events there are of each status, with the repetitions as "cached".
type statusCounts map[string]int64

// eventFilter says which events are meant; "" is no condition.
type eventFilter struct {
	Provider string `json:"provider,omitempty"`
	Source   string `json:"source,omitempty"`
	Status   string `json:"status,omitempty"`
	Type     string `json:"type,omitempty"`
	From     string `json:"from,omitempty"`
	To       string `json:"to,omitempty"`
}

func (f eventFilter) query() url.Values {
	query := url.Values{}
	for _, c := range [...]struct{ name, value string }{
		{"provider", f.Provider}, {"source", f.Source}, {"status", f.Status}, {"type", f.Type}, {"from", f.From}, {"to", f.To},
	} {
		if c.value != "" {
			query.Set(c.name, c.value)
		}
	}
	return query
}

// replayed is what a replay of many events has done, or would do.
type replayed struct {
	Matched  int  `json:"matched"`
	Replayed int  `json:"replayed"`
	DryRun   bool `json:"dryRun"`
	More     bool `json:"more"` // there are more than were asked for
	// PassedOver are those that match, and wait anyway or cannot be delivered any more.
	PassedOver int `json:"passedOver"`
}

// eventClient speaks about the events of one tenant: as the admin, or by the tenant's API key.
type eventClient struct {
	*client
	path string // of the tenant
}

func (e eventClient) one(id string) string { return e.path + "/events/" + url.PathEscape(id) }

// list returns at most limit events from the cursor on, "" for the newest. Without counts there are none.
func (e eventClient) list(ctx context.Context, f eventFilter, cursor string, limit int, counts bool) (page eventPage, err error) {
	query := f.query()
	query.Set("limit", strconv.Itoa(limit))
	query.Set("counts", strconv.FormatBool(counts))
	if cursor != "" {
		query.Set("cursor", cursor)
	}
	err = e.call(ctx, http.MethodGet, e.path+"/events?"+query.Encode(), nil, &page)
	return page, err
}

// walk returns at most limit events from the cursor on, and where to go on, with the counts if it begins with the newest.
func (e eventClient) walk(ctx context.Context, f eventFilter, cursor string, limit int) (all eventPage, err error) {
	counts := cursor == ""
	for {
		page, err := e.list(ctx, f, cursor, min(limit-len(all.Events), eventPageEvents), counts)
		if err != nil {
			return all, err
		}
		if counts {
			all.Counts, counts = page.Counts, false
		}
		all.Events = append(all.Events, page.Events...)
		all.NextCursor, cursor = page.NextCursor, page.NextCursor
		if cursor == "" || len(all.Events) >= limit {
			return all, nil
		}
	}
}

// show returns an event with all that is kept of it, unmasked if raw is set and the tenant's policy is to show it so.
func (e eventClient) show(ctx context.Context, id string, raw bool) (found told[webhookEvent], err error) {
	path := e.one(id)
	if raw {
		path += "?raw=true"
	}
	err = e.call(ctx, http.MethodGet, path, nil, &found)
	return found, err
}

func (e eventClient) replay(ctx context.Context, id string) (done told[struct{}], err error) {
	err = e.call(ctx, http.MethodPost, e.one(id)+"/replay", nil, &done)
	return done, err
}

func (e eventClient) ignore(ctx context.Context, id string) (done told[struct{}], err error) {
	err = e.call(ctx, http.MethodPost, e.one(id)+"/ignore", nil, &done)
	return done, err
}

// replayMany replays at most limit events of a filter, the newest, or with dryRun says how many it would be.
func (e eventClient) replayMany(ctx context.Context, f eventFilter, limit int, dryRun bool) (done told[replayed], err error) {
	in := struct {
		eventFilter
		Limit  int  `json:"limit"`
		DryRun bool `json:"dryRun,omitempty"`
	}{f, limit, dryRun}
	err = e.call(ctx, http.MethodPost, e.path+"/replays", in, &done)
	return done, err
}
