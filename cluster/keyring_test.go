package cluster

import (
	"bytes"
	"encoding/base64"
	"io"
	"log"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/memberlist"
)

// gossipKey is a key whose every byte is b.
func gossipKey(b byte) []byte { return bytes.Repeat([]byte{b}, GossipKeyBytes) }

// writeKeys makes a file of keys, each named by its byte.
func writeKeys(t *testing.T, path string, keys ...byte) {
	t.Helper()
	lines := "# keys of gossip\n\n"
	for _, b := range keys {
		lines += base64.StdEncoding.EncodeToString(gossipKey(b)) + "\n"
	}
	writeFile(t, path, []byte(lines))
}

func newGossipKeys(t *testing.T, keys ...byte) (*gossipKeys, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "gossip.key")
	writeKeys(t, path, keys...)
	g, err := loadGossipKeys(path)
	if err != nil {
		t.Fatal(err)
	}
	return g, path
}

func TestLoadGossipKeys(t *testing.T) {
	t.Parallel()
	if g, err := loadGossipKeys(""); g != nil || err != nil {
		t.Errorf("without a file: got %v, %v", g, err)
	}
	line := func(b byte) string { return base64.StdEncoding.EncodeToString(gossipKey(b)) + "\n" }
	many := ""
	for b := range byte(MaxGossipKeys + 1) {
		many += line(b)
	}
	for name, tc := range map[string]struct {
		content string
		mode    os.FileMode
		want    string // "" for none
	}{
		"one":             {line(1), 0o600, ""},
		"read only":       {line(1), 0o400, ""},
		"comments":        {"# first\n\n  " + line(1) + "\t\n#" + line(2) + strings.TrimSpace(line(3)), 0o600, ""},
		"eight":           {strings.TrimPrefix(many, line(0)), 0o600, ""},
		"nine":            {many, 0o600, "holds 9 keys"},
		"none":            {"# none\n", 0o600, "holds 0 keys"},
		"short":           {line(1) + base64.StdEncoding.EncodeToString(gossipKey(2)[1:]), 0o600, "line 2: want 32 bytes"},
		"not base64":      {"\n# x\n!" + line(1), 0o600, "line 3: want 32 bytes"},
		"twice":           {line(1) + line(1), 0o600, "line 2: the key is there twice"},
		"others may read": {line(1), 0o604, "can be read by others (mode 0604)"},
		"group may read":  {line(1), 0o640, "can be read by others (mode 0640)"},
	} {
		path := filepath.Join(t.TempDir(), "gossip.key")
		writeFile(t, path, []byte(tc.content))
		if err := os.Chmod(path, tc.mode); err != nil {
			t.Fatal(err)
		}
		g, err := loadGossipKeys(path)
		if tc.want == "" && (err != nil || g.primary() != "72cd6e84") {
			t.Errorf("%s: got %v", name, err)
		}
		if tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: got %v, want %q", name, err, tc.want)
		}
		if err != nil && strings.Contains(err.Error(), strings.TrimSpace(line(1))) {
			t.Errorf("%s: the error shows the key: %v", name, err)
		}
	}
}

// TestTurnKeys checks that a ring in use ends up with a file's keys, whatever it held, and that readers of the ring see
// no array change under them, which -race would show.
func TestTurnKeys(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ from, to []byte }{
		{[]byte{1}, []byte{1, 2}},
		{[]byte{1, 2}, []byte{2, 1}},
		{[]byte{2, 1}, []byte{2}},
		{[]byte{1}, []byte{2}},
		{[]byte{1, 2, 3, 4}, []byte{4, 2}},
		{[]byte{1, 2, 3, 4}, []byte{1, 4}},
		{[]byte{1, 2, 3}, []byte{5, 3, 6}},
		{[]byte{1, 2, 3, 4, 5, 6, 7, 8}, []byte{11, 12, 13, 14, 15, 16, 17, 18}},
	} {
		g, path := newGossipKeys(t, c.from...)
		held := g.keyring().GetKeys()
		before := bytes.Join(held, nil)
		writeKeys(t, path, c.to...)
		if changed, err := g.reload(); !changed || err != nil {
			t.Fatalf("%v: %v, %v", c, changed, err)
		}
		got := map[byte]bool{}
		for _, key := range g.keyring().GetKeys() {
			got[key[0]] = true
		}
		for _, b := range c.to {
			if !got[b] {
				t.Errorf("%v: key %d is missing", c, b)
			}
		}
		if len(got) != len(c.to) || g.keyring().GetPrimaryKey()[0] != c.to[0] {
			t.Errorf("%v: got %v, primary %d", c, got, g.keyring().GetPrimaryKey()[0])
		}
		if g.primary() != GossipKeyFingerprint(gossipKey(c.to[0])) {
			t.Errorf("%v: fingerprint %s", c, g.primary())
		}
		if !bytes.Equal(before, bytes.Join(held, nil)) {
			t.Errorf("%v: what a reader holds has changed", c)
		}
	}
}

func TestReloadOfBrokenKeys(t *testing.T) {
	t.Parallel()
	g, path := newGossipKeys(t, 1, 2)
	writeFile(t, path, []byte("nonsense\n"))
	if changed, err := g.reload(); changed || err == nil || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("got %v, %v", changed, err)
	}
	if changed, err := g.reload(); changed || err != nil {
		t.Errorf("reported once more: %v, %v", changed, err)
	}
	if len(g.keyring().GetKeys()) != 2 || g.primary() != GossipKeyFingerprint(gossipKey(1)) {
		t.Errorf("the keys did not stay: %d, %s", len(g.keyring().GetKeys()), g.primary())
	}
}

// listener is a memberlist that keeps what it is told.
type listener struct {
	*memberlist.Memberlist
	heard chan string
}

func (l *listener) NotifyMsg(m []byte)              { l.heard <- string(m) }
func (l *listener) NodeMeta(int) []byte             { return nil }
func (l *listener) GetBroadcasts(int, int) [][]byte { return nil }
func (l *listener) LocalState(bool) []byte          { return nil }
func (l *listener) MergeRemoteState([]byte, bool)   {}

func newListener(t *testing.T, name string, ring *memberlist.Keyring) *listener {
	t.Helper()
	l := &listener{heard: make(chan string, 100)}
	c := memberlist.DefaultLocalConfig()
	c.Name, c.BindAddr, c.BindPort, c.AdvertisePort = name, "127.0.0.1", 0, 0
	c.Keyring, c.Delegate, c.Logger = ring, l, log.New(io.Discard, "", 0)
	var err error
	if l.Memberlist, err = memberlist.Create(c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Shutdown(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// tell sends words from one to the other, by TCP and by UDP, and waits until they are understood.
func tell(t *testing.T, step string, from, to *listener) {
	t.Helper()
	peer := to.LocalNode()
	heard := make(map[string]bool)
	waitFor(t, step+": "+peer.Name+" to understand "+from.LocalNode().Name, func() bool {
		if err := from.SendReliable(peer, []byte("tcp "+step)); err != nil {
			t.Fatalf("%s: %v", step, err)
		}
		if err := from.SendBestEffort(peer, []byte("udp "+step)); err != nil {
			t.Fatalf("%s: %v", step, err)
		}
		for range len(to.heard) {
			heard[<-to.heard] = true
		}
		return heard["tcp "+step] && heard["udp "+step]
	})
}

// TestRotateGossipKey takes two running nodes through the drill of gossipKeys: at no point do they lose each other.
func TestRotateGossipKey(t *testing.T) {
	t.Parallel()
	const old, next = 1, 2
	keys := make([]*gossipKeys, 2)
	paths := make([]string, 2)
	nodes := make([]*listener, 2)
	for i := range nodes {
		keys[i], paths[i] = newGossipKeys(t, old)
		nodes[i] = newListener(t, "n"+string('1'+rune(i)), keys[i].keyring())
	}
	a, b := nodes[0], nodes[1]
	if _, err := b.Join([]string{a.LocalNode().Address()}); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		name string
		keys []byte
	}{
		{"add", []byte{old, next}}, {"promote", []byte{next, old}}, {"prune", []byte{next}},
	} {
		for i := range nodes {
			writeKeys(t, paths[i], step.keys...)
			if changed, err := keys[i].reload(); !changed || err != nil {
				t.Fatalf("%s: %v, %v", step.name, changed, err)
			}
			tell(t, step.name, a, b)
			tell(t, step.name, b, a)
		}
	}
	if len(a.Members()) != 2 || len(b.Members()) != 2 {
		t.Errorf("members: %d and %d", len(a.Members()), len(b.Members()))
	}
	late, _ := newGossipKeys(t, old)
	stranger := newListener(t, "n3", late.keyring())
	if _, err := stranger.Join([]string{a.LocalNode().Address()}); err == nil {
		t.Error("a node with the old key alone is let in")
	}
}
