package fsm

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestRaiseFeatureLevel(t *testing.T) {
	t.Parallel()
	j := newJournal(t)
	steps := []struct {
		name        string
		cmd         RaiseFeatureLevel
		wantLevel   uint32
		wantVersion string
	}{
		{"to the level it has", RaiseFeatureLevel{1, "v9"}, 1, ""},
		{"to this build's", RaiseFeatureLevel{FeatureLevel, "v2"}, FeatureLevel, "v2"},
		{"again, by another name", RaiseFeatureLevel{FeatureLevel, "v3"}, FeatureLevel, "v2"},
		{"lower", RaiseFeatureLevel{1, "v1"}, FeatureLevel, "v2"},
	}
	if d := j.m.Directory(); d.FeatureLevel != 1 || d.FeatureVersion != "" {
		t.Errorf("a new cluster has level %d of version %q", d.FeatureLevel, d.FeatureVersion)
	}
	for _, s := range steps {
		before := j.m.Directory()
		level := before.FeatureLevel
		wantResult(t, s.name, j.apply(noon2026, s.cmd), Result{Outcome: OK})
		if d := j.m.Directory(); d.FeatureLevel != s.wantLevel || d.FeatureVersion != s.wantVersion {
			t.Errorf("%s: level %d of version %q", s.name, d.FeatureLevel, d.FeatureVersion)
		}
		if before.FeatureLevel != level {
			t.Errorf("%s: a Directory handed out before has changed", s.name)
		}
	}
}

// wantNewerLevel wants words that tell an operator which level is asked for, what to run, and what this build has.
func wantNewerLevel(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, ErrUnsupported) {
		t.Fatalf("%s: %v, want ErrUnsupported", what, err)
	}
	for _, words := range []string{
		fmt.Sprint("feature level ", FeatureLevel+1), "version v7.8.9", fmt.Sprint("up to ", FeatureLevel),
	} {
		if !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %q does not tell %q", what, err, words)
		}
	}
}

// An entry that this build is too old for is refused whole, wherever in it the level stands.
func TestApplyRefusesNewerFeatureLevel(t *testing.T) {
	t.Parallel()
	newer := RaiseFeatureLevel{FeatureLevel + 1, "v7.8.9"}
	for name, cmds := range map[string][]Command{
		"alone": {newer},
		"first": {newer, claimBy("a", tok(1))},
		"last":  {claimBy("a", tok(1)), AdmitMember{NodeID: "n"}, newer},
	} {
		m := peopled(t).m
		before := dump(m)
		_, results, err := m.Apply(m.Index()+1, 9, encodeEntry(m.ClockMs()+1, cmds...))
		wantNewerLevel(t, name, err)
		if results != nil || dump(m) != before {
			t.Errorf("%s: something of it was applied", name)
		}
	}
}

// stateOfNewerLevel is a snapshot as a later release writes it, with nothing in it but its level that is newer.
func stateOfNewerLevel(t *testing.T) []byte {
	m := peopled(t).m
	d := m.directory.clone()
	d.FeatureLevel, d.FeatureVersion = FeatureLevel+1, "v7.8.9"
	m.directory = d
	return written(t, m.Snapshot())
}

func TestSnapshotOfNewerFeatureLevelIsRefused(t *testing.T) {
	t.Parallel()
	file := stateOfNewerLevel(t)
	_, err := restore(file)
	wantNewerLevel(t, "restore", err)
	_, err = inspect(file)
	wantNewerLevel(t, "inspect", err)
	_, _, err = rebased(file, testIdentity(), 1, 1)
	wantNewerLevel(t, "rebase", err)
	newer := testIdentity()
	newer.FeatureLevel, newer.FeatureVersion = FeatureLevel+1, "v7.8.9"
	_, _, err = rebased(written(t, peopled(t).m.Snapshot()), newer, 1, 1)
	wantNewerLevel(t, "rebase to a newer cluster", err)
}
