package main

import (
	"fmt"

	"github.com/jedib0t/go-pretty/v6/text"
)

// usageWarnPercent is from how much of the month's limit on people are warned.
const usageWarnPercent = 80

// percent is how much of the limit is used, rounded down: 100 is used up.
func (m monthUsage) percent() int64 {
	if m.Limit <= 0 {
		return 0
	}
	return int64(100 * (float64(m.Claims) / float64(m.Limit)))
}

// printMonth shows a month against its limit, and warns.
func (t *terminal) printMonth(m monthUsage) error {
	out := "\n" + printable(m.inWords()) + "\n"
	if words, colour := m.warning(); words != "" {
		out += t.paint(colour, "warning: ") + printable(words) + "\n"
	}
	_, err := fmt.Fprint(t.out, out)
	return err
}

func (m monthUsage) inWords() string {
	if m.Limit <= 0 {
		return fmt.Sprintf("%s: %d claims, no limit", m.Month, m.Claims)
	}
	return fmt.Sprintf("%s: %d of %d claims (%d%%), counted anew from %s", m.Month, m.Claims, m.Limit, m.percent(),
		m.ResetsAt)
}

// warning says that the month is full or nearly so, or "".
func (m monthUsage) warning() (words string, colour text.Color) {
	switch {
	case m.Limit <= 0 || m.percent() < usageWarnPercent:
		return "", 0
	case m.Claims >= m.Limit:
		return "the limit of the month is reached: no more locks are granted until " + m.ResetsAt, text.FgRed
	default:
		return fmt.Sprintf("%d%% of the month's limit is used", m.percent()), text.FgYellow
	}
}
