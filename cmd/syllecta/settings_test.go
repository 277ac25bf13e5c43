package main

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

// load reads settings from a command line, an environment and the text of a file ("" for none). The data directory,
// which is required, is given.
func load(t *testing.T, args, environ []string, file string) (loaded, error) {
	t.Helper()
	return loadBare(t, append([]string{"--data-dir=d"}, args...), environ, file)
}

func loadBare(t *testing.T, args, environ []string, file string) (loaded, error) {
	t.Helper()
	path := ""
	if file != "" {
		path = filepath.Join(t.TempDir(), "syllecta.toml")
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	flags := pflag.NewFlagSet("server", pflag.ContinueOnError)
	flags.String("config", "", "")
	addSettingFlags(flags)
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	return loadSettings(flags, environ, path)
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	got, err := load(t, nil, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	want := settings{
		ClusterName: "syllecta", DataDir: "d",
		HTTPAddr: "127.0.0.1:4000", HTTPAdvertise: "http://127.0.0.1:4000",
		RaftAddr: "127.0.0.1:4100", GossipAddr: "127.0.0.1:4200",
		BootstrapExpect: 1, MaxRecordBodyBytes: 256 << 10, MaxRecordTTL: 30 * 24 * time.Hour,
		DefaultTTL: 24 * time.Hour, DefaultLease: time.Minute, Followers: "redirect", RequestTimeout: 10 * time.Second,
		MaxConnections: 10000, RaftMultiplier: 1, SnapshotThreshold: 16384, StoreDeadline: 5 * time.Second,
		DiskFreeFloor: 256 << 20, LogLevel: "info", LogFormat: "auto",
	}
	if !reflect.DeepEqual(got.settings, want) {
		t.Errorf("got  %+v\nwant %+v", got.settings, want)
	}
	if len(got.changed) != 1 || got.changed[0].Key != "data_dir" {
		t.Errorf("changed: got %v, want the data directory alone", got.changed)
	}
}

func TestPrecedence(t *testing.T) {
	t.Parallel()
	const file = "raft_multiplier = 2"
	env := []string{"SYLLECTA_RAFT_MULTIPLIER=3"}
	flag := []string{"--raft-multiplier=4"}
	for _, c := range []struct {
		name      string
		flag, env []string
		file      string
		want      int
	}{
		{"default", nil, nil, "", 1},
		{"file over default", nil, nil, file, 2},
		{"environment over file", nil, env, file, 3},
		{"flag over environment and file", flag, env, file, 4},
		{"flag over file", flag, nil, file, 4},
		{"a flag with the default's value counts", []string{"--raft-multiplier=1"}, env, file, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := load(t, c.flag, c.env, c.file)
			if err != nil {
				t.Fatal(err)
			}
			if got.RaftMultiplier != c.want {
				t.Errorf("got %d, want %d", got.RaftMultiplier, c.want)
			}
		})
	}
}

func TestAliases(t *testing.T) {
	t.Parallel()
	environ := []string{"IDEMPOTENCY_MAX_RECORD_BODY_BYTES=1000", "IDEMPOTENCY_MAX_RECORD_TTL_SECONDS=100000"}
	got, err := load(t, nil, environ, "max_record_body_bytes = 5")
	if err != nil {
		t.Fatal(err)
	}
	if got.MaxRecordBodyBytes != 1000 || got.MaxRecordTTL != 100_000*time.Second {
		t.Errorf("got %d bytes and %v", got.MaxRecordBodyBytes, got.MaxRecordTTL)
	}
	for _, order := range [][]string{
		{"SYLLECTA_MAX_RECORD_BODY_BYTES=2000", "IDEMPOTENCY_MAX_RECORD_BODY_BYTES=1000"},
		{"IDEMPOTENCY_MAX_RECORD_BODY_BYTES=1000", "SYLLECTA_MAX_RECORD_BODY_BYTES=2000"},
	} {
		if got, err = load(t, nil, order, ""); err != nil || got.MaxRecordBodyBytes != 2000 {
			t.Errorf("%v: got %d, %v; want our own name to win", order, got.MaxRecordBodyBytes, err)
		}
	}
}

func TestLists(t *testing.T) {
	t.Parallel()
	want := []string{"a:1", "b:2", "[::1]:3"}
	for name, c := range map[string]struct {
		args, env []string
		file      string
	}{
		"repeated flag":   {args: []string{"--join=a:1", "--join=b:2", "--join=[::1]:3"}},
		"comma list":      {args: []string{"--join=a:1, b:2,[::1]:3"}},
		"environment":     {env: []string{"SYLLECTA_JOIN=a:1,b:2,[::1]:3,"}},
		"array of a file": {file: `join = ["a:1", "b:2", "[::1]:3"]`},
		"text of a file":  {file: `join = "a:1,b:2,[::1]:3"`},
	} {
		got, err := load(t, append(c.args, "--bootstrap-expect=3"), c.env, c.file)
		if err != nil || !slices.Equal(got.Join, want) {
			t.Errorf("%s: got %v, %v; want %v", name, got.Join, err, want)
		}
	}
}

func TestBooleanFlagNeedsNoValue(t *testing.T) {
	t.Parallel()
	got, err := load(t, []string{"--allow-public-plaintext", "--raft-addr=10.0.0.1:4100"}, nil, "")
	if err != nil || !got.AllowPublicPlaintext || got.RaftAddr != "10.0.0.1:4100" {
		t.Errorf("got %+v, %v", got.settings, err)
	}
}

func TestFileValuesOfAllTypes(t *testing.T) {
	t.Parallel()
	got, err := load(t, nil, nil, "allow_public_plaintext = true\nstore_deadline = \"2s\"\nmax_connections = 5\n")
	if err != nil || !got.AllowPublicPlaintext || got.StoreDeadline != 2*time.Second || got.MaxConnections != 5 {
		t.Errorf("got %+v, %v", got.settings, err)
	}
}

// badValues has a refused value for every setting. Those of the second group are allowed by themselves.
var badValues = []struct{ name, value string }{
	{"data-dir", ""},
	{"data-dir", strings.Repeat("x", maxTextBytes+1)},
	{"node-id", "-x"},
	{"node-id", strings.Repeat("x", 64)},
	{"cluster-name", ""},
	{"cluster-name", "a b"},
	{"http-addr", "4000"},
	{"http-addr", "h:0"},
	{"http-addr", "h:65536"},
	{"http-addr", ""},
	{"http-addr", "http://h:4000"},
	{"http-advertise", "ftp://h"},
	{"http-advertise", "http://h/path"},
	{"http-advertise", "http://u:p@h"},
	{"http-advertise", "0.0.0.0:4000"},
	{"http-advertise", "http://[::]:4000"},
	{"raft-addr", ""},
	{"raft-addr", "h"},
	{"raft-advertise", "h:x"},
	{"gossip-addr", "::1:4200"},
	{"gossip-advertise", "h"},
	{"allow-public-plaintext", "yes"},
	{"bootstrap-expect", "10"},
	{"bootstrap-expect", "0"},
	{"bootstrap-expect", "-1"},
	{"bootstrap-expect", "three"},
	{"join", "h"},
	{"join", "0.0.0.0:4200"},
	{"join", strings.Repeat("h:1,", maxJoin+1)},
	{"admin-token-file", strings.Repeat("x", maxTextBytes+1)},
	{"max-record-body-bytes", "0"},
	{"max-record-body-bytes", "1048577"},
	{"max-record-body-bytes", "256K"},
	{"max-record-ttl-seconds", "0"},
	{"max-record-ttl-seconds", "99999999999999999999"},
	{"default-ttl-seconds", "0"},
	{"default-lock-ms", "999"},
	{"default-lock-ms", "86400001"},
	{"followers", "proxy"},
	{"followers", ""},
	{"request-timeout", "10"},
	{"request-timeout", "1ms"},
	{"request-timeout", "1h"},
	{"max-connections", "0"},
	{"raft-multiplier", "0"},
	{"raft-multiplier", "11"},
	{"snapshot-threshold", "15"},
	{"store-deadline", "-5s"},
	{"disk-free-floor-bytes", "-1"},
	{"log-level", "INFO"},
	{"log-format", "xml"},

	{"default-ttl-seconds", "2592001"},
	{"raft-addr", "10.0.0.1:4100"},
	{"raft-addr", "0.0.0.0:4100"},
	{"raft-advertise", "0.0.0.0:4100"},
	{"gossip-addr", "example.net:4200"},
	{"gossip-addr", ":4200"},
	{"http-addr", "0.0.0.0:4000"},
	{"http-addr", "[::]:4000"},
	{"join", "h:1"},
}

func TestBadValues(t *testing.T) {
	t.Parallel()
	tested := map[string]bool{}
	for _, bad := range badValues {
		tested[bad.name] = true
		row, ok := settingNamed(bad.name)
		if !ok {
			t.Fatalf("no setting %q", bad.name)
		}
		dir := []string{"--data-dir=d"}
		if bad.name == "data-dir" {
			dir = nil
		}
		_, err := loadBare(t, append(dir, "--"+bad.name+"="+bad.value), nil, "")
		refused(t, err, "--"+bad.name)
		_, err = loadBare(t, dir, []string{row.env() + "=" + bad.value}, "")
		refused(t, err, row.env())
		_, err = loadBare(t, dir, nil, row.key()+" = '"+bad.value+"'")
		refused(t, err, row.key()+" in ")
		if row.alias != "" {
			_, err = loadBare(t, dir, []string{row.alias + "=" + bad.value}, "")
			refused(t, err, row.alias)
		}
	}
	for _, row := range settingsTable {
		if !tested[row.name] {
			t.Errorf("no bad value of %s is tested", row.name)
		}
	}
}

// refused checks that the error names the setting as it was spelled, in one line, and counts as wrong usage.
func refused(t *testing.T, err error, spelled string) {
	t.Helper()
	if err == nil || !strings.HasPrefix(err.Error(), spelled) || strings.Contains(err.Error(), "\n") {
		t.Errorf("got error %v, want one that begins with %q", err, spelled)
	}
	if got := exitCode(err); got != exitUsage {
		t.Errorf("%v: got exit code %d, want %d", err, got, exitUsage)
	}
}

func TestMessages(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--raft-multiplier=11"},
			`--raft-multiplier: "11" is not allowed; it must be a whole number from 1 to 10`},
		{[]string{"--followers=proxy"}, `--followers: "proxy" is not allowed; it must be redirect or forward`},
		{[]string{"--default-ttl-seconds=20", "--max-record-ttl-seconds=10"},
			`--default-ttl-seconds: 20 is not allowed; it must not exceed --max-record-ttl-seconds, which is 10`},
		{[]string{"--http-addr=0.0.0.0:4000"}, `--http-addr: "0.0.0.0:4000" stands for every address and cannot be ` +
			`dialled by others; name one with --http-advertise`},
		{[]string{"--raft-addr=10.0.0.1:4100"}, `--raft-addr: "10.0.0.1:4100" is refused because raft connections are ` +
			`unauthenticated plain text, and whoever reaches the port could change the data; keep it on a network of the ` +
			`nodes alone and say so with --allow-public-plaintext`},
		{[]string{"--gossip-addr=", "--bootstrap-expect=3"}, `--gossip-addr: without gossip a node is alone; it needs ` +
			`--bootstrap-expect 1 and no --join`},
		{[]string{"--join=h:1"}, `--join: a node that forms a cluster of 1 cannot join another; set --bootstrap-expect to ` +
			`the number of nodes that form the cluster together`},
	} {
		if _, err := load(t, c.args, nil, ""); err == nil || err.Error() != c.want {
			t.Errorf("%v: got  %v\nwant %s", c.args, err, c.want)
		}
	}
}

func TestAdvertisedURL(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"h:80":               "http://h:80",
		"http://h:80":        "http://h:80",
		"https://api.test/":  "https://api.test",
		"http://[::1]:4000/": "http://[::1]:4000",
	} {
		got, err := load(t, []string{"--http-addr=0.0.0.0:4000", "--http-advertise=" + value}, nil, "")
		if err != nil || got.HTTPAdvertise != want {
			t.Errorf("%s: got %q, %v; want %q", value, got.HTTPAdvertise, err, want)
		}
	}
}

func TestFileErrors(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]string{
		"http_adr = 'x'":           `unknown setting "http_adr" in `,
		"http-addr = 'x'":          `did you mean "http_addr"?`,
		"[http]\naddr = 'x'":       `unknown setting "http.addr" in `,
		"a = [":                    "cannot read the configuration file ",
		"\nhttp_addr = \n":         "line 2, column ",
		"http_addr = 1":            "http_addr in ",
		"max_connections = [1, 2]": "max_connections in ",
	} {
		_, err := load(t, nil, nil, file)
		if err == nil || !strings.Contains(err.Error(), want) || exitCode(err) != exitUsage {
			t.Errorf("%q: got %v (exit code %d), want %q in it", file, err, exitCode(err), want)
		}
	}
}

func TestMissingFile(t *testing.T) {
	t.Parallel()
	flags := pflag.NewFlagSet("server", pflag.ContinueOnError)
	_, err := loadSettings(flags, nil, filepath.Join(t.TempDir(), "none.toml"))
	if err == nil || !strings.Contains(err.Error(), "none.toml") {
		t.Errorf("got %v, want an error that names the file", err)
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	var keys []string
	for _, s := range settingsTable {
		keys = append(keys, s.key())
	}
	for word, want := range map[string]string{
		"raft_adr": "raft_addr", "gosip_addr": "gossip_addr", "loglevel": "log_level",
	} {
		if got := nearest(word, keys); got != want {
			t.Errorf("%s: got %s, want %s", word, got, want)
		}
	}
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"kitten", "sitting", 3}, {"flaw", "lawn", 2}, {"same", "same", 0}} {
		if got := editDistance(c.a, c.b); got != c.want {
			t.Errorf("%q to %q: got %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

func TestHelpListsEverySetting(t *testing.T) {
	t.Parallel()
	out, _, code := runVerb(t, nil, "server", "--help")
	if code != exitOK {
		t.Fatalf("exit code %d", code)
	}
	help := strings.Join(strings.Fields(out), " ")
	for _, s := range settingsTable {
		def := s.def
		if def == "" {
			def = "none"
		}
		for _, want := range []string{"--" + s.name, s.usage, s.allowed, "(default " + def + ")", s.env(), s.alias} {
			if !strings.Contains(help, want) {
				t.Errorf("the help of --%s lacks %q", s.name, want)
			}
		}
		if !s.boolean && !strings.Contains(help, "--"+s.name+" "+s.unit+" ") {
			t.Errorf("the help of --%s lacks its unit %q", s.name, s.unit)
		}
	}
	if strings.Contains(help, "exit-with-stdin") {
		t.Error("the help shows a flag that is not for people")
	}
}
