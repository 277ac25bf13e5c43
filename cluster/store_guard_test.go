package cluster

import (
	"fmt"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

// TestStoreHangAmongOthers: a call that hangs is noticed, at most a slice late, while others come and go.
func TestStoreHangAmongOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const deadline, slice = 5 * time.Second, 5 * time.Second / deadlineSlices
		f := &fatals{}
		g := &storeGuard{deadline: deadline, fatal: f.report, observe: func(time.Duration) {}}
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			for {
				call := g.begin("do something else")
				time.Sleep(slice / 3)
				_ = g.end(call, nil)
				select {
				case <-stop:
					return
				default:
				}
			}
		}()
		time.Sleep(slice / 2) // in the middle of one
		hung := g.begin("write entries")
		time.Sleep(deadline - 1)
		f.none(t)
		time.Sleep(slice + 2)
		f.only(t, "not finished to write entries", "within 5s")
		_ = g.end(hung, nil)
		close(stop)
		<-stopped
		time.Sleep(2 * deadline)
		f.only(t) // nothing runs, nothing is reported
		g.mu.Lock()
		defer g.mu.Unlock()
		if len(g.running) != 2 || g.armed {
			t.Errorf("%d places, armed %v", len(g.running), g.armed)
		}
	})
}

// pieceStore is a store in memory that deletes three indexes at once, and notes what it deletes.
type pieceStore struct {
	*raft.InmemStore
	deleted []string
}

func (*pieceStore) deletedAtOnce() uint64 { return 3 }

func (s *pieceStore) DeleteRange(lo, hi uint64) error {
	s.deleted = append(s.deleted, fmt.Sprintf("%d-%d", lo, hi))
	return s.InmemStore.DeleteRange(lo, hi)
}

// TestDeletePiecemeal: the first entries go from the first one on and the last ones from the last one on, so that the log
// never has a gap.
func TestDeletePiecemeal(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		lo, hi uint64
		want   []string
	}{
		{11, 11, []string{"11-11"}},
		{11, 13, []string{"11-13"}},
		{11, 18, []string{"11-13", "14-16", "17-18"}},
		{1, 12, []string{"11-12"}}, // nothing lies before the first
		{1, 9, nil},
		{20, 20, []string{"20-20"}},
		{13, 20, []string{"18-20", "15-17", "13-14"}},
		{15, 30, []string{"18-20", "15-17"}}, // nor behind the last
		{11, 20, []string{"18-20", "15-17", "12-14", "11-11"}},
	} {
		store := &pieceStore{InmemStore: raft.NewInmemStore()}
		for index := uint64(11); index <= 20; index++ {
			if err := store.StoreLog(&raft.Log{Index: index}); err != nil {
				t.Fatal(err)
			}
		}
		if err := guardedBy(t, store).DeleteRange(c.lo, c.hi); err != nil {
			t.Errorf("%d to %d: %v", c.lo, c.hi, err)
		}
		if !reflect.DeepEqual(store.deleted, c.want) {
			t.Errorf("%d to %d: deleted %v, want %v", c.lo, c.hi, store.deleted, c.want)
		}
		for index := uint64(11); index <= 20; index++ {
			gone := store.GetLog(index, &raft.Log{}) != nil
			if want := c.lo <= index && index <= c.hi; gone != want {
				t.Errorf("%d to %d: entry %d is gone: %t", c.lo, c.hi, index, gone)
			}
		}
	}
}
