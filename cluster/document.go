package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
)

// A document is a small file of the data directory: a line of JSON, and a line with its checksum.
const (
	documentVersion  = 1
	maxDocumentBytes = 64 << 10
)

// documentHead is what every document begins with, whatever it holds besides.
type documentHead struct {
	Version int `json:"version"`
}

// encodeDocument returns the content of a document that holds v.
func encodeDocument(v any) (string, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s\ncrc32c %08x\n", raw, crc32.Checksum(raw, castagnoli)), nil
}

// writeDocument replaces the document at path, durably and as a whole.
func writeDocument(path string, v any) error {
	content, err := encodeDocument(v)
	if err != nil {
		return err
	}
	return writeDurably(path, content)
}

// readDocument reads the document at path into v. It refuses what was damaged, or written by a newer version.
func readDocument(path string, v any) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if len(raw) > maxDocumentBytes {
		return fmt.Errorf("%s is larger than %d bytes", path, maxDocumentBytes)
	}
	line, rest, _ := strings.Cut(string(raw), "\n")
	if rest != fmt.Sprintf("crc32c %08x\n", crc32.Checksum([]byte(line), castagnoli)) {
		return fmt.Errorf("%s is damaged: its checksum does not match", path)
	}
	var head documentHead
	if err := json.Unmarshal([]byte(line), &head); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if head.Version != documentVersion {
		return fmt.Errorf("%s has format version %d, this release reads version %d", path, head.Version, documentVersion)
	}
	if err := json.Unmarshal([]byte(line), v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// writeDurably makes a file that is there whole or not at all, even if the machine loses power: a log may follow that
// is of no use without it.
func writeDurably(path, content string) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp")
	if err != nil {
		return err
	}
	_, err = f.WriteString(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes what was created, renamed or removed in a directory durable.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
