package cluster

import (
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// How far zeros are written ahead of the entries, and how many at a time.
const (
	walZerosAhead = 4 << 20
	walZerosStep  = 256 << 10
)

var walZeros [walZerosStep]byte

// zerosAhead writes zeros into a segment ahead of its entries, in the background. Writing to where nothing was written
// before, whether space is allocated there or not, changes what the file system knows of the file: flushing it commits
// the file system's journal, too, for which everybody's flushes wait. Flushing what takes the place of zeros that are on
// disk is the writing of just that, and takes half the time (ext4). A segment reads as zeros where nothing was written,
// so nobody sees the difference.
type zerosAhead struct {
	// file is open for the zeros alone. The kernel tells each opening of a file once that something could not be written:
	// were it told here, the flush of an entry would not learn of it.
	file *os.File
	full int64 // the file's size

	flushed atomic.Int64 // up to where the file holds entries, or zeros that are on disk
	latest  atomic.Int64 // where the last write ended

	mu      sync.Mutex // held by whoever writes behind flushed
	written int64      // where the last write ended that went behind flushed
	running bool
	ended   bool
	task    sync.WaitGroup
}

// open prepares to write zeros into a file of that size.
func (z *zerosAhead) open(path string, size int64) (err error) {
	z.full = size
	z.file, err = os.OpenFile(path, os.O_WRONLY, 0)
	return err
}

// write writes to the file, by do, up to an offset. Writes come one at a time, and each behind the one before it. do is
// told whether there is space for it already.
func (z *zerosAhead) write(to int64, do func(allocated bool) error) error {
	z.latest.Store(to)
	if to <= z.flushed.Load() {
		if z.flushed.Load()-to < walZerosAhead/2 {
			z.start()
		}
		return do(true)
	}
	defer z.start()
	z.mu.Lock()
	defer z.mu.Unlock()
	z.written = to
	return do(to <= z.flushed.Load())
}

// start has zeros written until there are enough of them.
func (z *zerosAhead) start() {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.running || z.ended {
		return
	}
	z.running = true
	z.task.Go(func() {
		for z.step() {
		}
	})
}

// step writes some zeros and reports whether more are needed. It is no error if they cannot be written: then entries are
// written to where there are none, and say what is wrong.
func (z *zerosAhead) step() (more bool) {
	z.mu.Lock()
	from := max(z.flushed.Load(), z.written)
	to := min(from/walZerosStep*walZerosStep+walZerosStep, z.full)
	more = !z.ended && from < to && from-z.latest.Load() < walZerosAhead
	var err error
	if more {
		_, err = z.file.WriteAt(walZeros[:to-from], from)
	}
	z.ended = z.ended || err != nil || from >= z.full
	z.running = more && err == nil
	z.mu.Unlock()
	if !more || err != nil {
		return false
	}
	if err := unix.Fdatasync(int(z.file.Fd())); err != nil {
		z.stop()
		return false
	}
	z.flushed.Store(to)
	return true
}

// stop has no more zeros written.
func (z *zerosAhead) stop() {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.ended, z.running = true, false
}

// close ends the writing of zeros, and waits for that.
func (z *zerosAhead) close() error {
	z.stop()
	z.task.Wait()
	return z.file.Close()
}
