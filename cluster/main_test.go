package cluster

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"testing"
)

// The tests mostly wait, for elections and disks: more of them run at a time than there are processors.
const testsPerProcessor = 2

// storeHistories is how many random histories of a log store are tried unless -rapid.checks says otherwise.
const storeHistories = 30

func TestMain(m *testing.M) {
	walSegmentBytes = 4 * mib
	flag.Parse()
	given := make(map[string]bool)
	flag.Visit(func(f *flag.Flag) { given[f.Name] = true })
	for name, value := range map[string]int{
		"test.parallel": testsPerProcessor * runtime.GOMAXPROCS(0),
		"rapid.checks":  storeHistories,
	} {
		if given[name] {
			continue
		}
		if err := flag.Set(name, strconv.Itoa(value)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}
