package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/syllecta/syllecta/api/envelope"
	"github.com/syllecta/syllecta/cluster"
)

func newKEK(t *terminal) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "kek",
		Short: "Make the key under which secrets of webhooks are encrypted",
		Example: `  syllecta kek generate --out kek
  syllecta kek generate --out kek --add
  syllecta kek rewrap`,
		Args: knownCommand,
		RunE: showHelp,
	}
	cmd.AddCommand(newKEKGenerate(t), newKEKRewrap(t))
	return cmd
}

func newKEKGenerate(t *terminal) *cobra.Command {
	var out string
	var add, asJSON bool
	cmd := &cobra.Command{
		Use:   "generate",
		Short: "Make a key-encryption key",
		Long: "Make a key-encryption key, in a file that only its owner can read. The nodes of a cluster all get the same\n" +
			"file as --kek-file. The log, snapshots and backups hold what is encrypted under it, never the key: without the\n" +
			"file, what it encrypts is lost. Keep a copy of it, and not beside the backups.\n\n" +
			"A file that exists is not overwritten. With --add a new key is put in front of those that are there: it encrypts\n" +
			"from now on, and the others go on decrypting. Copy the file to every node; they need no restart.",
		Example: `  syllecta kek generate --out kek
  syllecta kek generate --out kek --add             # a new key, the old ones stay`,
		Args: cobra.NoArgs,
	}
	flags := cmd.Flags()
	flags.StringVar(&out, "out", "kek", "`file` for the key")
	flags.BoolVar(&add, "add", false, "put a new key in front of those of the file")
	flags.BoolVar(&asJSON, "json", false, "print a JSON object")
	cmd.RunE = verb(func(*cobra.Command, []string) error {
		write := writeKEK
		if add {
			write = addKEK
		}
		keks, err := write(out)
		if err != nil {
			return err
		}
		if asJSON {
			ids := keks.IDs()
			return t.printJSON(madeKEK{File: out, Current: ids[0], Keys: ids})
		}
		return t.printKEKs(out, keks)
	})
	return cmd
}

// madeKEK tells what a file of key-encryption keys holds, by their ids.
type madeKEK struct {
	File    string   `json:"file"`
	Current string   `json:"current"`
	Keys    []string `json:"keys"` // the current one first
}

// writeKEK makes a file with one new key.
func writeKEK(path string) (*envelope.KEKs, error) {
	_, line := envelope.NewKEK()
	out := &newFiles{dir: filepath.Dir(path)}
	err := out.write(filepath.Base(path), []byte(line+"\n"))
	if errors.Is(err, fs.ErrExist) {
		return nil, &failure{code: exitConflict, err: fmt.Errorf("%s exists, and nothing is ever overwritten: what its keys "+
			"encrypt would be lost; put a new key in front of them with --add", path)}
	}
	if err != nil {
		return nil, errors.Join(err, out.remove())
	}
	return envelope.LoadKEKs(path)
}

// addKEK puts a new key in front of those of a file, and replaces it as a whole.
func addKEK(path string) (*envelope.KEKs, error) {
	old, err := cluster.ReadSecretFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, usageErrorf("--add: %s does not exist; leave the flag out to make it", path)
	}
	if err != nil {
		return nil, err
	}
	keks, err := envelope.ParseKEKs(old)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(keks.IDs()) == envelope.MaxKEKs {
		return nil, usageErrorf("%s: there are %d keys already, and no more are allowed; remove those that nothing is "+
			"encrypted under any more", path, envelope.MaxKEKs)
	}
	_, line := envelope.NewKEK()
	if err := replaceSecretFile(path, line+"\n"+string(old)); err != nil {
		return nil, err
	}
	return envelope.LoadKEKs(path)
}

// printKEKs shows what a file holds, by ids, and tells what to do with it.
func (t *terminal) printKEKs(path string, keks *envelope.KEKs) error {
	w := t.newTable("KEY", "USE")
	for i, id := range keks.IDs() {
		use := "decrypts"
		if i == 0 {
			use = "encrypts and decrypts"
		}
		w.AppendRow(row(id, use))
	}
	if err := t.printTable(w); err != nil {
		return err
	}
	_, err := fmt.Fprintf(t.out, "\nCopy %s to every node, for the user of the node alone (mode 0600), as its --kek-file.\n"+
		"Keep another copy, apart from the backups: without it nobody can read what it encrypts.\n", printable(path))
	return err
}
