package test

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"
)

var (
	binaryFlag  = flag.String("binary", "", "`path` of the binary to test; none builds it")
	killsFlag   = flag.Int("kills", 4, "`number` of kills in TestKill and TestBackup, half as many in TestConvertLogStore")
	seedFlag    = flag.Uint64("seed", 0, "`seed` of TestKill's choices; 0 takes a new one")
	pauseFlag   = flag.Duration("pause", 20*time.Millisecond, "how long clients pause at most between two calls beside faults")
	cutFlag     = flag.Duration("cut", 2*time.Second, "how long TestPartition keeps a node cut off")
	roundsFlag  = flag.Int("rounds", 1, "how often TestRollingRestart restarts all nodes, and TestHungDisk hangs the leader's disk")
	loadFlag    = flag.Duration("load", 0, "how long TestLoad runs; 0 skips it")
	recordsFlag = flag.Int("records", 0, "how many records TestLarge and TestExpiry restore; 0 skips them")
	keysFlag    = flag.Int("keys", 150, "how many keys TestContention has many clients claim, twice")
	eventsFlag  = flag.Int("events", 800, "how many events TestWebhooks sends")
	storeFlag   = flag.String("log-store", "auto", "log `store` of all nodes that are started: auto, boltdb or wal")
)

// patience bounds every wait for a condition. It is far beyond what a healthy cluster needs, because the machine may be
// busy with other tests.
const patience = 60 * time.Second

// binary is the path of the program under test.
var binary string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "syllecta-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if binary, err = findBinary(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	go launcher()
	runMoreAtATime()
	return m.Run()
}

// testsPerProcessor is how many tests run at a time, for every processor: they mostly wait, for elections and disks.
const testsPerProcessor = 2

// runMoreAtATime has more tests run in parallel than there are processors, unless -parallel says how many.
func runMoreAtATime() {
	const name = "test.parallel"
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == name })
	if given {
		return
	}
	if err := flag.Set(name, strconv.Itoa(testsPerProcessor*runtime.GOMAXPROCS(0))); err != nil {
		panic(err)
	}
}

// findBinary returns the binary named by the flag, or builds one in dir.
func findBinary(dir string) (string, error) {
	if *binaryFlag != "" {
		path, err := filepath.Abs(*binaryFlag)
		if err != nil {
			return "", fmt.Errorf("-binary: %w", err)
		}
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("-binary: %w", err)
		}
		return path, nil
	}
	path := filepath.Join(dir, "syllecta")
	out, err := exec.Command("go", "build", "-o", path, "../cmd/syllecta").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("building the binary: %w\n%s", err, out)
	}
	return path, nil
}
