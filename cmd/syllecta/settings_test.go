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

	"github.com/syllecta/syllecta/api/webhook/delivery"
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
		PromoteAfter: 5 * time.Second, BackupEvery: time.Hour, BackupKeep: 24,
		MaxRecordBodyBytes: 256 << 10, MaxRecordTTL: 30 * 24 * time.Hour,
		DefaultTTL: 24 * time.Hour, DefaultLease: time.Minute, Followers: "redirect", RequestTimeout: 10 * time.Second,
		MaxConnections: 10000, FailedAuthPerSecond: 10, RaftMultiplier: 1, SnapshotThreshold: 16384, LogStore: "auto", StoreDeadline: 4 * time.Second,
		DiskFreeFloor: 256 << 20, LogLevel: "info", LogFormat: "auto", CallbackPorts: []uint16{443},
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
	{"node-ca-file", strings.Repeat("x", maxTextBytes+1)},
	{"node-cert-file", strings.Repeat("x", maxTextBytes+1)},
	{"node-key-file", strings.Repeat("x", maxTextBytes+1)},
	{"http-cert-file", strings.Repeat("x", maxTextBytes+1)},
	{"http-key-file", strings.Repeat("x", maxTextBytes+1)},
	{"gossip-key-file", strings.Repeat("x", maxTextBytes+1)},
	{"bootstrap", "1"},
	{"bootstrap-expect", "10"},
	{"bootstrap-expect", "-1"},
	{"bootstrap-expect", "three"},
	{"join", "h"},
	{"join", "0.0.0.0:4200"},
	{"join", strings.Repeat("h:1,", maxJoin+1)},
	{"non-voter", "1"},
	{"promote-after", "99ms"},
	{"promote-after", "2h"},
	{"backup-dir", strings.Repeat("x", maxTextBytes+1)},
	{"backup-every", "999ms"},
	{"backup-every", "721h"},
	{"backup-keep", "0"},
	{"backup-keep", "10001"},
	{"admin-token-file", strings.Repeat("x", maxTextBytes+1)},
	{"kek-file", strings.Repeat("x", maxTextBytes+1)},
	{"callback-allow-cidr", "127.0.0.1"},
	{"callback-allow-cidr", "10.0.0.1/8"},
	{"callback-allow-cidr", "10.0.0.0/33"},
	{"callback-allow-cidr", "::ffff:10.0.0.0/104"},
	{"callback-allow-cidr", "fe80::%eth0/64"},
	{"callback-allow-cidr", strings.Repeat("10.0.0.0/8,", delivery.MaxAllowedPrefixes+1)},
	{"callback-ports", ""},
	{"callback-ports", "0"},
	{"callback-ports", "65536"},
	{"callback-ports", "443,https"},
	{"callback-ports", strings.Repeat("443,", delivery.MaxPorts+1)},
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
	{"failed-auth-per-second", "-1"},
	{"failed-auth-per-second", "1000001"},
	{"requests-per-address", "-1"},
	{"requests-per-address", "1000001"},
	{"raft-multiplier", "0"},
	{"raft-multiplier", "11"},
	{"snapshot-threshold", "15"},
	{"log-store", "badger"},
	{"store-deadline", "-5s"},
	{"disk-free-floor-bytes", "-1"},
	{"memory-limit-bytes", "-1"},
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
	{"http-addr", "10.0.0.1:4000"},
	{"node-ca-file", "f"},
	{"node-cert-file", "f"},
	{"node-key-file", "f"},
	{"http-cert-file", "f"},
	{"http-key-file", "f"},
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
		{[]string{"--http-addr=10.0.0.1:4000"}, `--http-addr: "10.0.0.1:4000" is refused because without ` +
			`--http-cert-file http is plain text, and whoever is on the way could read keys and records; give that file ` +
			`(see syllecta tls init), or accept the risk with --allow-public-plaintext`},
		{[]string{"--raft-addr=10.0.0.1:4100"}, `--raft-addr: "10.0.0.1:4100" is refused because without ` +
			`--node-cert-file raft is plain text, and whoever reaches the port could change the data; give that file ` +
			`(see syllecta tls init), or accept the risk with --allow-public-plaintext`},
		{[]string{"--gossip-addr=10.0.0.1:4200"}, `--gossip-addr: "10.0.0.1:4200" is refused because without ` +
			`--gossip-key-file gossip is plain text, and whoever reaches the port could lead nodes astray; give that file ` +
			`(see syllecta tls init), or accept the risk with --allow-public-plaintext`},
		{[]string{"--node-ca-file=f", "--node-key-file=f"}, `--node-key-file: of no use without --node-cert-file`},
		{[]string{"--http-cert-file=f"}, `--http-cert-file: of no use without --http-key-file`},
		{[]string{"--http-cert-file=f", "--http-key-file=f", "--http-advertise=http://h"}, `--http-advertise: "http://h" ` +
			`is refused because the API speaks TLS (--http-cert-file); name it with https://`},
	} {
		if _, err := load(t, c.args, nil, ""); err == nil || err.Error() != c.want {
			t.Errorf("%v: got  %v\nwant %s", c.args, err, c.want)
		}
	}
}

// forming are command lines that say how a node comes to its cluster: what they lead to, or why they are refused.
var forming = []struct {
	args   []string
	expect int
	want   string // "" if it is legal
}{
	{[]string{}, 0, ""},
	{[]string{"--join=h:1"}, 0, ""},
	{[]string{"--join=h:1", "--non-voter"}, 0, ""},
	{[]string{"--non-voter"}, 0, ""},
	{[]string{"--bootstrap"}, 1, ""},
	{[]string{"--bootstrap-expect=1"}, 1, ""},
	{[]string{"--bootstrap-expect=3"}, 3, ""},
	{[]string{"--bootstrap-expect=3", "--join=h:1,h:2,h:3"}, 3, ""},
	{[]string{"--bootstrap=false", "--bootstrap-expect=3"}, 3, ""},
	{[]string{"--bootstrap", "--gossip-addr="}, 1, ""},
	{[]string{"--bootstrap-expect=1", "--gossip-addr="}, 1, ""},

	{[]string{"--gossip-addr="}, 0, `--gossip-addr: without gossip a node is alone; it needs --bootstrap and no --join`},
	{[]string{"--gossip-addr=", "--bootstrap-expect=3"}, 0,
		`--gossip-addr: without gossip a node is alone; it needs --bootstrap and no --join`},
	{[]string{"--gossip-addr=", "--bootstrap", "--join=h:1"}, 0,
		`--gossip-addr: without gossip a node is alone; it needs --bootstrap and no --join`},
	{[]string{"--bootstrap", "--bootstrap-expect=3"}, 0, `--bootstrap: a cluster is formed by one node with ` +
		`--bootstrap, or by several with --bootstrap-expect, not both`},
	{[]string{"--bootstrap", "--join=h:1"}, 0, `--join: a node that forms a cluster of 1 (--bootstrap) cannot join ` +
		`another; leave out one of the two, or set --bootstrap-expect to the number of nodes that form the cluster together`},
	{[]string{"--bootstrap-expect=1", "--join=h:1"}, 0, `--join: a node that forms a cluster of 1 (--bootstrap-expect) ` +
		`cannot join another; leave out one of the two, or set --bootstrap-expect to the number of nodes that form the ` +
		`cluster together`},
	{[]string{"--non-voter", "--bootstrap"}, 0,
		`--non-voter: the nodes that form a cluster vote; leave out one of this and --bootstrap`},
	{[]string{"--non-voter", "--bootstrap-expect=3", "--join=h:1"}, 0,
		`--non-voter: the nodes that form a cluster vote; leave out one of this and --bootstrap-expect`},
}

func TestForming(t *testing.T) {
	t.Parallel()
	for _, c := range forming {
		got, err := load(t, c.args, nil, "")
		if c.want == "" && (err != nil || got.BootstrapExpect != c.expect) {
			t.Errorf("%v: got %d, %v; want %d", c.args, got.BootstrapExpect, err, c.expect)
		}
		if c.want != "" && (err == nil || err.Error() != c.want || exitCode(err) != exitUsage) {
			t.Errorf("%v: got  %v\nwant %s", c.args, err, c.want)
		}
	}
}

// TestProtectedWiresMayBePublic: each wire needs its own protection, and nothing else.
func TestProtectedWiresMayBePublic(t *testing.T) {
	t.Parallel()
	httpFiles := []string{"--http-cert-file=c", "--http-key-file=k"}
	nodeFiles := []string{"--node-ca-file=a", "--node-cert-file=c", "--node-key-file=k"}
	keyFile := []string{"--gossip-key-file=k"}
	for bind, protection := range map[string][]string{
		"--http-addr=10.0.0.1:4000":   httpFiles,
		"--raft-addr=10.0.0.1:4100":   nodeFiles,
		"--gossip-addr=10.0.0.1:4200": keyFile,
	} {
		flag, _, _ := strings.Cut(bind, "=")
		others := slices.Concat(httpFiles, nodeFiles, keyFile)
		others = slices.DeleteFunc(others, func(arg string) bool { return slices.Contains(protection, arg) })
		_, err := load(t, append(others, bind), nil, "")
		refused(t, err, flag)
		if _, err := load(t, append([]string{bind}, protection...), nil, ""); err != nil {
			t.Errorf("%s with %v: %v", bind, protection, err)
		}
		if _, err := load(t, []string{bind, "--allow-public-plaintext"}, nil, ""); err != nil {
			t.Errorf("%s, the risk accepted: %v", bind, err)
		}
	}
}

func TestAdvertisedURL(t *testing.T) {
	t.Parallel()
	tls := []string{"--http-cert-file=c", "--http-key-file=k"}
	plain := []string{"--allow-public-plaintext"}
	for _, c := range []struct {
		args  []string
		value string
		want  string
	}{
		{plain, "h:80", "http://h:80"},
		{plain, "http://h:80", "http://h:80"},
		{plain, "https://api.test/", "https://api.test"}, // somebody else ends TLS
		{plain, "http://[::1]:4000/", "http://[::1]:4000"},
		{tls, "h:80", "https://h:80"},
		{tls, "https://h", "https://h"},
	} {
		got, err := load(t, append(c.args, "--http-addr=0.0.0.0:4000", "--http-advertise="+c.value), nil, "")
		if err != nil || got.HTTPAdvertise != c.want {
			t.Errorf("%s: got %q, %v; want %q", c.value, got.HTTPAdvertise, err, c.want)
		}
	}
	got, err := load(t, append(tls, "--http-addr=10.0.0.1:4000"), nil, "")
	if want := "https://10.0.0.1:4000"; err != nil || got.HTTPAdvertise != want {
		t.Errorf("got %q, %v; want %q", got.HTTPAdvertise, err, want)
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
