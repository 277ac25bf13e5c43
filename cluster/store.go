package cluster

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
)

// The log stores that a node can have. LogStoreAuto is the one that its data directory has, and DefaultLogStore for a new
// one.
const (
	LogStoreAuto    = "auto"
	LogStoreBolt    = "boltdb" // raft-boltdb: one file with a tree of pages
	LogStoreWAL     = "wal"    // raft-wal: files that are only appended to
	DefaultLogStore = LogStoreWAL
)

// LogStores are all values of Config.LogStore.
var LogStores = []string{LogStoreAuto, LogStoreBolt, LogStoreWAL}

const (
	// storeLockTimeout bounds the wait for the store's file lock, so that a second process on the same data directory
	// says so instead of hanging.
	storeLockTimeout = 2 * time.Second
	// logCacheEntries is how many recent entries are kept in memory for replication.
	logCacheEntries = 1_024
)

var errDirectoryInUse = errors.New("another process uses this data directory")

// durableStore is a log and stable store on disk. To raft all of them are alike: indexes may be missing between entries,
// and are then not found.
type durableStore interface {
	raft.LogStore
	raft.StableStore
	io.Closer
}

// roomMaker is a store that makes room itself when it finds no space: a write of it that failed must not be repeated
// from outside. Set before its first write.
type roomMaker interface{ whenFull(makeRoom func()) }

// openStore opens the log and stable store in dir, or makes it there. It refuses a directory that has another one than
// the kind that is wanted. What it finds and mends, it logs.
func openStore(dir, want string, log *slog.Logger) (durableStore, error) {
	kind, err := chooseStore(dir, want)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, storeNames[kind])
	if kind == LogStoreWAL {
		err = makeWAL(path, walOptions{log: log})
	}
	if err != nil {
		return nil, fmt.Errorf("make %s: %w", path, err)
	}
	store, err := openKindAt(path, kind, false, log)
	if err != nil {
		return nil, err
	}
	// Nobody else is at work here now.
	if err := removeConverted(dir); err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return store, nil
}

// openKindAt opens a store, which must be there if it is a directory.
func openKindAt(path, kind string, readOnly bool, log *slog.Logger) (durableStore, error) {
	if kind == LogStoreWAL {
		return asStore(openWAL(path, walOptions{log: log, readOnly: readOnly}))
	}
	return asStore(openBolt(path, readOnly))
}

// asStore makes no store of a nil pointer to one.
func asStore[S durableStore](s S, err error) (durableStore, error) {
	if err != nil {
		return nil, err
	}
	return s, nil
}

// openStoreToRead opens the store that dir has, without changing it; a conversion that was all but done is finished. No
// node can start meanwhile.
func openStoreToRead(dir string, log *slog.Logger) (durableStore, error) {
	kind, err := storeIn(dir)
	if err != nil {
		return nil, err
	}
	if kind == "" {
		return nil, fmt.Errorf("%s has no log", dir)
	}
	return openKindAt(filepath.Join(dir, storeNames[kind]), kind, true, log)
}

// absent reports whether err only says that a key was never set, as raft expects of a new node.
func absent(err error) bool { return err != nil && err.Error() == raftboltdb.ErrKeyNotFound.Error() }

// refuseDamage returns what turns a panic into an error: bbolt, raft-wal and raft answer damaged files with one, if
// touching the memory behind a file that was cut off does not. It is deferred where files are read for the first time.
func refuseDamage(err *error) func() {
	before := debug.SetPanicOnFault(true)
	return func() {
		debug.SetPanicOnFault(before)
		if p := recover(); p != nil {
			*err = fmt.Errorf("the data is damaged: %v", p)
		}
	}
}
