package main

import (
	"fmt"

	"github.com/jedib0t/go-pretty/v6/text"
)

// usageWarnPercent is from how much of a month's limit on people are warned.
const usageWarnPercent = 80

// percentOf is how much of a limit is used, rounded down: 100 is used up.
func percentOf(used, limit int64) int64 {
	if limit <= 0 {
		return 0
	}
	return int64(100 * (float64(used) / float64(limit)))
}

// printMonth shows a month against its limits, and warns.
func (t *terminal) printMonth(m monthUsage) error {
	out := "\n" + printable(m.inWords()) + "\n"
	if words, colour := m.warning(); words != "" {
		out += t.paint(colour, "warning: ") + printable(words) + "\n"
	}
	if m.Events > 0 || m.EventLimit > 0 {
		out += printable(m.eventsInWords()) + "\n"
	}
	if words, colour := m.eventWarning(); words != "" {
		out += t.paint(colour, "warning: ") + printable(words) + "\n"
	}
	_, err := fmt.Fprint(t.out, out)
	return err
}

func (m monthUsage) inWords() string {
	if m.Limit <= 0 {
		return fmt.Sprintf("%s: %d claims, no limit", m.Month, m.Claims)
	}
	return fmt.Sprintf("%s: %d of %d claims (%d%%), counted anew from %s", m.Month, m.Claims, m.Limit,
		percentOf(m.Claims, m.Limit), m.ResetsAt)
}

func (m monthUsage) eventsInWords() string {
	if m.EventLimit <= 0 {
		return fmt.Sprintf("%s: %d events, no limit", m.Month, m.Events)
	}
	return fmt.Sprintf("%s: %d of %d events (%d%%), counted anew from %s", m.Month, m.Events, m.EventLimit,
		percentOf(m.Events, m.EventLimit), m.ResetsAt)
}

// warning says that the month is full or nearly so, or "".
func (m monthUsage) warning() (words string, colour text.Color) {
	switch percent := percentOf(m.Claims, m.Limit); {
	case m.Limit <= 0 || percent < usageWarnPercent:
		return "", 0
	case m.Claims >= m.Limit:
		return "the limit of the month is reached: no more locks are granted until " + m.ResetsAt, text.FgRed
	default:
		return fmt.Sprintf("%d%% of the month's limit is used", percent), text.FgYellow
	}
}

// eventWarning is the same of events. What becomes of those beyond the limit is the plan's to say.
func (m monthUsage) eventWarning() (words string, colour text.Color) {
	switch percent := percentOf(m.Events, m.EventLimit); {
	case m.EventLimit <= 0 || percent < usageWarnPercent:
		return "", 0
	case m.Events >= m.EventLimit:
		return "the month's limit of events is reached: more are refused, or held if the plan says so, until " + m.ResetsAt,
			text.FgRed
	default:
		return fmt.Sprintf("%d%% of the month's limit of events is used", percent), text.FgYellow
	}
}
