package fsm

import "fmt"

// FeatureLevel is the highest level that this build understands. A cluster's own level, in its [Directory], says what
// its log and snapshots may contain, and rises by [RaiseFeatureLevel] when all nodes know the next:
//
//	1  records, tenants, keys
//	2  members, feature levels
const FeatureLevel = 2

// MaxFeatureLevel bounds the levels that can be asked for.
const MaxFeatureLevel = 1 << 20

// checkFeatureLevels refuses an entry that raises the level above this build's. It is asked before anything of the
// entry is applied.
func checkFeatureLevels(cmds []Command) error {
	for _, cmd := range cmds {
		if c, ok := cmd.(RaiseFeatureLevel); ok {
			if err := checkFeatureLevel(c.Level, c.Version); err != nil {
				return err
			}
		}
	}
	return nil
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
