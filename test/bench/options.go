package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Bounds of the flags. All latencies of a run are kept, so its length times the rate of the fastest peer is memory.
const (
	maxRounds      = 100
	maxSeconds     = 120
	maxWarmUp      = 60
	maxConnections = 1024
	maxQuiet       = 10_000
)

// options are what the flags say.
type options struct {
	rounds      int
	duration    time.Duration // measured time of each run
	warmUp      time.Duration // the same load before it, which does not count
	connections []int         // of each run, in the order in which they are measured
	quiet       int           // percent of a core that others may use during a run; more repeats it; 0 for any
	work        []string      // scenarios; peers know claim only
	only        []string      // names of the peers to measure; empty for all
	dir         string        // where the temporary directory is made
	syllecta    string        // our binary; empty builds it
	baseline    string        // a second binary of ours; empty for none
	json        string        // file for the raw results; empty for none
}

// parseOptions reads the command line. Its errors name the flag.
func parseOptions(args []string, output io.Writer) (options, error) {
	var o options
	var seconds, warmUp int
	var connections, work, only string
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(output)
	flags.IntVar(&o.rounds, "rounds", 3, "`number` of times everything is measured")
	flags.IntVar(&seconds, "seconds", 8, "measured `seconds` of each run")
	flags.IntVar(&warmUp, "warm-up", 2, "`seconds` of load before each run")
	flags.StringVar(&connections, "connections", "64,256,1", "`numbers` of concurrent claims")
	flags.IntVar(&o.quiet, "quiet", 0,
		"repeat a run during which others used more than this `percent` of a core; 0 takes it as it is")
	flags.StringVar(&work, "work", strings.Join(scenarios, ","), "`scenarios` to run; all but claim are ours alone")
	flags.StringVar(&only, "only", "", "`names` of the peers to measure, of "+strings.Join(peerNames, ",")+" (default all)")
	flags.StringVar(&o.dir, "dir", os.TempDir(), "`directory`, on a real disk, for everybody's data")
	flags.StringVar(&o.syllecta, "syllecta", "", "`path` of our binary (default: build it)")
	flags.StringVar(&o.baseline, "baseline", "", "`path` of another binary of ours to measure beside it")
	flags.StringVar(&o.json, "json", "", "`file` for the results of every run")
	if err := flags.Parse(args); err != nil {
		return options{}, err
	}
	if flags.NArg() > 0 {
		return options{}, fmt.Errorf("unknown argument %q", flags.Arg(0))
	}
	o.duration, o.warmUp = time.Duration(seconds)*time.Second, time.Duration(warmUp)*time.Second
	var err error
	o.connections, err = parseNumbers(connections)
	if o.baseline == "" && slices.Contains(strings.Split(only, ","), baselineName) {
		err = errors.Join(err, errors.New("-only: there is no "+baselineName+" without -baseline"))
	}
	return o, errors.Join(
		inRange("-rounds", o.rounds, 1, maxRounds),
		inRange("-seconds", seconds, 1, maxSeconds),
		inRange("-warm-up", warmUp, 0, maxWarmUp),
		inRange("-quiet", o.quiet, 0, maxQuiet),
		err,
		chosen("-work", work, scenarios, &o.work),
		chosen("-only", only, peerNames, &o.only),
	)
}

func inRange(name string, n, low, high int) error {
	if n < low || n > high {
		return fmt.Errorf("%s: %d is not between %d and %d", name, n, low, high)
	}
	return nil
}

// parseNumbers reads the value of -connections.
func parseNumbers(list string) ([]int, error) {
	var numbers []int
	for word := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(word))
		if err != nil {
			return nil, fmt.Errorf("-connections: %q is no number", word)
		}
		if err := inRange("-connections", n, 1, maxConnections); err != nil {
			return nil, err
		}
		if slices.Contains(numbers, n) {
			return nil, fmt.Errorf("-connections: %d is there twice", n)
		}
		numbers = append(numbers, n)
	}
	return numbers, nil
}

// chosen reads a list of known words.
func chosen(name, list string, known []string, into *[]string) error {
	if list == "" {
		return nil
	}
	for word := range strings.SplitSeq(list, ",") {
		word = strings.TrimSpace(word)
		if !slices.Contains(known, word) {
			return fmt.Errorf("%s: %q is none of %s", name, word, strings.Join(known, ", "))
		}
		if slices.Contains(*into, word) {
			return fmt.Errorf("%s: %q is there twice", name, word)
		}
		*into = append(*into, word)
	}
	return nil
}

// wants reports whether a peer is to be measured.
func (o options) wants(name string) bool { return len(o.only) == 0 || slices.Contains(o.only, name) }

// mostConnections is the largest of the numbers.
func (o options) mostConnections() int { return slices.Max(o.connections) }
