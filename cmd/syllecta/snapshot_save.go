package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/syllecta/syllecta/cluster"
)

// standardOutput as a file name stands for it.
const standardOutput = "-"

func newSnapshotSave(t *terminal) *cobra.Command {
	flags := &adminFlags{t: t}
	var force bool
	cmd := &cobra.Command{
		Use:   "save FILE",
		Short: "Save a backup of a running cluster",
		Long: "Save a backup of a running cluster: everything that was acknowledged before the command began. It is taken\n" +
			"from the node that is asked, while all of them go on serving. What arrives is verified; only a whole backup\n" +
			"gets the name FILE. With - it goes to standard output, and the exit code tells whether it is whole.",
		Example: `  syllecta snapshot save backup.snapshot --admin-token-file token
  syllecta snapshot save - --server http://10.0.0.2:4000 | zstd > backup.snapshot.zst`,
		Args: cobra.ExactArgs(1),
	}
	flags.addTo(cmd)
	cmd.Flags().BoolVar(&force, "force", false, "replace FILE if it exists")
	cmd.RunE = verb(func(cmd *cobra.Command, args []string) error {
		a, err := flags.admin()
		if err != nil {
			return err
		}
		if args[0] == standardOutput {
			return saveToOutput(cmd.Context(), t, a)
		}
		if _, err := os.Lstat(args[0]); err == nil && !force {
			return &failure{code: exitConflict, err: fmt.Errorf("%s exists; --force replaces it", args[0])}
		}
		file, err := saveToFile(cmd.Context(), t, a, args[0])
		if err != nil {
			return err
		}
		if flags.json {
			return t.printJSON(file.json())
		}
		_, err = fmt.Fprintf(t.out, "saved %s: %s, %d records, %d locks, of cluster %s at index %d\n", printable(file.path),
			byteText(file.bytes), file.State.Records, file.State.Locks, printable(file.Backup.ClusterName), file.State.Index)
		return err
	})
	return cmd
}

func saveToOutput(ctx context.Context, t *terminal, a admin) error {
	if isTerminal(t.out) {
		return usageErrorf("a backup is nothing for a terminal: redirect the output, or name a file")
	}
	_, _, err := saveTo(ctx, t, a, t.out)
	return err
}

// saveToFile saves a backup under a name that it gets when it is whole and on disk.
func saveToFile(ctx context.Context, t *terminal, a admin, path string) (inspectedFile, error) {
	temporary := path + ".tmp"
	f, err := os.OpenFile(temporary, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return inspectedFile{}, err
	}
	held, size, err := saveTo(ctx, t, a, f)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		return inspectedFile{}, errors.Join(err, os.Remove(temporary))
	}
	return inspectedFile{path, size, held}, syncDirectory(filepath.Dir(path))
}

func syncDirectory(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// saveTo copies a backup from a node to w, and verifies it on the way.
func saveTo(ctx context.Context, t *terminal, a admin, w io.Writer) (cluster.Inspection, int64, error) {
	m := t.startMeter("saved", 0, "")
	defer m.finish()
	resp, err := a.stream(ctx, http.MethodGet, "", nil)
	if err != nil {
		return cluster.Inspection{}, 0, err
	}
	defer resp.Body.Close()
	held, err := copyVerified(io.MultiWriter(w, m), resp.Body)
	if err == nil && held.Backup == nil {
		err = errors.New("it does not say whose backup it is")
	}
	if err != nil {
		return held, 0, unreachable("the backup that %s sent is not whole, and was not kept: %w", resp.Request.URL.Host, err)
	}
	return held, m.moved.Load(), nil
}

// copyVerified copies a snapshot and says what it holds. The reader is what verifies it: it reads on only while all is
// well.
func copyVerified(w io.Writer, r io.Reader) (cluster.Inspection, error) {
	return cluster.Inspect(io.TeeReader(r, w))
}
