package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/syllecta/syllecta/fsm"
	"github.com/syllecta/syllecta/snapshot"
)

const (
	// sectionBackup comes first in a backup and says where it is from. Its one record is the JSON of a BackupInfo.
	sectionBackup        = fsm.SectionForeign + 1
	sectionBackupVersion = 1
)

// BackupInfo says what a backup holds, in the words of the node that made it.
type BackupInfo struct {
	ClusterID    string    `json:"clusterId"`
	ClusterName  string    `json:"clusterName"`
	NodeID       string    `json:"nodeId"`  // that made it
	Version      string    `json:"version"` // of the program
	Index        uint64    `json:"index"`   // of the last log entry in it
	Term         uint64    `json:"term"`
	Epoch        uint64    `json:"epoch"`
	ClockMs      int64     `json:"clockMs"` // committed clock
	FeatureLevel uint32    `json:"featureLevel"`
	TakenAt      time.Time `json:"takenAt"` // wall clock of the node
}

// Backup writes everything acknowledged before the call, as a snapshot that Restore takes, to w as it goes. Any node
// can do it, while it serves; only what changes meanwhile takes memory. It fails with ErrUnavailable if no majority
// answers. What was written before an error is no snapshot, and is refused as one.
func (n *Node) Backup(ctx context.Context, w io.Writer) (BackupInfo, error) {
	if err := n.CatchUp(ctx); err != nil {
		return BackupInfo{}, err
	}
	captured, info := n.capture()
	if err := writeBackup(&boundWriter{ctx, w}, info, captured); err != nil {
		return BackupInfo{}, fmt.Errorf("write a backup: %w", err)
	}
	return info, nil
}

// capture takes the state of this moment.
func (n *Node) capture() (*fsm.Snapshot, BackupInfo) {
	n.applier.mu.Lock()
	defer n.applier.mu.Unlock()
	m := n.applier.machine
	return m.Snapshot(), BackupInfo{
		ClusterID:    m.Directory().ClusterID,
		ClusterName:  n.cfg.ClusterName,
		NodeID:       n.ID(),
		Version:      n.cfg.Version,
		Index:        m.Index(),
		Term:         m.Term(),
		Epoch:        m.Epoch(),
		ClockMs:      m.ClockMs(),
		FeatureLevel: m.Directory().FeatureLevel,
		TakenAt:      n.wall().UTC(),
	}
}

func writeBackup(dst io.Writer, info BackupInfo, captured *fsm.Snapshot) error {
	w, err := snapshot.NewWriter(dst)
	if err != nil {
		return err
	}
	b, err := json.Marshal(info)
	if err != nil {
		return err
	}
	if err := w.Begin(sectionBackup, sectionBackupVersion); err != nil {
		return err
	}
	if err := w.Append(b); err != nil {
		return err
	}
	if err := captured.Write(w); err != nil {
		return err
	}
	return w.Close()
}

// boundWriter fails once its context has ended.
type boundWriter struct {
	ctx context.Context
	w   io.Writer
}

func (b *boundWriter) Write(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	return b.w.Write(p)
}

// Inspection says what a snapshot file holds.
type Inspection struct {
	// Backup is what the node that made the file said of it; nil for a snapshot out of a data directory.
	Backup *BackupInfo
	State  fsm.Summary
}

// Inspect reads a backup, or a snapshot out of a data directory, to its end, verifies it and says what it holds, in
// little memory whatever the size. Its errors are those of packages snapshot and fsm.
func Inspect(r io.Reader) (Inspection, error) {
	sr, err := snapshot.NewReader(r)
	if err != nil {
		return Inspection{}, err
	}
	var i Inspection
	if i.Backup, err = readBackupInfo(sr); err != nil {
		return Inspection{}, err
	}
	i.State, err = fsm.Inspect(sr)
	return i, err
}

// readBackupInfo reads the first section; nil if that is a data directory's snapshot.
func readBackupInfo(r *snapshot.Reader) (*BackupInfo, error) {
	section, err := r.Next()
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return nil, err
	case err != nil || section.ID != sectionBackup && section.ID != sectionRaft:
		return nil, fmt.Errorf("%w: it does not say where it is from", fsm.ErrMalformed)
	case section.ID == sectionRaft:
		return nil, nil
	case section.Version != sectionBackupVersion:
		return nil, fmt.Errorf("%w: version %d of section %d", fsm.ErrUnsupported, section.Version, section.ID)
	}
	b, err := r.Record()
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	var info BackupInfo
	if err := json.Unmarshal(b, &info); err != nil {
		return nil, fmt.Errorf("%w: section %d: %v", fsm.ErrMalformed, section.ID, err)
	}
	return &info, nil
}
