package cluster

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"hash/fnv"
	"io/fs"
	"os"
	"slices"

	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
)

// What raft-boltdb calls its buckets.
const (
	boltLogs   = "logs"
	boltStable = "conf"
)

// boltCheck looks for damage to the names of what a file of raft-boltdb's holds: what has lost its name is not there, and
// a node that finds no term has forgotten what it voted.
type boltCheck struct {
	buckets []string
	last    []byte // key of an entry
}

func (c *boltCheck) key(bucket, key []byte) error {
	switch name := string(bucket); {
	case name != boltLogs && name != boltStable:
		return fmt.Errorf("the data is damaged: it has a part %q", name)
	case key == nil:
		c.buckets = append(c.buckets, name)
	case name == boltStable && !slices.Contains(stableNumbers, string(key)) && !slices.Contains(stableValues, string(key)):
		return fmt.Errorf("the data is damaged: raft's state has a part %q", key)
	case name == boltLogs && (len(key) != 8 || bytes.Compare(c.last, key) >= 0):
		return errors.New("the data is damaged: the entries are not in their order")
	case name == boltLogs:
		c.last = append(c.last[:0], key...)
	}
	return nil
}

// complete refuses a file with one part: both are made together, when the file is.
func (c *boltCheck) complete() error {
	if len(c.buckets) == 1 {
		return fmt.Errorf("the data is damaged: it has nothing but %s", c.buckets[0])
	}
	return nil
}

// boltOptions are those of every file of bbolt's. The free list is rebuilt when the file is opened instead of being
// written with every commit.
func boltOptions(readOnly bool) *bbolt.Options {
	return &bbolt.Options{
		Timeout: storeLockTimeout, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType, ReadOnly: readOnly,
	}
}

// boltDeletedAtOnce bounds what one write to a file of bbolt's deletes, and for how long entries wait for it: about a
// millisecond.
const boltDeletedAtOnce = 1_024

// boltStore is a log and stable store on raft-boltdb.
type boltStore struct{ *raftboltdb.BoltStore }

func (*boltStore) deletedAtOnce() uint64 { return boltDeletedAtOnce }

// openBolt opens the log and stable store in a file, or makes it.
func openBolt(path string, readOnly bool) (s *boltStore, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("open %s: %w", path, err)
		}
	}()
	defer refuseDamage(&err)()
	var check boltCheck
	if err := walkBolt(path, check.key); err != nil {
		return nil, err
	}
	if err := check.complete(); err != nil {
		return nil, err
	}
	if err := flushBolt(path, readOnly); err != nil {
		return nil, err
	}
	store, err := raftboltdb.New(raftboltdb.Options{
		Path: path, BoltOptions: boltOptions(readOnly), MsgpackUseNewTimeFormat: true,
	})
	if err != nil {
		return nil, err
	}
	return &boltStore{store}, nil
}

// checkBoltMetas refuses a file of which one of the two meta pages is damaged. The commits write them in turn, and bbolt
// makes do with the other one: with the file as it was one commit before, if it is the last one's that is damaged. A crash
// does not do that. What such a page holds fits in a sector, which is written whole or not at all.
func checkBoltMetas(path string, pageBytes int) error {
	const pageHeaderBytes, summedBytes = 16, 56 // of the page, and of what follows; then comes its FNV-1a
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for page := range 2 {
		var meta [summedBytes + 8]byte
		if _, err := f.ReadAt(meta[:], int64(page*pageBytes+pageHeaderBytes)); err != nil {
			return err
		}
		sum := fnv.New64a()
		_, _ = sum.Write(meta[:summedBytes]) // never fails (hash.Hash)
		if binary.NativeEndian.Uint64(meta[summedBytes:]) != sum.Sum64() {
			return fmt.Errorf("the data is damaged: the checksum of page %d does not match", page)
		}
	}
	return nil
}

// flushBolt has what is read from a file on disk: the process that wrote it may have been killed before it was.
func flushBolt(path string, readOnly bool) error {
	if readOnly {
		return nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// walkBolt touches everything in a file of bbolt's. Opening the file for writing does that too, to find out which pages
// are free, but in a goroutine of bbolt's, where a damaged page ends the process without a word. It shows
// every bucket to see, with a nil key, and every key.
func walkBolt(path string, see func(bucket, key []byte) error) error {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: storeLockTimeout, ReadOnly: true})
	if errors.Is(err, bbolterrors.ErrTimeout) {
		return errDirectoryInUse
	}
	if err != nil {
		return err
	}
	defer db.Close()
	if err := checkBoltMetas(path, db.Info().PageSize); err != nil {
		return err
	}
	return db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
			if err := see(name, nil); err != nil {
				return err
			}
			return b.ForEach(func(key, value []byte) error {
				if value == nil || len(key) > bbolt.MaxKeySize {
					return errors.New("the data is damaged: a key is too long, or a bucket stands where a value should")
				}
				_ = crc32.ChecksumIEEE(value) // reads it
				return see(name, key)
			})
		})
	})
}
