package cluster

import (
	"bytes"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/syllecta/syllecta/fsm"
)

var update = flag.Bool("update", false, "write the golden files anew")

func goldenHello() hello {
	return hello{
		ClusterName: "syllecta", ClusterID: "00112233445566778899aabbccddeeff", NodeID: "node1", DiskID: "0123456789abcdef",
		Version: "0.2.0", Feature: 2, To: "node2", RaftAddr: "10.0.0.1:4100", GossipAddr: "10.0.0.1:4200",
		HTTPURL: "https://node1:4000", Expect: 3, Formed: true,
	}
}

// TestHelloGolden: what an earlier release says on a new connection is understood.
func TestHelloGolden(t *testing.T) {
	t.Parallel()
	path := filepath.Join("testdata", "hello_v1.hex")
	var b bytes.Buffer
	if err := writeHello(&b, streamRaft, goldenHello()); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(path, []byte(hex.EncodeToString(b.Bytes())+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	kind, got, err := readHello(bytes.NewReader(raw))
	if err != nil || kind != streamRaft || got != goldenHello() {
		t.Errorf("%q %+v %v", kind, got, err)
	}
	if !bytes.Equal(raw, b.Bytes()) {
		t.Errorf("now it is written as\n%x", b.Bytes())
	}
}

func TestHelloRefused(t *testing.T) {
	t.Parallel()
	var good bytes.Buffer
	if err := writeHello(&good, streamPeer, goldenHello()); err != nil {
		t.Fatal(err)
	}
	change := func(at int, to byte) []byte {
		b := bytes.Clone(good.Bytes())
		b[at] = to
		return b
	}
	for name, tc := range map[string]struct {
		raw   []byte
		words string
	}{
		"another protocol":  {[]byte("GET / HTTP/1.1\r\n\r\n"), "does not speak"},
		"a newer version":   {change(4, 2), "version 2 of the protocol between nodes, this node version 1"},
		"far too long":      {change(7, 0xff), "at most 4096"},
		"no JSON":           {change(8, '['), "cannot be read"},
		"cut off":           {good.Bytes()[:20], "EOF"},
		"cut off at once":   {nil, "EOF"},
		"cut off in a head": {good.Bytes()[:5], "EOF"},
	} {
		if _, _, err := readHello(bytes.NewReader(tc.raw)); err == nil || !strings.Contains(err.Error(), tc.words) {
			t.Errorf("%s: %v", name, err)
		}
	}
	long := goldenHello()
	long.RaftAddr = strings.Repeat("x", maxHelloBytes)
	if err := writeHello(&good, streamPeer, long); err == nil {
		t.Error("wrote a hello that nobody reads")
	}
}

func FuzzReadHello(f *testing.F) {
	var b bytes.Buffer
	if err := writeHello(&b, streamLobby, goldenHello()); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte("SYLW\x01L\x02\x00{}"))
	pass := newTestPassport("n0", "127.0.0.1:1")
	f.Fuzz(func(t *testing.T, raw []byte) {
		kind, h, err := readHello(bytes.NewReader(raw))
		if err != nil {
			return
		}
		if r := pass.judge(kind, h, ""); r == nil && h.ClusterName != pass.cfg.ClusterName {
			t.Errorf("let in: %q %+v", kind, h)
		}
	})
}

// TestJudge is who is let in, and what the others are told.
func TestJudge(t *testing.T) {
	t.Parallel()
	machine := fsm.New(fsmConfig())
	for i, cmd := range []fsm.Command{
		fsm.AdmitMember{NodeID: "n1", DiskID: "d1"}, fsm.AdmitMember{NodeID: "n2", DiskID: "d2"},
		fsm.RetireMember{NodeID: "n2"},
	} {
		if _, _, err := machine.Apply(uint64(i+1), 1, fsm.EncodeEntry(1, fsm.BatchID{}, fsm.Encode(cmd))); err != nil {
			t.Fatal(err)
		}
	}
	pass := newTestPassport("n0", "127.0.0.1:1")
	directory := machine.Directory
	pass.directory.Store(&directory)
	out := func(id raft.ServerID) bool { return id == "n2" }
	pass.out.Store(&out)
	secured := newTestPassport("n0", "127.0.0.1:1")
	secured.certificates = &nodeCertificates{}
	member := func(id raft.ServerID, disk string) hello {
		return hello{ClusterName: "syllecta", ClusterID: testCluster, NodeID: id, DiskID: disk}
	}
	to := func(h hello, id raft.ServerID) hello { h.To = id; return h }
	in := func(h hello, id string) hello { h.ClusterID = id; return h }
	for name, tc := range map[string]struct {
		pass      *passport
		kind      stream
		caller    hello
		certified raft.ServerID
		reason    Reason
	}{
		"a member":                            {pass, streamRaft, member("n1", "d1"), "", ""},
		"a member that is not recorded yet":   {pass, streamPeer, member("n3", "d3"), "", ""},
		"to this node":                        {pass, streamRaft, to(member("n1", "d1"), "n0"), "", ""},
		"to another node":                     {pass, streamRaft, to(member("n1", "d1"), "n9"), "", ReasonUnknownNode},
		"with another disk":                   {pass, streamRaft, member("n1", "d9"), "", ReasonDifferentDisk},
		"removed":                             {pass, streamPeer, member("n2", "d2"), "", ReasonRetiredNode},
		"removed, in the lobby":               {pass, streamLobby, member("n2", "d9"), "", ""}, // told when it asks to join
		"of another cluster":                  {pass, streamRaft, in(member("n1", "d1"), "c2"), "", ReasonOtherCluster},
		"of no cluster":                       {pass, streamPeer, in(member("n1", "d1"), ""), "", ReasonOtherCluster},
		"of no cluster, in the lobby":         {pass, streamLobby, in(member("n1", "d1"), ""), "", ""},
		"of another name, in the lobby":       {pass, streamLobby, hello{ClusterName: "x"}, "", ReasonOtherCluster},
		"for nothing that there is":           {pass, 'X', member("n1", "d1"), "", ReasonOtherCluster},
		"with its certificate":                {secured, streamRaft, member("n1", "d1"), "n1", ""},
		"with another's certificate":          {secured, streamRaft, member("n1", "d1"), "n2", ReasonOtherCluster},
		"with another's certificate, a lobby": {secured, streamLobby, member("n1", "d1"), "n2", ReasonOtherCluster},
	} {
		got := tc.pass.judge(tc.kind, tc.caller, tc.certified)
		if tc.reason == "" && got != nil || tc.reason != "" && (got == nil || got.Reason != tc.reason || got.Detail == "") {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// TestExpelled: only a member of its own cluster can tell a node that it was removed.
func TestExpelled(t *testing.T) {
	t.Parallel()
	pass := newTestPassport("n1", "127.0.0.1:1")
	told := 0
	expelled := func() { told++ }
	pass.expelled.Store(&expelled)
	answer := hello{ClusterName: "syllecta", ClusterID: "c2", NodeID: "n0", Refused: ReasonRetiredNode, Detail: "gone"}
	if err := pass.check(streamRaft, "n0", answer); err == nil || told != 0 {
		t.Errorf("another cluster: %v, told %d times", err, told)
	}
	answer.ClusterID = testCluster
	if err := pass.check(streamRaft, "n0", answer); err == nil || told != 1 || !strings.Contains(err.Error(), "gone") {
		t.Errorf("its own: %v, told %d times", err, told)
	}
}
