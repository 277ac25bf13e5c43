package cluster

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/hashicorp/raft"
)

const (
	// killedStoreEnv has the test binary write to a store until it is killed: the kind of the store and its directory.
	killedStoreEnv = "SYLLECTA_TEST_KILLED_STORE"
	// storeKills is how often a store's process is killed.
	storeKills = 40
)

// TestStoreKilled kills the process that writes to a store again and again, with segments so small that one is begun
// every few writes. What it said to be written is there each time, and the store goes on.
func TestStoreKilled(t *testing.T) {
	if job := os.Getenv(killedStoreEnv); job != "" {
		kind, dir, _ := strings.Cut(job, " ")
		writeUntilKilled(t, kind, dir)
		return
	}
	t.Parallel()
	for _, kind := range storeKinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			dir, seed := t.TempDir(), rand.Uint64()
			t.Logf("seed %d", seed)
			rng := rand.New(rand.NewPCG(seed, 1))
			for range storeKills {
				least := killWriter(t, kind, dir, 1+rng.IntN(60))
				checkKilled(t, kind, dir, least)
			}
		})
	}
}

// killWriter has a process write to the store, kills it after some writes, and returns the least that must be there.
func killWriter(t *testing.T, kind, dir string, writes int) (least uint64) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestStoreKilled$")
	cmd.Env = append(os.Environ(), killedStoreEnv+"="+kind+" "+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	seen := 0
	for lines.Scan() { // also what it says between the decision and its end
		if _, err := fmt.Sscanf(lines.Text(), "at least %d", &least); err != nil {
			t.Errorf("the process says %q", lines.Text())
		}
		if seen++; seen == writes {
			_ = cmd.Process.Kill()
		}
	}
	_ = cmd.Wait()
	if seen < writes {
		t.Fatalf("the process ended by itself after %d writes", seen)
	}
	return least
}

// writeUntilKilled appends, compacts and overrules, and says before or after each what must be there from then on.
func writeUntilKilled(t *testing.T, kind, dir string) {
	store, err := openTestKind(dir, kind)
	if err != nil {
		t.Fatal(err)
	}
	logs := guardedBy(t, store)
	last, err := logs.LastIndex()
	for round := uint64(1); err == nil; round++ {
		var batch []*raft.Log
		for range 1 + round%3 {
			last++
			batch = append(batch, walEntry(last))
		}
		if err = logs.StoreLogs(batch); err != nil {
			break
		}
		fmt.Printf("at least %d\n", last)
		if round%11 == 0 && last > 40 {
			err = logs.DeleteRange(1, last-30)
		}
		if round%17 == 0 && last > 3 {
			fmt.Printf("at least %d\n", last-2)
			err = logs.DeleteRange(last-1, last)
			last -= 2
		}
	}
	t.Fatal(err)
}

func checkKilled(t *testing.T, kind, dir string, least uint64) {
	t.Helper()
	store, err := openTestKind(dir, kind)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	logs := guardedBy(t, store)
	first, err := logs.FirstIndex()
	if err != nil {
		t.Fatal(err)
	}
	last, err := logs.LastIndex()
	if err != nil || last < least || last > least+3+2 {
		t.Fatalf("entry %d was acknowledged, %d is the last: %v", least, last, err)
	}
	for index := first; index <= last; index++ {
		var got raft.Log
		if err := logs.GetLog(index, &got); err != nil {
			t.Fatal(err)
		}
		if want := walEntry(index); !sameEntry(want, &got) {
			t.Fatalf("read %+v, wrote %+v", &got, want)
		}
	}
	if first > last {
		t.Fatalf("from %d to %d", first, last)
	}
}
