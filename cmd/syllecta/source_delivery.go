package main

import (
	"fmt"
	"strconv"

	"github.com/jedib0t/go-pretty/v6/text"
)

// sourceDelivery is how a source's deliveries go, as the node that leads knows it.
type sourceDelivery struct {
	Breaker       string       `json:"breaker"` // closed, open or half_open
	InFlight      int64        `json:"inFlight"`
	Queued        int64        `json:"queued"`
	NextAttemptAt string       `json:"nextAttemptAt"` // "" if none is to come
	FailingSince  string       `json:"failingSince"`  // "" if the last attempt delivered something
	LastFailure   eventAttempt `json:"lastFailure"`   // if it is failing
}

// inWords is it for a table of many, in the colour that it calls for.
func (d *sourceDelivery) inWords() (words string, colour text.Color) {
	switch {
	case d.Breaker != "closed":
		return "breaker " + d.Breaker, text.FgRed
	case d.FailingSince != "":
		return "failing", text.FgYellow
	}
	return "ok", text.Reset
}

// lines are it for people who look at one source.
func (d *sourceDelivery) lines() [][2]string {
	lines := [][2]string{{"breaker", d.Breaker}}
	if d.FailingSince != "" {
		lines = append(lines, [2]string{"nothing delivered since", d.FailingSince}, [2]string{"last attempt", d.failure()})
	}
	queued := strconv.FormatInt(d.Queued, 10)
	if d.NextAttemptAt != "" {
		queued += ", the next attempt at " + d.NextAttemptAt
	}
	underWay := strconv.FormatInt(d.InFlight, 10)
	return append(lines, [2]string{"attempts under way", underWay}, [2]string{"events queued", queued})
}

// failure is why the last attempt delivered nothing.
func (d *sourceDelivery) failure() string {
	f := d.LastFailure
	if f.StatusCode != 0 {
		return fmt.Sprintf("answered with %d at %s", f.StatusCode, f.At)
	}
	return fmt.Sprintf("%s at %s", f.Error, f.At)
}
