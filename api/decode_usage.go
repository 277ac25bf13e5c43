package api

import (
	"time"

	"github.com/syllecta/syllecta/fsm"
)

// dayRange is some UTC days, both ends included.
type dayRange struct{ from, to fsm.Day }

// decodeDays reads the parameters from and to. Without them it is this month up to today; with only to, the month of that
// day up to it. Parameters it does not know are ignored.
func decodeDays(raw string, now time.Time) (dayRange, *problem) {
	var text struct{ from, to string }
	p := eachParameter(raw, func(name, value string) *problem {
		switch name {
		case "from":
			return once(&text.from, name, value, len(time.DateOnly))
		case "to":
			return once(&text.to, name, value, len(time.DateOnly))
		default:
			return nil
		}
	})
	if p != nil {
		return dayRange{}, p
	}
	to, p := parseDay("to", text.to, now.UTC())
	if p != nil {
		return dayRange{}, p
	}
	from, p := parseDay("from", text.from, to.AddDate(0, 0, 1-to.Day()))
	if p != nil {
		return dayRange{}, p
	}
	r := dayRange{fsm.DayOf(from.UnixMilli()), fsm.DayOf(to.UnixMilli())}
	switch {
	case r.from > r.to:
		return r, invalidField.problem("from is after to")
	case r.to-r.from >= fsm.MaxUsageDays:
		return r, invalidField.problem("from … to are more than %d days", fsm.MaxUsageDays)
	}
	return r, nil
}

func parseDay(name, text string, fallback time.Time) (time.Time, *problem) {
	if text == "" {
		return fallback, nil
	}
	t, err := time.Parse(time.DateOnly, text)
	if err != nil || t.Before(time.UnixMilli(0)) {
		return t, invalidField.problem("%s is not a day such as 2026-11-29", name)
	}
	return t, nil
}
