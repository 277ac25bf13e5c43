package fsm

import "fmt"

// FeatureLevel is the highest level that this build understands. A cluster's own level, in its [Directory], says what
// its log and snapshots may contain, and rises by [RaiseFeatureLevel] when all nodes know the next:
//
//	1  records, tenants, keys
//	2  members, feature levels
//	3  plans, suspended tenants, scopes and ends of keys, usage by day, the audit log
//	4  sources, events, their limits in plans
const FeatureLevel = 4

// LevelControl is the feature level from which usage is counted by day and the audit log is kept. Both begin with the
// entry that raises the level, so that they are the same on nodes that were upgraded at different times.
const LevelControl = 3

// LevelWebhooks is the feature level from which there are sources and events.
const LevelWebhooks = 4

// MaxFeatureLevel bounds the levels that can be asked for.
const MaxFeatureLevel = 1 << 20

// checkApplicable reports whether this build can apply a command: it must be able to read it, and know the feature level
// that it raises the cluster to. It is asked about a whole entry before anything of it is applied.
func checkApplicable(frame []byte) error {
	if CommandType(frame[0]) != TypeRaiseFeatureLevel {
		return checkFrame(frame)
	}
	cmd, err := decodeFrame(frame)
	if err != nil {
		return err
	}
	c := cmd.(RaiseFeatureLevel)
	return checkFeatureLevel(c.Level, c.Version)
}

func checkFeatureLevel(level uint32, version string) error {
	if level <= FeatureLevel {
		return nil
	}
	return fmt.Errorf("%w: feature level %d needs version %s or later, this build knows levels up to %d",
		ErrUnsupported, level, version, FeatureLevel)
}

func (m *Machine) raiseFeatureLevel(c RaiseFeatureLevel) Result {
	if c.Level > m.directory.FeatureLevel {
		d := m.directory.clone()
		d.FeatureLevel, d.FeatureVersion = c.Level, c.Version
		m.directory = d
	}
	return Result{Outcome: OK}
}
