package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/syllecta/syllecta/cluster"
)

func newSnapshot(t *terminal) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "snapshot",
		Short: "Save, restore and inspect backups",
		Long: "Save the state of a running cluster to a file, restore it, and look into such files.\n\n" +
			"A snapshot holds everything: tenants, API keys (as hashes), usage, locks and records with the results of\n" +
			"requests. Keep it as you keep the data itself.",
		Example: `  syllecta snapshot save backup.snapshot --admin-token-file token
  syllecta snapshot verify backup.snapshot
  syllecta snapshot restore backup.snapshot --admin-token-file token`,
		Args: knownCommand,
		RunE: showHelp,
	}
	cmd.AddCommand(newSnapshotSave(t), newSnapshotRestore(t), newSnapshotInspect(t), newSnapshotVerify(t))
	return cmd
}

// inspectedFile is a snapshot on this machine, verified to its end.
type inspectedFile struct {
	path  string
	bytes int64
	cluster.Inspection
}

// inspectFile verifies a file and says what it holds.
func (t *terminal) inspectFile(ctx context.Context, path string) (inspectedFile, error) {
	f, size, err := openSnapshotFile(path)
	if err != nil {
		return inspectedFile{}, err
	}
	defer f.Close()
	m := t.startMeter("verified", size, "")
	defer m.finish()
	held, err := cluster.Inspect(&interruptible{ctx, m.countReads(f)})
	if err != nil {
		return inspectedFile{}, fmt.Errorf("%s: %w", path, err)
	}
	return inspectedFile{path, size, held}, nil
}

// openSnapshotFile opens a backup, or the snapshot in a directory that a node keeps one in.
func openSnapshotFile(path string) (f *os.File, size int64, err error) {
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		path = filepath.Join(path, "state.bin")
		info, err = os.Stat(path)
	}
	if err == nil && !info.Mode().IsRegular() {
		return nil, 0, usageErrorf("%s is not a regular file", path)
	}
	if err == nil {
		f, err = os.Open(path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, &failure{code: exitNotFound, err: err}
	}
	if err != nil {
		return nil, 0, err
	}
	return f, info.Size(), nil
}

// interruptible fails once its context has ended.
type interruptible struct {
	ctx context.Context
	r   io.Reader
}

func (i *interruptible) Read(p []byte) (int, error) {
	if err := i.ctx.Err(); err != nil {
		return 0, err
	}
	return i.r.Read(p)
}

// describe writes what a file holds.
func (i *inspectedFile) describe(w io.Writer) error {
	s := i.State
	of := "cluster " + s.ClusterID
	made := "by a node for itself (it comes out of a data directory)"
	if b := i.Backup; b != nil {
		of = fmt.Sprintf("cluster %s (%s)", printable(b.ClusterName), s.ClusterID)
		made = fmt.Sprintf("%s by node %s, version %s",
			b.TakenAt.Format(time.RFC3339), printable(b.NodeID), printable(b.Version))
	}
	for _, line := range [][2]string{
		{"File", fmt.Sprintf("%s, %s", printable(i.path), byteText(i.bytes))},
		{"Of", of},
		{"Made", made},
		{"Log", fmt.Sprintf("index %d, term %d", s.Index, s.Term)},
		{"Clock", time.UnixMilli(s.ClockMs).UTC().Format(time.RFC3339Nano)},
		{"Fences", fmt.Sprintf("epoch %d, %d grants in it", s.Epoch, s.Grants)},
		{"Feature level", fmt.Sprint(s.FeatureLevel)},
		{"Tenants", fmt.Sprintf("%d, with %d API keys", s.Tenants, s.Keys)},
		{"Records", fmt.Sprintf("%d, %s", s.Records, byteText(s.RecordBytes))},
		{"Locks", fmt.Sprint(s.Locks)},
	} {
		if _, err := fmt.Fprintf(w, "%-14s %s\n", line[0], line[1]); err != nil {
			return err
		}
	}
	return nil
}

// fileJSON is what --json prints of a file.
type fileJSON struct {
	File         string              `json:"file"`
	Bytes        int64               `json:"bytes"`
	Backup       *cluster.BackupInfo `json:"backup,omitempty"`
	ClusterID    string              `json:"clusterId"`
	Index        uint64              `json:"index"`
	Term         uint64              `json:"term"`
	Clock        time.Time           `json:"clock"`
	Epoch        uint64              `json:"epoch"`
	Grants       uint64              `json:"grants"`
	FeatureLevel uint32              `json:"featureLevel"`
	Tenants      int                 `json:"tenants"`
	Keys         int                 `json:"keys"`
	Records      int                 `json:"records"`
	RecordBytes  int64               `json:"recordBytes"`
	Locks        int                 `json:"locks"`
	Members      int                 `json:"members"`
}

func (i *inspectedFile) json() fileJSON {
	s := i.State
	return fileJSON{
		File: i.path, Bytes: i.bytes, Backup: i.Backup, ClusterID: s.ClusterID, Index: s.Index, Term: s.Term,
		Clock: time.UnixMilli(s.ClockMs).UTC(), Epoch: s.Epoch, Grants: s.Grants, FeatureLevel: s.FeatureLevel,
		Tenants: s.Tenants, Keys: s.Keys, Records: s.Records, RecordBytes: s.RecordBytes, Locks: s.Locks,
		Members: s.Members,
	}
}

func newSnapshotInspect(t *terminal) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "inspect FILE",
		Short: "Verify a snapshot file and show what it holds",
		Long: "Verify a snapshot file to its last byte and show what it holds. No node is needed. FILE is a backup, or a\n" +
			"snapshot out of a data directory (snapshots/*/state.bin).",
		Example: `  syllecta snapshot inspect backup.snapshot
  syllecta snapshot inspect backup.snapshot --json`,
		Args: cobra.ExactArgs(1),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	cmd.RunE = verb(func(cmd *cobra.Command, args []string) error {
		file, err := t.inspectFile(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		if asJSON {
			return t.printJSON(file.json())
		}
		return file.describe(t.out)
	})
	return cmd
}

func newSnapshotVerify(t *terminal) *cobra.Command {
	return &cobra.Command{
		Use:   "verify FILE",
		Short: "Verify a snapshot file",
		Long: "Verify a snapshot file: its checksums to the last byte, its structure and every record. No node is needed.\n" +
			"The exit code is 0 if it is whole and 1 if it is not.",
		Example: `  syllecta snapshot verify backup.snapshot`,
		Args:    cobra.ExactArgs(1),
		RunE: verb(func(cmd *cobra.Command, args []string) error {
			file, err := t.inspectFile(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(t.out, "%s is whole: %d bytes, %d records, %d locks\n",
				printable(file.path), file.bytes, file.State.Records, file.State.Locks)
			return err
		}),
	}
}
