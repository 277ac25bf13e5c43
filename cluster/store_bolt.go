package cluster

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"

	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
)

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

// openBolt opens the log and stable store in raftFile, or makes it.
func openBolt(dir string, readOnly bool) (s *boltStore, err error) {
	path := filepath.Join(dir, raftFile)
	defer func() {
		if err != nil {
			err = fmt.Errorf("open %s: %w", path, err)
		}
	}()
	defer refuseDamage(&err)()
	if err := walkBolt(path); err != nil {
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

// walkBolt touches everything in a file of bbolt's. Opening the file for writing does that too, to find out which pages
// are free, but in a goroutine of bbolt's, where a damaged page ends the process without a word.
func walkBolt(path string) error {
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
	return db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(_ []byte, b *bbolt.Bucket) error {
			return b.ForEach(func(key, value []byte) error {
				if value == nil || len(key) > bbolt.MaxKeySize {
					return errors.New("the data is damaged: a key is too long, or a bucket stands where a value should")
				}
				_ = crc32.ChecksumIEEE(value) // reads it
				return nil
			})
		})
	})
}
