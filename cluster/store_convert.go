package cluster

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"
)

const (
	// convertBatchEntries and convertBatchBytes bound what is converted in one write.
	convertBatchEntries = 256
	convertBatchBytes   = 4 << 20
	// convertDeadline is how long one call to a store may take before it counts as failed.
	convertDeadline = time.Minute
)

// What raft keeps in a stable store.
var (
	stableNumbers = []string{"CurrentTerm", "LastVoteTerm"}
	stableValues  = []string{"LastVoteCand"}
)

// Conversion is what converting a log comes, or came, to.
type Conversion struct {
	From, To string
	// FirstIndex and LastIndex are the log's; 0 if it is empty.
	FirstIndex, LastIndex uint64
	Entries               uint64
	Bytes                 int64 // of the entries' data
	Done                  bool  // the directory has the new log now, or had it before
}

// ConvertOptions say how to convert a log.
type ConvertOptions struct {
	DryRun   bool              // reads and verifies the log, and changes nothing
	Progress func(bytes int64) // is told how many bytes more are converted, or verified; nil for nobody
	Logger   *slog.Logger      // of what is found and mended; nil for none
}

// conversion makes a log of another kind of what a log has. What its steps leave behind when they are cut short, storeIn
// and removeConverted know.
type conversion struct {
	Conversion
	dir            string
	o              ConvertOptions
	source, target durableStore
}

// ConvertLogStore converts the log in the data directory of a stopped node into one of the kind to, LogStoreBolt or
// LogStoreWAL. Every entry and all of raft's state is read back and compared before the new log takes the place of the old
// one, which is removed then: once the node has gone on with the new one, it would be a memory of what the node has not
// stored and voted. If the machine stops meanwhile, the directory has the old log or the new one. It fails while a node
// runs there, and on any damage.
func ConvertLogStore(dir, to string, o ConvertOptions) (Conversion, error) {
	if to != LogStoreBolt && to != LogStoreWAL {
		return Conversion{}, fmt.Errorf("a log cannot be converted to %q: want %s or %s", to, LogStoreBolt, LogStoreWAL)
	}
	if o.Progress == nil {
		o.Progress = func(int64) {}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	has, err := storeIn(dir)
	if err != nil {
		return Conversion{}, err
	}
	if has == "" {
		return Conversion{}, fmt.Errorf("%s is not the data directory of a node that has run", dir)
	}
	c := &conversion{Conversion: Conversion{From: has, To: to}, dir: dir, o: o}
	for _, step := range c.steps() {
		if err = step(); err != nil {
			err = fmt.Errorf("convert the log in %s: %w", dir, err)
			break
		}
	}
	return c.Conversion, errors.Join(err, c.close())
}

func (c *conversion) steps() []func() error {
	switch {
	case c.o.DryRun:
		return []func() error{c.openToRead, c.survey}
	case c.From == c.To:
		return []func() error{c.open, c.survey, c.clean}
	default:
		return []func() error{c.open, c.build, c.copy, c.reopen, c.verify, c.moveOut, c.moveIn, c.clean}
	}
}

// openToRead opens the log, without changing it.
func (c *conversion) openToRead() (err error) {
	c.source, err = openStoreToRead(c.dir, c.o.Logger)
	return err
}

// open opens the log: nobody else can from now on.
func (c *conversion) open() (err error) {
	c.source, err = openKindAt(c.path(c.From), c.From, false, c.o.Logger)
	return err
}

// survey reads and verifies all of the log.
func (c *conversion) survey() error {
	return c.each(c.source, func(*raft.Log) error { return nil })
}

// build makes the new log, empty, beside the old one.
func (c *conversion) build() (err error) {
	if err := removeConverted(c.dir); err != nil {
		return err
	}
	if c.To == LogStoreWAL {
		if err := buildWAL(c.built(), walOptions{log: c.o.Logger}); err != nil {
			return err
		}
	}
	c.target, err = openKindAt(c.built(), c.To, false, c.o.Logger)
	return err
}

func (c *conversion) path(kind string) string { return filepath.Join(c.dir, storeNames[kind]) }

func (c *conversion) built() string { return c.path(c.To) + convertedSuffix }

// copy fills the new log.
func (c *conversion) copy() error {
	logs := c.guarded(c.target)
	var batch []*raft.Log
	bytes := 0
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		err := logs.StoreLogs(batch)
		batch, bytes = nil, 0
		return err
	}
	err := c.each(c.source, func(log *raft.Log) error {
		if len(batch) > 0 && log.Index != batch[len(batch)-1].Index+1 {
			if err := flush(); err != nil {
				return err
			}
		}
		batch = append(batch, log)
		if bytes += len(log.Data); len(batch) < convertBatchEntries && bytes < convertBatchBytes {
			return nil
		}
		return flush()
	})
	if err = errors.Join(err, flush()); err != nil {
		return err
	}
	return copyStable(c.source, c.target)
}

func copyStable(from, to raft.StableStore) error {
	for _, key := range stableNumbers {
		n, err := from.GetUint64([]byte(key))
		if err == nil {
			err = to.SetUint64([]byte(key), n)
		}
		if err != nil && !absent(err) {
			return err
		}
	}
	for _, key := range stableValues {
		value, err := from.Get([]byte(key))
		if err == nil {
			err = to.Set([]byte(key), value)
		}
		if err != nil && !absent(err) {
			return err
		}
	}
	return nil
}

// reopen opens the new log as a node would.
func (c *conversion) reopen() (err error) {
	if err := c.target.Close(); err != nil {
		return err
	}
	c.target, err = openKindAt(c.built(), c.To, false, c.o.Logger)
	return err
}

// verify compares the new log with the old one, entry by entry, and what raft keeps beside it.
func (c *conversion) verify() error {
	converted := c.guarded(c.target)
	first, err := converted.FirstIndex()
	if err != nil {
		return err
	}
	last, err := converted.LastIndex()
	if err != nil {
		return err
	}
	if first != c.FirstIndex || last != c.LastIndex {
		return fmt.Errorf("the new log goes from %d to %d, the old one from %d to %d", first, last, c.FirstIndex, c.LastIndex)
	}
	err = c.each(c.source, func(log *raft.Log) error {
		var got raft.Log
		if err := converted.GetLog(log.Index, &got); err != nil {
			return err
		}
		if !sameEntry(log, &got) {
			return fmt.Errorf("entry %d is another one in the new log", log.Index)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.verifyStable()
}

func sameEntry(a, b *raft.Log) bool {
	return a.Index == b.Index && a.Term == b.Term && a.Type == b.Type && string(a.Data) == string(b.Data) &&
		string(a.Extensions) == string(b.Extensions) && a.AppendedAt.Equal(b.AppendedAt)
}

func (c *conversion) verifyStable() error {
	for _, key := range stableNumbers {
		want, wantErr := c.source.GetUint64([]byte(key))
		got, err := c.target.GetUint64([]byte(key))
		if err := sameAnswer(key, want == got, wantErr, err); err != nil {
			return err
		}
	}
	for _, key := range stableValues {
		want, wantErr := c.source.Get([]byte(key))
		got, err := c.target.Get([]byte(key))
		if err := sameAnswer(key, string(want) == string(got), wantErr, err); err != nil {
			return err
		}
	}
	return nil
}

func sameAnswer(key string, same bool, wantErr, err error) error {
	switch {
	case wantErr != nil && !absent(wantErr):
		return wantErr
	case err != nil && !absent(err):
		return err
	case !same || absent(wantErr) != absent(err):
		return fmt.Errorf("raft's %s is another one in the new store", key)
	default:
		return nil
	}
}

// moveOut takes the old log away. From here on the conversion is finished by whoever opens the directory.
func (c *conversion) moveOut() error {
	if err := syncDir(c.dir); err != nil { // the new one is there for good
		return err
	}
	old := c.path(c.From)
	return errors.Join(os.Rename(old, old+replacedSuffix), syncDir(c.dir))
}

// moveIn puts the new log in its place.
func (c *conversion) moveIn() error {
	if err := finishConversion(c.dir, storeNames[c.From], storeNames[c.To]); err != nil {
		return err
	}
	c.Done = true
	return nil
}

// clean removes the old log.
func (c *conversion) clean() error {
	c.Done = true
	return removeConverted(c.dir)
}

func (c *conversion) close() (err error) {
	for _, s := range []durableStore{c.target, c.source} {
		if s != nil {
			err = errors.Join(err, s.Close())
		}
	}
	return err
}

func (c *conversion) guarded(s durableStore) *guardedLogs {
	// What fails is returned as well.
	return &guardedLogs{&storeGuard{deadline: convertDeadline, fatal: func(error) {}, observe: func(time.Duration) {}}, s}
}

// each passes every entry of a log, verified. What lies before a gap that no log of the other kind may have, is of no use
// to the node (maxWALGap), and left out.
func (c *conversion) each(store durableStore, do func(*raft.Log) error) error {
	logs := c.guarded(store)
	first, err := logs.FirstIndex()
	if err != nil {
		return err
	}
	last, err := logs.LastIndex()
	if err != nil || last == 0 {
		return err
	}
	first = max(first, c.FirstIndex) // which an earlier pass has found
	before := first
	c.FirstIndex, c.LastIndex, c.Entries, c.Bytes = first, last, 0, 0
	for index := first; index <= last; index++ {
		var log raft.Log
		err := logs.GetLog(index, &log)
		if errors.Is(err, raft.ErrLogNotFound) {
			continue
		}
		if err == nil {
			err = do(&log)
		}
		if err != nil {
			return err
		}
		if index > before+1+maxWALGap {
			c.FirstIndex, c.Entries, c.Bytes = index, 0, 0
		}
		before = index
		c.Entries++
		c.Bytes += int64(len(log.Data))
		c.o.Progress(int64(len(log.Data)))
	}
	return nil
}
