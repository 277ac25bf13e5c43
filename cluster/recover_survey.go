package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/hashicorp/raft"
)

// Survey is what the data directory of a stopped node holds, for whoever must decide from which node a cluster is to be
// recovered.
type Survey struct {
	NodeID    string
	ClusterID string
	// LastTerm and LastIndex are the end of the log. Of several survivors the one with the highest term, and among those
	// the highest index, has everything that any of them acknowledged.
	LastTerm, LastIndex uint64
	// SnapshotTerm and SnapshotIndex are of the newest snapshot; 0 without one.
	SnapshotTerm, SnapshotIndex uint64
	// Members are the latest configuration in snapshot and log; ConfigurationIndex is where it stands.
	Members            []SurveyMember
	ConfigurationIndex uint64
	Epoch              uint64 // of the fences
	// Tenants, Records and Locks are counted as if every entry of the log had been committed.
	Tenants, Records, Locks int
	// Planned tells that a recovery is prepared already, and not carried out yet.
	Planned bool
}

// SurveyMember is a member of the cluster that a survey found.
type SurveyMember struct {
	RecoveryPeer
	Voter bool `json:"voter"`
}

// Alone returns what a node is recovered as unless other peers are named: the only voter, where it was before.
func (s Survey) Alone() []RecoveryPeer {
	for _, m := range s.Members {
		if m.ID == s.NodeID {
			return []RecoveryPeer{m.RecoveryPeer}
		}
	}
	return nil
}

// without returns the members, and those whom an earlier recovery left out, that are none of these peers.
func (s Survey) without(peers []RecoveryPeer, lost []string) (others []string) {
	for _, m := range s.Members {
		lost = append(lost, m.ID)
	}
	slices.Sort(lost)
	return slices.DeleteFunc(slices.Compact(lost), func(id string) bool {
		return slices.ContainsFunc(peers, func(p RecoveryPeer) bool { return p.ID == id })
	})
}

// SurveyDirectory reads what a data directory holds, and changes nothing. It fails while a node runs there, and on any
// damage.
func SurveyDirectory(dir string) (Survey, error) {
	return survey(dir, func(Survey) error { return nil })
}

// PrepareRecovery has the node of a data directory come up, at its next start, as a member of a cluster whose only
// voters are these peers, with everything in its own log and fences above all earlier ones. No peers are the node
// alone. It fails while a node runs there. at and release are noted down.
func PrepareRecovery(dir string, peers []RecoveryPeer, at time.Time, release string) (Survey, error) {
	return survey(dir, func(s Survey) error {
		if len(peers) == 0 {
			peers = s.Alone()
		}
		lost, err := lostMembers(dir)
		if err != nil {
			return err
		}
		plan := recoveryPlan{
			documentHead: documentHead{documentVersion},
			NodeID:       s.NodeID, ClusterID: s.ClusterID, Voters: peers, Lost: s.without(peers, lost), Epoch: s.Epoch + 1,
			LastIndex: s.LastIndex, LastTerm: s.LastTerm, At: at.UTC(), Release: release,
		}
		if err := plan.validate(); err != nil {
			return fmt.Errorf("recover from %s: %w", dir, err)
		}
		return writeDocument(filepath.Join(dir, recoveryFile), plan)
	})
}

// survey reads the directory, and calls then while no node can start there.
func survey(dir string, then func(Survey) error) (s Survey, err error) {
	if err := refuseRemoved(dir); err != nil {
		return s, err
	}
	if s.NodeID, err = readIdentity(dir, nodeIDFile, namePattern, raftFile, walDir); err != nil {
		return s, err
	}
	kind, err := storeIn(dir)
	if err != nil {
		return s, err
	}
	if s.NodeID == "" || kind == "" {
		return s, fmt.Errorf("%s is not the data directory of a node that has run", dir)
	}
	store, err := openStoreToRead(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		return s, err
	}
	defer store.Close()
	if err := s.read(dir, store); err != nil {
		return s, err
	}
	return s, then(s)
}

func (s *Survey) read(dir string, store durableStore) error {
	state := newReplay()
	if err := s.readSnapshot(filepath.Join(dir, snapshotsDir), state); err != nil {
		return err
	}
	guard := &storeGuard{deadline: surveyDeadline, fatal: func(error) {}, observe: func(time.Duration) {}}
	if err := s.readLog(&guardedLogs{guard, store}, state); err != nil {
		return err
	}
	if s.LastIndex == 0 || len(s.Members) == 0 {
		return fmt.Errorf("the node of %s has never been a member of a cluster: there is nothing to recover", dir)
	}
	m := state.machine
	s.ClusterID, s.Epoch = m.Directory().ClusterID, m.Epoch()
	s.Tenants, s.Records, s.Locks = len(m.Directory().Tenants()), m.Records(), m.Locks()
	_, err := os.Stat(filepath.Join(dir, recoveryFile))
	if s.Planned = err == nil; err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// surveyDeadline is how long one read may take before it counts as failed.
const surveyDeadline = time.Minute

// readSnapshot takes what the newest snapshot holds, if there is one.
func (s *Survey) readSnapshot(dir string, state *replay) error {
	newest, err := newestSnapshot(dir)
	if err != nil || newest == "" {
		return err
	}
	meta, err := checkSnapshot(newest)
	if err != nil {
		return damagedSnapshot(newest, err)
	}
	f, err := os.Open(filepath.Join(newest, "state.bin"))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := state.Restore(f); err != nil {
		return damagedSnapshot(newest, err)
	}
	s.SnapshotIndex, s.SnapshotTerm = meta.Index, meta.Term
	s.LastIndex, s.LastTerm = meta.Index, meta.Term
	s.learn(meta.Configuration, meta.ConfigurationIndex)
	return nil
}

// readLog takes what the log holds beyond the snapshot.
func (s *Survey) readLog(logs raft.LogStore, state *replay) error {
	last, err := logs.LastIndex()
	if err != nil {
		return err
	}
	for index := s.SnapshotIndex + 1; index <= last; index++ {
		var entry raft.Log
		if err := logs.GetLog(index, &entry); err != nil {
			return err
		}
		s.LastIndex, s.LastTerm = index, entry.Term
		if entry.Type == raft.LogConfiguration {
			s.learn(raft.DecodeConfiguration(entry.Data), index)
		}
		if state.Apply(&entry); state.err != nil {
			return state.err
		}
	}
	return nil
}

func (s *Survey) learn(c raft.Configuration, index uint64) {
	s.Members, s.ConfigurationIndex = nil, index
	for _, server := range c.Servers {
		s.Members = append(s.Members, SurveyMember{
			RecoveryPeer{string(server.ID), string(server.Address)}, server.Suffrage == raft.Voter,
		})
	}
}
