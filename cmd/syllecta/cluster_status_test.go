package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/jedib0t/go-pretty/v6/text"
)

// memberJSON is a voter that is well, with changes: pairs of what stands there and what is to.
func memberJSON(id string, changes ...string) string {
	return strings.NewReplacer(changes...).Replace(`{"id":"` + id + `","self":false,"voter":true,"nonVoter":false,` +
		`"raftAddr":"10.0.0.1:4100","reachable":true,"healthy":true,"lastSeenMs":40,"role":"follower","term":7,` +
		`"appliedIndex":1204,"lag":0,"lastContactMs":12,"clockOffsetMs":3,"diskFreeBytes":5000000000,` +
		`"diskTotalBytes":20000000000,"version":"0.2.0","featureLevel":2,"httpUrl":"http://10.0.0.1:4000","gossipKey":""}`)
}

// viewJSON is node1's view. counts are voters, healthy ones and the tolerance.
func viewJSON(leader, counts string, nodes ...string) string {
	n := strings.Split(counts, " ")
	return `{"clusterId":"c1","clusterName":"blue","nodeId":"node1","featureLevel":2,"role":"follower","term":7,` +
		`"leaderId":"` + leader + `","voters":` + n[0] + `,"healthyVoters":` + n[1] + `,"failureTolerance":` + n[2] +
		`,"nodes":[` + strings.Join(nodes, ",") + `]}`
}

var (
	leads     = []string{`"follower"`, `"leader"`, `:12,`, `:0,`}
	silent    = []string{`"reachable":true,"healthy":true`, `"reachable":false,"healthy":false`, `:40,`, `:200000,`}
	unhealthy = []string{`"healthy":true`, `"healthy":false`}
	neverSeen = `{"id":"node4","self":false,"voter":false,"nonVoter":false,"raftAddr":"10.0.0.4:4100","reachable":false,` +
		`"healthy":false}`
)

func statusOf(t *testing.T, answer string, args ...string) string {
	t.Helper()
	api := newAdminAPI(t, map[string]string{"GET /v1/admin/cluster": answer})
	out, errText, code := runVerb(t, api.env(), append([]string{"cluster", "status"}, args...)...)
	if code != exitOK || errText != "" {
		t.Fatalf("exit code %d, %s", code, errText)
	}
	return out
}

func TestClusterStatusTable(t *testing.T) {
	t.Parallel()
	behind := append([]string{`"lag":0`, `"lag":4000`, `"clockOffsetMs":3`, `"clockOffsetMs":-2500`}, unhealthy...)
	got := statusOf(t, viewJSON("node2", "3 1 -1",
		memberJSON("node1", append([]string{`"lastContactMs":12,`, ``}, unhealthy...)...),
		memberJSON("node2", leads...),
		memberJSON("node3", append([]string{`"diskFreeBytes":5000000000,"diskTotalBytes":20000000000,`, ``}, silent...)...),
		neverSeen,
		memberJSON("node5", append([]string{`"voter":true,"nonVoter":false`, `"voter":false,"nonVoter":true`}, behind...)...),
		memberJSON("no\\u001bde6", "0.2.0", "0.1.0"),
	))
	want := strings.ReplaceAll(`
NODE    ROLE      VOTE     HEALTH        TERM  APPLIED  LAG   CONTACT  CLOCK  DISK FREE     VERSION  ADDRESS
node1   follower  yes      no leader     7     1204     0     -        +3ms   5.0 GB (25%)  0.2.0    10.0.0.1:4100
node2   leader    yes      healthy       7     1204     0     0ms      +3ms   5.0 GB (25%)  0.2.0    10.0.0.1:4100
node3   -         yes      silent 3m20s  7     1204     0     -        +3ms   -             0.2.0    10.0.0.1:4100
node4   -         not yet  never seen    -     -        -     -        -      -             -        10.0.0.4:4100
node5   follower  never    behind        7     1204     4000  12ms     -2.5s  5.0 GB (25%)  0.2.0    10.0.0.1:4100
no?de6  follower  yes      healthy       7     1204     0     12ms     +3ms   5.0 GB (25%)  0.1.0    10.0.0.1:4100

1 of 3 voters healthy, 2 are needed: nothing is acknowledged
cluster blue (c1) as node1 sees it: led by node2 in term 7, feature level 2
note: the nodes run different versions: 0.1.0 on no?de6; 0.2.0 on node1, node2, node3, node5
note: the clock of node5 is off by -2.5s: check how it is synchronised
`, "?", "\uFFFD")[1:]
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestClusterStatusJSON(t *testing.T) {
	t.Parallel()
	answer := strings.Replace(viewJSON("node1", "1 1 0", memberJSON("node1")), `"featureLevel":2,"role"`,
		`"featureLevel":2,"later":"<a&b>","role"`, 1)
	if got := statusOf(t, answer, "--json"); got != answer+"\n" {
		t.Errorf("got\n%s\nwant\n%s", got, answer)
	}
}

func TestClusterInWords(t *testing.T) {
	t.Parallel()
	three := []string{memberJSON("node1"), memberJSON("node2"), memberJSON("node3")}
	one := []string{memberJSON("node1"), memberJSON("node2", silent...), memberJSON("node3", silent...), neverSeen}
	for want, answer := range map[string]string{
		"3 of 3 voters healthy: 1 more node may fail":                           viewJSON("node1", "3 3 1", three...),
		"5 of 5 voters healthy: 2 more nodes may fail":                          viewJSON("node1", "5 5 2", three...),
		"2 of 3 voters healthy: no other may fail":                              viewJSON("node1", "3 2 0", three...),
		"1 of 1 voter healthy: it must not fail":                                viewJSON("node1", "1 1 0", three[0]),
		"no leader: 1 of 3 voters answers, 2 are needed":                        viewJSON("", "3 0 -2", one...),
		"no leader: 3 of 3 voters answer, 2 are needed; one should be elected ": viewJSON("", "3 0 -2", three...),
		"no leader: 0 of 1 voter answer, 1 is needed":                           viewJSON("", "1 0 -1", neverSeen),
		"node1 is in no cluster; its /readyz says why":                          viewJSON("", "0 0 0"),
		"cluster blue (c1) as node1 sees it: led by nobody in term 7, feature":  viewJSON("", "3 0 -2", one...),
		"note: the nodes encrypt gossip with different keys: none on node1; ab on node2\n": viewJSON("node1", "3 3 1",
			memberJSON("node1"), memberJSON("node2", `"gossipKey":""`, `"gossipKey":"ab"`)),
	} {
		if got := statusOf(t, answer); !strings.Contains(got, want) {
			t.Errorf("got\n%s\nwithout %s", got, want)
		}
	}
	if got := statusOf(t, viewJSON("node1", "3 3 1", append(three, neverSeen)...)); strings.Contains(got, "note:") {
		t.Errorf("a note about nothing:\n%s", got)
	}
	if got := statusOf(t, viewJSON("", "0 0 0")); strings.Contains(got, "NODE") {
		t.Errorf("a table of nothing:\n%s", got)
	}
}

func TestClusterStatusColours(t *testing.T) {
	// not parallel: go-pretty's switch for colours is the whole process's
	text.EnableColors()
	var view clusterView
	answer := viewJSON("", "2 0 -2", memberJSON("node1"), memberJSON("node2", silent...))
	if err := json.Unmarshal([]byte(answer), &view); err != nil {
		t.Fatal(err)
	}
	coloured := (&terminal{color: true}).clusterText(view)
	for _, want := range []string{"\x1b[32mhealthy\x1b[0m", "\x1b[31msilent 3m20s\x1b[0m", "\x1b[31mno leader: "} {
		if !strings.Contains(coloured, want) {
			t.Errorf("got\n%q\nwithout %q", coloured, want)
		}
	}
	plain := (&terminal{}).clusterText(view)
	if strings.Contains(plain, "\x1b") {
		t.Errorf("without colour\n%q", plain)
	}
}

// TestClusterWatch ends a watch after its first status, and one that gets none.
func TestClusterWatch(t *testing.T) {
	t.Parallel()
	answer := viewJSON("node1", "1 1 0", memberJSON("node1", leads...))
	var view told[clusterView]
	if err := json.Unmarshal([]byte(answer), &view); err != nil {
		t.Fatal(err)
	}
	var out, errOut bytes.Buffer
	f := &adminFlags{t: &terminal{out: &out, err: &errOut}}
	for _, err := range []error{nil, errors.New("no route"), nil} {
		if err := f.showOnce(view, err); err != nil {
			t.Fatal(err)
		}
	}
	shown := out.String()
	if strings.Count(shown, "1 of 1 voter healthy") != 2 || strings.Count(shown, "syllecta: no route\n") != 1 ||
		strings.Contains(shown, "\x1b") || errOut.Len() != 0 {
		t.Errorf("got\n%s\nand %s", shown, &errOut)
	}
	out.Reset()
	f.json = true
	for _, err := range []error{nil, errors.New("no route")} {
		if err := f.showOnce(view, err); err != nil {
			t.Fatal(err)
		}
	}
	if out.String() != answer+"\n" || !strings.HasSuffix(errOut.String(), " syllecta: no route\n") {
		t.Errorf("got\n%s\nand %s", &out, &errOut)
	}
}

func TestClusterWatchEndsWithItsContext(t *testing.T) {
	t.Parallel()
	api := newAdminAPI(t, map[string]string{"GET /v1/admin/cluster": viewJSON("", "0 0 0")})
	c, err := newClient(api.URL, testToken)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	f := &adminFlags{t: &terminal{out: writerFunc(func(b []byte) (int, error) { cancel(); return len(b), nil })}}
	if err := f.watchCluster(ctx, admin{c}); err != nil || ctx.Err() == nil {
		t.Errorf("%v, and the context: %v", err, ctx.Err())
	}
}

type writerFunc func(b []byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }
