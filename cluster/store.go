package cluster

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
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
	DefaultLogStore = LogStoreBolt
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
	store, err := openKind(dir, kind, log)
	if err != nil {
		return nil, err
	}
	// Nobody else is at work here now.
	if err := removeConverted(dir); err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return store, nil
}

func openKind(dir, kind string, log *slog.Logger) (durableStore, error) {
	if kind == LogStoreWAL {
		return openWAL(dir, walOptions{log: log})
	}
	return openBolt(dir, false)
}

// openStoreToRead opens the store that dir has, without changing it. No node can start meanwhile.
func openStoreToRead(dir string, log *slog.Logger) (durableStore, error) {
	kind, err := storeIn(dir)
	if err != nil {
		return nil, err
	}
	switch kind {
	case LogStoreBolt:
		return openBolt(dir, true)
	case LogStoreWAL:
		return openWAL(dir, walOptions{log: log, readOnly: true})
	default:
		return nil, fmt.Errorf("%s has no log", dir)
	}
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
