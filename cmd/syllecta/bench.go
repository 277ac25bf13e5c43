package main

import (
	"cmp"
	"strings"

	"github.com/spf13/cobra"
)

const benchHelp = `Put load on a cluster and measure how it answers.

  claim     claims of new keys
  complete  a claim of a new key, then a PUT of its result
  replay    claims of completed keys, which are stored before the measurement
  contend   claims of a few hot keys; who gets the lock releases it at once, who finds it held goes on to another key
  mixed     claims: 70 % of new keys, 25 % of completed ones, 5 % of keys that somebody else holds
  batch     POST /v1/records with many claims of new keys

Without --rate each connection sends a request as soon as it has the answer to the one before. With --rate, requests
are due at even distances, whatever becomes of the others; the next free connection sends the one that is due, and its
latency counts from the moment it was due, not from the moment it was sent. What is still unsent at the end is counted.

The load goes to the leader, and follows it when it moves. The API key is shown to no node but the members: those
that --server names, and with an admin token those that the cluster knows. Errors are counted by kind and end nothing;
an operation is a claim that was answered, and latencies are those of requests without error. CPU time per request is
that of all nodes together whose /metrics can be read, and of this program.

With an admin token and without an API key it makes a key of its own, of a tenant named bench, and revokes it at the
end. What it writes goes away by itself, see --ttl-seconds.`

// benchFlags are the flags of bench.
type benchFlags struct {
	adminFlags
	servers    []string
	apiKeyFile string
	options    benchOptions
}

func newBench(t *terminal) *cobra.Command {
	f := &benchFlags{adminFlags: adminFlags{t: t}}
	cmd := &cobra.Command{
		Use:   "bench SCENARIO",
		Short: "Put load on a cluster and measure it",
		Long:  benchHelp,
		Example: `  syllecta bench claim --admin-token-file token
  syllecta bench complete --connections 256 --duration 30s --json
  syllecta bench replay --keys 100000 --rate 5000
  SYLLECTA_API_KEY=ck_… syllecta bench mixed --server http://10.0.0.1:4000,http://10.0.0.2:4000,http://10.0.0.3:4000`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeScenario,
	}
	f.addTo(cmd)
	cmd.RunE = verb(func(cmd *cobra.Command, args []string) error {
		f.options.scenario = args[0]
		if err := f.options.check(); err != nil {
			return err
		}
		return f.bench(cmd.Context())
	})
	return cmd
}

func (f *benchFlags) addTo(cmd *cobra.Command) {
	flags, o := cmd.Flags(), &f.options
	flags.SortFlags = false
	flags.IntVar(&o.connections, "connections", 64, "`number` of connections, each with one request at a time")
	flags.Float64Var(&o.rate, "rate", 0,
		"`requests` per second that are due, on all connections together (default as many as there are answers)")
	flags.DurationVar(&o.duration, "duration", defaultBenchDuration, "how long to measure")
	flags.DurationVar(&o.warmUp, "warm-up", defaultBenchWarmUp, "how long to put the load on it before, unmeasured")
	flags.DurationVar(&o.timeout, "timeout", defaultBenchTimeout,
		"a request without an answer after this time, and at most a second more, has failed")
	flags.IntVar(&o.keyBytes, "key-bytes", 40, "length of a key, in `bytes`")
	flags.IntVar(&o.bodyBytes, "body-bytes", 200, "size of a result as JSON, in `bytes`")
	flags.IntVar(&o.keys, "keys", 0,
		"`number` of completed keys in replay and mixed (default 10000), of hot keys in contend (default 16)")
	flags.IntVar(&o.batchSize, "batch-size", 100, "`number` of claims in a request of batch")
	flags.Int64Var(&o.ttlSeconds, "ttl-seconds", 0,
		"life of what is written, in `seconds` (default the time of the run and five minutes)")
	flags.StringVar(&o.scope, "scope", "bench", "scope of the keys")
	flags.StringSliceVar(&f.servers, "server", nil,
		"`url` of any node, several separated by commas (default "+defaultServer+") [SYLLECTA_SERVER]")
	flags.StringVar(&f.apiKeyFile, "api-key-file", "",
		"`file` with an API key [SYLLECTA_API_KEY with the key itself]; none makes one with the admin token")
	flags.StringVar(&f.tokenFile, "admin-token-file", "",
		"`file` with the admin token [SYLLECTA_ADMIN_TOKEN_FILE, or SYLLECTA_ADMIN_TOKEN with the token itself]")
	flags.StringVar(&f.caFile, "ca-file", "",
		"`file` with the CAs, in PEM, that alone may sign a node's certificate; none takes the system's [SYLLECTA_CA_FILE]")
	flags.BoolVar(&f.json, "json", false, "print the result as one JSON object")
}

func completeScenario(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return scenarios, cobra.ShellCompDirectiveNoFileComp
}

// addresses are the nodes that the caller names.
func (f *benchFlags) addresses() []string {
	if len(f.servers) > 0 {
		return f.servers
	}
	return strings.Split(cmp.Or(f.t.env("SYLLECTA_SERVER"), defaultServer), ",")
}

// client speaks to one node, with that token.
func (f *benchFlags) client(server, token string) (*client, error) {
	c, err := newClient(server, token)
	if err != nil {
		return nil, err
	}
	if file := cmp.Or(f.caFile, f.t.env("SYLLECTA_CA_FILE")); file != "" {
		err = c.trustOnly(file)
	}
	return c, err
}
