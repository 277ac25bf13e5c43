package cluster

import (
	"fmt"
	"testing"

	"github.com/syllecta/syllecta/fsm"
)

// BenchmarkPropose is what the proposer does for claims that share an entry, from the call to its result, without raft;
// the state machine's share is in it.
func BenchmarkPropose(b *testing.B) {
	for _, calls := range []int{1, 32, 256} {
		b.Run(fmt.Sprint(calls), func(b *testing.B) {
			s := newBench(b)
			keys := make([]fsm.RecordID, calls)
			proposals := make([]*proposal, calls)
			b.ReportAllocs()
			round := 0
			for b.Loop() {
				b.StopTimer()
				for i := range keys {
					keys[i] = record(fmt.Sprint(round, ".", i))
				}
				round++
				s.sizes = s.sizes[:0]
				b.StartTimer()
				for i, id := range keys {
					proposals[i] = s.enqueue(Call{Command: claim(id, "owner")})
				}
				s.commitAll()
				for _, pr := range proposals {
					if s.result(pr).Outcome != fsm.Granted {
						b.Fatal("not granted")
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(calls), "ns/call")
		})
	}
}

// BenchmarkReplay is what answering a claim of a completed record takes, without the confirmation that others share.
func BenchmarkReplay(b *testing.B) {
	n := openNode(b, Config{BootstrapExpect: 1})
	waitForLeader(b, n)
	id := fsm.RecordID{Tenant: newTenant(b, n), Scope: "orders", Key: "done"}
	if _, _, err := n.Propose(b.Context(), Call{Command: complete(id, `"paid"`)}); err != nil {
		b.Fatal(err)
	}
	calls := []Call{{Command: claim(id, "owner")}}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, ok := n.replay(calls); !ok {
			b.Fatal("not answered")
		}
	}
}
