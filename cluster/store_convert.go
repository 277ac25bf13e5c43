package cluster

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"
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
	DryRun   bool              // reads and verifies the log, and changes nothing but a conversion that was all but done
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
	out            bool // the old log is no longer in its place
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
	err = errors.Join(err, c.close(err != nil && !c.out))
	return c.Conversion, err
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

// reopen opens the new log as a node would.
func (c *conversion) reopen() (err error) {
	if err := c.target.Close(); err != nil {
		return err
	}
	c.target, err = openKindAt(c.built(), c.To, false, c.o.Logger)
	return err
}

// moveOut takes the old log away. From here on the conversion is finished by whoever opens the directory.
func (c *conversion) moveOut() error {
	if err := syncDir(c.dir); err != nil { // the new one is there for good
		return err
	}
	old := c.path(c.From)
	if err := os.Rename(old, old+replacedSuffix); err != nil {
		return err
	}
	c.out = true
	return syncDir(c.dir)
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

// close closes what is open, the old log last: then others may come.
func (c *conversion) close(giveUp bool) (err error) {
	if c.target != nil {
		err = c.target.Close()
	}
	if giveUp && c.source != nil && !c.o.DryRun {
		err = errors.Join(err, removeConverted(c.dir))
	}
	if c.source != nil {
		err = errors.Join(err, c.source.Close())
	}
	return err
}
