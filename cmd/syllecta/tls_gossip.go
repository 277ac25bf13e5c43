package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/syllecta/syllecta/cluster"
)

// gossipStep is one step of a rotation. It takes the keys of a file, the first of which encrypts.
type gossipStep func(keys []string) ([]string, error)

func addGossipKey(keys []string) ([]string, error) {
	if len(keys) == cluster.MaxGossipKeys {
		return nil, usageErrorf("there are %d keys already, and no more are allowed; remove the old ones with --prune",
			len(keys))
	}
	return slices.Insert(keys, 1, newGossipKey()), nil
}

func promoteGossipKey(keys []string) ([]string, error) {
	if len(keys) < 2 {
		return nil, usageErrorf("there is no second key; make one with --add, and give it to all nodes first")
	}
	keys[0], keys[1] = keys[1], keys[0]
	return keys, nil
}

func pruneGossipKeys(keys []string) ([]string, error) {
	if len(keys) < 2 {
		return nil, usageErrorf("there is one key only, which cannot be removed")
	}
	return keys[:1], nil
}

// rotateGossip takes the file one step further and shows what it holds now, by fingerprints.
func (t *terminal) rotateGossip(path string, step gossipStep) error {
	raw, err := cluster.ReadGossipKeys(path)
	if err != nil {
		return err
	}
	keys := make([]string, len(raw))
	for i, key := range raw {
		keys[i] = base64.StdEncoding.EncodeToString(key)
	}
	if keys, err = step(keys); err != nil {
		return err
	}
	if err := replaceSecretFile(path, strings.Join(keys, "\n")+"\n"); err != nil {
		return err
	}
	if raw, err = cluster.ReadGossipKeys(path); err != nil {
		return err
	}
	w := t.newTable("KEY", "USE")
	for i, key := range raw {
		use := "decrypts"
		if i == 0 {
			use = "encrypts and decrypts"
		}
		w.AppendRow(row(cluster.GossipKeyFingerprint(key), use))
	}
	if err := t.printTable(w); err != nil {
		return err
	}
	_, err = fmt.Fprintf(t.out, "\nCopy %s to every node, and wait until all have taken it, before the next step.\n",
		printable(path))
	return err
}

// replaceSecretFile puts a new file in the place of one, as a whole. It belongs to whom the old one belonged: a node
// that runs under its own user must go on reading it.
func replaceSecretFile(path, content string) (err error) {
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return err
	}
	old, err := os.Stat(path)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.WriteString(content)
	if owner, ok := old.Sys().(*syscall.Stat_t); ok && err == nil {
		err = f.Chown(int(owner.Uid), int(owner.Gid))
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
