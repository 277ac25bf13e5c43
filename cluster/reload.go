package cluster

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxSecretFileBytes bounds a file with certificates or keys; a bundle of a dozen certificates has about 20 KiB.
	maxSecretFileBytes = 256 << 10
	// othersMask is the permission bits of everybody but the owner.
	othersMask = 0o077
)

// Reloaded is a value that is read from files, and read again once they have changed. It never loses a good value to
// files that cannot be read or make no sense.
type Reloaded[T any] struct {
	load    func() (T, error)
	paths   []string
	current atomic.Pointer[T]

	mu     sync.Mutex // of Reload
	stamps []fileStamp
	failed string // what the last attempt failed with; "" if it did not
}

// NewReloaded calls load for the first value. The files at paths are those that load reads.
func NewReloaded[T any](load func() (T, error), paths ...string) (*Reloaded[T], error) {
	r := &Reloaded[T]{load: load, paths: paths, stamps: stampsOf(paths)}
	v, err := load()
	if err != nil {
		return nil, err
	}
	r.current.Store(&v)
	return r, nil
}

// Current returns the newest good value.
func (r *Reloaded[T]) Current() T { return *r.current.Load() }

// Reload looks at the files, and reports whether Current is another value than before. An attempt that fails is
// repeated on the next call; each failure is returned once, until another one or a success follows it.
func (r *Reloaded[T]) Reload() (changed bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	// Taken before the files are read: a change after this moment is seen next time.
	stamps := stampsOf(r.paths)
	if r.failed == "" && slices.Equal(stamps, r.stamps) {
		return false, nil
	}
	v, err := r.load()
	if err != nil {
		if err.Error() == r.failed {
			return false, nil
		}
		r.failed = err.Error()
		return false, err
	}
	// Files that were repaired to what they had been before are loaded once more, which does no harm.
	r.current.Store(&v)
	r.stamps, r.failed = stamps, ""
	return true, nil
}

// fileStamp changes when a file does.
type fileStamp struct {
	modified time.Time
	size     int64
	mode     os.FileMode
}

// stampsOf follows symbolic links: those that swap a whole directory of certificates at once are common. A file that
// is not there has the zero stamp.
func stampsOf(paths []string) []fileStamp {
	stamps := make([]fileStamp, len(paths))
	for i, path := range paths {
		if info, err := os.Stat(path); err == nil {
			stamps[i] = fileStamp{info.ModTime(), info.Size(), info.Mode()}
		}
	}
	return stamps
}

// ReadSecretFile reads a file of at most 256 KiB that nobody but its owner may read or write; others are refused.
func ReadSecretFile(path string) ([]byte, error) {
	return readLimited(path, func(mode os.FileMode) error {
		if mode.Perm()&othersMask != 0 {
			return fmt.Errorf("%s can be read by others (mode %04o); run: chmod 600 %s", path, mode.Perm(), path)
		}
		return nil
	})
}

// ReadPublicFile reads a file of at most 256 KiB, whoever may read it.
func ReadPublicFile(path string) ([]byte, error) {
	return readLimited(path, func(os.FileMode) error { return nil })
}

func readLimited(path string, allowed func(os.FileMode) error) (content []byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	if err := allowed(info.Mode()); err != nil {
		return nil, err
	}
	content, err = io.ReadAll(io.LimitReader(f, maxSecretFileBytes+1))
	if err != nil {
		return nil, err
	}
	if len(content) > maxSecretFileBytes {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxSecretFileBytes)
	}
	return content, nil
}
