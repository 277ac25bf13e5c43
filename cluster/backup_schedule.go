package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/syllecta/syllecta/snapshot"
)

const (
	// backupPatience is how long a backup that is due waits for a leader; backupRetry is the pause after one that failed.
	backupPatience = 30 * time.Second
	backupRetry    = time.Minute

	backupSuffix     = ".snapshot"
	backupTimeFormat = "20060102T150405Z"
	// spaceCheckBytes is how much is written between two looks at the free space.
	spaceCheckBytes = 16 << 20
)

// backupTail is what follows cluster and node in the name of a backup.
var backupTail = regexp.MustCompile(`^([0-9]{8}T[0-9]{6}Z)-[0-9]+\.snapshot$`)

// backupSchedule is what a node remembers of the backups that it makes by itself.
type backupSchedule struct {
	lastSuccess prometheus.Gauge
	failures    prometheus.Counter
	failing     bool // and has said so
}

func newBackupSchedule(cfg Config) *backupSchedule {
	s := &backupSchedule{
		lastSuccess: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "syllecta_backup_last_success_timestamp_seconds",
			Help: "When the newest scheduled backup of this node was made, in Unix seconds; 0 if there is none.",
		}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "syllecta_backup_failures_total",
			Help: "Scheduled backups that failed, or were skipped because no leader could be reached.",
		}),
	}
	if cfg.BackupDir != "" {
		cfg.Metrics.MustRegister(s.lastSuccess, s.failures)
	}
	return s
}

// prepareBackups makes sure that scheduled backups can be written, and removes what a crash left of one.
func prepareBackups(cfg Config, nodeID string) error {
	if cfg.BackupDir == "" {
		return nil
	}
	if err := os.MkdirAll(cfg.BackupDir, 0o700); err != nil {
		return fmt.Errorf("backup directory: %w", err)
	}
	pattern := unfinishedBackup(cfg.ClusterName, nodeID)
	if err := removeUnfinished(filepath.Join(cfg.BackupDir, pattern)); err != nil {
		return fmt.Errorf("backup directory: %w", err)
	}
	f, err := os.CreateTemp(cfg.BackupDir, pattern)
	if err != nil {
		return fmt.Errorf("backup directory: no file can be made in it: %w", err)
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// unfinishedBackup is the pattern of names that no finished backup has, nor any other node's: '+' is in no name.
func unfinishedBackup(clusterName, nodeID string) string {
	return "." + clusterName + "+" + nodeID + "+*.tmp"
}

// runBackups makes a backup whenever one is due, until ctx ends.
func (n *Node) runBackups(ctx context.Context) {
	if n.cfg.BackupDir == "" {
		return
	}
	for pause := n.untilBackup(); ; {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		err := n.makeBackup(ctx)
		if ctx.Err() != nil {
			return
		}
		n.schedule.report(n, err)
		if pause = n.untilBackup(); err != nil {
			pause = min(backupRetry, n.cfg.BackupEvery)
		}
	}
}

// report counts a failure, and logs the first of a row.
func (s *backupSchedule) report(n *Node, err error) {
	if err == nil {
		if s.failing {
			n.log.Info("scheduled backups work again")
		}
		s.failing = false
		return
	}
	s.failures.Inc()
	if !s.failing {
		n.log.Error("a scheduled backup failed; it is tried again, and this is said once", "error", err)
	}
	s.failing = true
}

// untilBackup is how long to wait for the next backup: what is left of BackupEvery since the newest. One of the future
// is no excuse.
func (n *Node) untilBackup() time.Duration {
	own, err := n.ownBackups()
	if err != nil || len(own) == 0 {
		return 0
	}
	newest := own[len(own)-1].takenAt
	n.schedule.lastSuccess.Set(float64(newest.Unix()))
	age := n.wall().Sub(newest)
	if age < 0 {
		return 0
	}
	return max(0, n.cfg.BackupEvery-age)
}

// makeBackup writes a backup, verifies what is on disk, and removes those that are not to be kept any more.
func (n *Node) makeBackup(ctx context.Context) error {
	waiting, cancel := context.WithTimeout(ctx, backupPatience)
	defer cancel()
	if _, ok := n.WaitLeader(waiting); !ok {
		return fmt.Errorf("%w: there is no leader to catch up with", ErrUnavailable)
	}
	f, err := os.CreateTemp(n.cfg.BackupDir, unfinishedBackup(n.cfg.ClusterName, n.ID())) // mode 0600
	if err != nil {
		return err
	}
	info, err := n.writeBackupFile(ctx, f)
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	name := n.backupPrefix() + info.TakenAt.Format(backupTimeFormat) + fmt.Sprintf("-%d", info.Index) + backupSuffix
	if err := os.Rename(f.Name(), filepath.Join(n.cfg.BackupDir, name)); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	if err := syncDir(n.cfg.BackupDir); err != nil {
		return err
	}
	n.log.Info("made a scheduled backup", "file", name, "index", info.Index)
	return n.expireBackups()
}

func (n *Node) writeBackupFile(ctx context.Context, f *os.File) (BackupInfo, error) {
	info, err := n.Backup(ctx, &frugalWriter{w: f, room: func(bytes int64) error {
		return roomIn(n.cfg.BackupDir, bytes, n.cfg.DiskFreeFloor)
	}})
	if err != nil {
		return info, err
	}
	if err := f.Sync(); err != nil {
		return info, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return info, err
	}
	if _, err := snapshot.Verify(&boundReader{ctx, f}); err != nil {
		return info, fmt.Errorf("verify the backup that was written: %w", err)
	}
	return info, nil
}

// frugalWriter stops before the file system of the backups is full: it may be that of the log.
type frugalWriter struct {
	w         io.Writer
	room      func(bytes int64) error
	unchecked int // bytes that may be written until the next look
}

func (f *frugalWriter) Write(p []byte) (int, error) {
	if f.unchecked -= len(p); f.unchecked < 0 {
		if err := f.room(spaceCheckBytes + int64(len(p))); err != nil {
			return 0, err
		}
		f.unchecked = spaceCheckBytes
	}
	return f.w.Write(p)
}

// ownBackup is a scheduled backup of this node.
type ownBackup struct {
	path    string
	takenAt time.Time
}

func (n *Node) backupPrefix() string { return n.cfg.ClusterName + "-" + n.ID() + "-" }

// ownBackups lists this node's backups, oldest first. Its directory may hold anything else, and backups of others under
// names that are alike ("a-b" of "c", "a" of "b-c"): only a file that says itself whose it is counts.
func (n *Node) ownBackups() (own []ownBackup, err error) {
	entries, err := os.ReadDir(n.cfg.BackupDir)
	if err != nil {
		return nil, fmt.Errorf("list backups: %w", err)
	}
	for _, e := range entries {
		tail, ok := strings.CutPrefix(e.Name(), n.backupPrefix())
		parts := backupTail.FindStringSubmatch(tail)
		if !ok || parts == nil || !e.Type().IsRegular() {
			continue
		}
		path := filepath.Join(n.cfg.BackupDir, e.Name())
		at, err := time.Parse(backupTimeFormat, parts[1])
		if err == nil && n.made(path) {
			own = append(own, ownBackup{path, at})
		}
	}
	slices.SortStableFunc(own, func(a, b ownBackup) int { return a.takenAt.Compare(b.takenAt) })
	return own, nil
}

// expireBackups removes this node's oldest backups.
func (n *Node) expireBackups() error {
	own, err := n.ownBackups()
	if err != nil {
		return err
	}
	for _, b := range own[:max(0, len(own)-n.cfg.BackupKeep)] {
		if err := os.Remove(b.path); err != nil {
			return fmt.Errorf("remove an old backup: %w", err)
		}
	}
	return nil
}

// made reports whether a file says that this node made it.
func (n *Node) made(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	r, err := snapshot.NewReader(f)
	if err != nil {
		return false
	}
	info, err := readBackupInfo(r)
	return err == nil && info != nil && info.ClusterName == n.cfg.ClusterName && info.NodeID == n.ID()
}
