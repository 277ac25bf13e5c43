package cluster

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// The files in which a data directory says whose it is.
const (
	nodeIDFile  = "node-id"
	diskIDFile  = "disk-id"
	removedFile = "removed.json"
	raftFile    = "raft.db"
)

// identity returns the node's id, which the data directory keeps: raft counts votes by it, so a directory never
// changes its id.
func identity(dir, configured string) (string, error) {
	kept, err := readIdentity(dir, nodeIDFile, namePattern, raftFile, walDir)
	switch {
	case err != nil:
		return "", err
	case kept != "" && configured != "" && kept != configured:
		return "", fmt.Errorf("this data directory belongs to node %q, not %q: use its own id, or another directory",
			kept, configured)
	case kept != "":
		return kept, nil
	}
	if configured == "" {
		configured = "node-" + randomHex(4)
	}
	return configured, keepIdentity(dir, nodeIDFile, configured)
}

var diskIDPattern = regexp.MustCompile(`^[0-9a-f]{16}$`)

// diskIdentity returns what tells this data directory from every other: a node that comes back under its id with
// another one has forgotten what it voted and stored, so the cluster must not count on it.
func diskIdentity(dir string) (string, error) {
	// The first release kept a log without it, and not yet to which cluster it belongs.
	kept, err := readIdentity(dir, diskIDFile, diskIDPattern, affiliationFile)
	if err != nil || kept != "" {
		return kept, err
	}
	id := randomHex(8)
	return id, keepIdentity(dir, diskIDFile, id)
}

// readIdentity returns an identity that the directory keeps, or "" if it is new: if it holds nothing either that is made
// after it.
func readIdentity(dir, name string, pattern *regexp.Regexp, later ...string) (string, error) {
	path := filepath.Join(dir, name)
	raw, err := os.ReadFile(path)
	kept := strings.TrimSpace(string(raw))
	switch {
	case err == nil && !pattern.MatchString(kept):
		return "", fmt.Errorf("%s does not hold a %s", path, strings.ReplaceAll(name, "-", " "))
	case err == nil:
		return kept, nil
	case !errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	for _, made := range later {
		if _, err := os.Stat(filepath.Join(dir, made)); err == nil {
			return "", fmt.Errorf("%s is missing beside an existing log: restore it, the node must not change it", path)
		}
	}
	return "", nil
}

func keepIdentity(dir, name, id string) error {
	if err := writeDurably(filepath.Join(dir, name), id+"\n"); err != nil {
		return fmt.Errorf("keep the %s: %w", strings.ReplaceAll(name, "-", " "), err)
	}
	return nil
}

func randomHex(bytes int) string {
	b := make([]byte, bytes)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return hex.EncodeToString(b)
}
