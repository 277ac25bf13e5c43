package fsm

// Meter names something that is counted. Values are part of the log and snapshot formats.
type Meter uint8

// The meters.
const (
	// MeterClaims counts grants: locks given, re-entered ones left out.
	MeterClaims Meter = iota + 1
	// MeterReplays counts claims that were answered with a stored result.
	MeterReplays
	// MeterConflicts counts claims of what another held, or that belonged to another request.
	MeterConflicts
	// MeterRejected counts grants, and events that came for the first time, that were refused: the tenant's month was full,
	// or what is kept for it, or the tenant suspended.
	MeterRejected
	// MeterEvents counts the events that were accepted, MeterDuplicates those that came again.
	MeterEvents
	MeterDuplicates
	// MeterDeliveries counts the events that were delivered, MeterDeliveryFailures the attempts that failed.
	MeterDeliveries
	MeterDeliveryFailures

	meterEnd
)

// Meters returns all meters, in their order.
func Meters() (all []Meter) {
	for x := Meter(1); x < meterEnd; x++ {
		all = append(all, x)
	}
	return all
}

func (x Meter) String() string {
	switch x {
	case MeterClaims:
		return "claims"
	case MeterReplays:
		return "replays"
	case MeterConflicts:
		return "conflicts"
	case MeterRejected:
		return "rejected"
	case MeterEvents:
		return "events"
	case MeterDuplicates:
		return "duplicates"
	case MeterDeliveries:
		return "deliveries"
	case MeterDeliveryFailures:
		return "delivery_failures"
	default:
		return "unknown"
	}
}

// Day is a UTC day, counted from the first of January 1970.
type Day int32

const dayMs = 86_400_000

// DayOf returns the day of an instant in Unix milliseconds that is not negative.
func DayOf(ms int64) Day { return Day(ms / dayMs) }

// StartMs is the day's first instant in Unix milliseconds.
func (d Day) StartMs() int64 { return int64(d) * dayMs }

// MaxUsageDays is for how many days back usage is kept, today included: the same month of the year before is whole.
const MaxUsageDays = 400

// maxCount is where the count of a day or month stays: the largest number that every JSON reader takes exactly.
const maxCount = 1<<53 - 1

// DayUsage is what was counted for a tenant on a day.
type DayUsage struct {
	Day    Day
	counts [meterEnd - 1]int64
}

// Count returns the count of a meter.
func (u *DayUsage) Count(x Meter) int64 { return u.counts[x-1] }

func (u *DayUsage) any() bool { return u.counts != [meterEnd - 1]int64{} }

// dayCounter counts a tenant's usage. Days that are over are never changed again, so that a snapshot may share them.
type dayCounter struct {
	past  []DayUsage // with counts, in their order, MaxUsageDays back at most
	today DayUsage
}

// add counts on a day that is none before the last one. n is at most maxTallyCount.
func (c *dayCounter) add(day Day, x Meter, n int64) {
	if day != c.today.Day {
		c.turn(day)
	}
	count := &c.today.counts[x-1]
	*count = min(*count+n, maxCount)
}

// turn ends a day.
func (c *dayCounter) turn(day Day) {
	if c.today.any() {
		c.past = append(c.past, c.today)
	}
	c.today = DayUsage{Day: day}
	for len(c.past) > 0 && c.past[0].Day <= day-MaxUsageDays {
		c.past = c.past[1:]
	}
}

// since returns a meter's count from a day on.
func (c *dayCounter) since(from Day, x Meter) (n int64) {
	for i := len(c.past) - 1; i >= 0 && c.past[i].Day >= from; i-- {
		n += c.past[i].Count(x)
	}
	if c.today.Day >= from {
		n += c.today.Count(x)
	}
	return n
}

// between returns the days from … to that have counts, in their order, those left out that are too old on today.
func (c *dayCounter) between(from, to, today Day) (days []DayUsage) {
	from = max(from, today-MaxUsageDays+1)
	for _, u := range c.past {
		if u.Day >= from && u.Day <= to {
			days = append(days, u)
		}
	}
	if u := c.today; u.any() && u.Day >= from && u.Day <= to {
		days = append(days, u)
	}
	return days
}

// count counts something that has happened to a tenant, from the feature level on that has it counted.
func (m *Machine) count(tenant TenantID, x Meter, n int64) {
	if m.directory.FeatureLevel >= LevelControl && m.directory.Tenant(tenant) != nil {
		m.usage.tenant(tenant).add(DayOf(m.clockMs), x, n)
	}
}

// UsageDays returns what was counted for a tenant on the days from … to, without those on which nothing was. Several
// calls may run at once.
func (m *Machine) UsageDays(tenant TenantID, from, to Day) []DayUsage {
	if int(tenant) > len(m.usage.days) || tenant == 0 {
		return nil
	}
	return m.usage.days[tenant-1].between(from, to, DayOf(m.clockMs))
}

// tally adds what a leader counted, and when keys were used.
func (m *Machine) tally(c Tally) Result {
	for _, n := range c.Counts {
		m.count(n.Tenant, n.Meter, n.Count)
	}
	d := m.directory
	for _, u := range c.Uses {
		hour := u.AtMs - u.AtMs%hourMs
		old := d.key(u.Tenant, u.PublicID)
		if old == nil || old.LastUsedMs >= hour {
			continue
		}
		if d == m.directory {
			d = d.clone()
		}
		k := *old
		k.LastUsedMs = hour
		d.setKey(&k)
	}
	m.directory = d
	return Result{Outcome: OK}
}

const hourMs = 3_600_000
