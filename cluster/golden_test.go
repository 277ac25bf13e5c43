package cluster

import (
	"bytes"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/syllecta/syllecta/fsm"
)

// messages are one of each that nodes send each other, with every member set.
var messages = map[string]any{
	"term_request": TermRequest{},
	"term_reply":   TermReply{Term: 7},
	"ping_request": PingRequest{From: "node1", Confirm: true},
	"ping_reply": PingReply{
		ID: "node1", HTTPURL: "https://node1:4000", Version: "0.2.0", TicketKey: []byte("key"), Term: 7, Leading: true,
		Quorum: true, QuorumAge: time.Second, Applied: 9, Clock: time.UnixMilli(1).UTC(), ClockSure: true,
		Wall: time.UnixMilli(2).UTC(), Digests: []digestCheckpoint{{Index: 256, Digest: 1 << 63}}, Role: "leader",
		Passed: 10, Draining: true, Contact: -1, DiskID: "0123456789abcdef", DiskFree: 1, DiskTotal: 2, Feature: 2,
		GossipKey: "01234567", Expelled: true,
	},
	"removed_request": RemovedRequest{NodeID: "node1"},
	"removed_reply":   RemovedReply{},
	"found_request":   FoundRequest{ClusterID: "c1", Founders: []raft.ServerID{"node1", "node2"}, Bind: true},
	"found_reply":     FoundReply{Agreed: true, Reason: "none"},
	"join_request": JoinRequest{
		ClusterID: "c1", NodeID: "node4", DiskID: "0123456789abcdef", RaftAddr: "10.0.0.4:4100", NonVoter: true,
		Version: "0.2.0", Feature: 2,
	},
	"join_reply":     JoinReply{Admitted: true, Leader: "node1@10.0.0.1:4100", Refused: ReasonRetiredNode, Detail: "gone"},
	"invite_request": InviteRequest{ClusterID: "c1", Leader: "10.0.0.1:4100"},
	"invite_reply":   InviteReply{Accepted: true, Reason: "none"},
}

// TestMessagesGolden reads what an earlier release sent. What it would write itself may differ: gob numbers types in
// the order in which a process meets them.
func TestMessagesGolden(t *testing.T) {
	t.Parallel()
	for name, want := range messages {
		path := filepath.Join("testdata", "message_v1_"+name+".hex")
		if *update {
			var b bytes.Buffer
			if err := gob.NewEncoder(&b).Encode(want); err != nil {
				t.Fatal(err)
			}
			writeGolden(t, path, hex.EncodeToString(b.Bytes())+"\n")
		}
		raw, err := hex.DecodeString(strings.TrimSpace(readGolden(t, path)))
		if err != nil {
			t.Fatal(err)
		}
		got := reflect.New(reflect.TypeOf(want))
		if err := gob.NewDecoder(bytes.NewReader(raw)).DecodeValue(got); err != nil {
			t.Errorf("%s: %v", name, err)
		} else if !reflect.DeepEqual(got.Elem().Interface(), want) {
			t.Errorf("%s: %+v", name, got.Elem())
		}
	}
}

// TestEveryMemberIsInTheGolden: a member that is added to a message is added to what is read above.
func TestEveryMemberIsInTheGolden(t *testing.T) {
	t.Parallel()
	for name, message := range messages {
		for i := range reflect.TypeOf(message).NumField() {
			if reflect.ValueOf(message).Field(i).IsZero() {
				t.Errorf("%s.%s is not set", name, reflect.TypeOf(message).Field(i).Name)
			}
		}
	}
}

func TestGossipMetaGolden(t *testing.T) {
	t.Parallel()
	want := gossipMeta{
		RaftAddr: "10.0.0.1:4100", DiskID: "0123456789abcdef", Expect: 3, NonVoter: true, HasState: true,
		Version: "0.2.0", Feature: 2,
	}
	path := filepath.Join("testdata", "gossip_v1.json")
	raw, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		writeGolden(t, path, string(raw)+"\n")
	}
	text := readGolden(t, path)
	var got gossipMeta
	if err := json.Unmarshal([]byte(text), &got); err != nil || got != want || strings.TrimSpace(text) != string(raw) {
		t.Errorf("%+v, %v; written as %s", got, err, raw)
	}
}

// TestDocumentsGolden reads the small files of a data directory as an earlier release left them.
func TestDocumentsGolden(t *testing.T) {
	t.Parallel()
	head := documentHead{documentVersion}
	for name, want := range map[string]any{
		"cluster_v1.json": allegiance{head, "syllecta", "c1", []raft.ServerID{"node1", "node2"}},
		"removed_v1.json": removal{head, "node1", "c1", time.UnixMilli(1).UTC()},
		"peers_v1.json": recoveryPlan{
			documentHead: head, NodeID: "node1", ClusterID: "c1", Voters: []RecoveryPeer{{"node1", "10.0.0.1:4100"}},
			Lost: []string{"node2"}, Epoch: 2, LastIndex: 9, LastTerm: 3, At: time.UnixMilli(1).UTC(), Release: "0.2.0",
		},
	} {
		path := filepath.Join("testdata", name)
		content, err := encodeDocument(want)
		if err != nil {
			t.Fatal(err)
		}
		if *update {
			writeGolden(t, path, content)
		}
		got := reflect.New(reflect.TypeOf(want))
		if err := readDocument(path, got.Interface()); err != nil {
			t.Errorf("%s: %v", name, err)
		} else if !reflect.DeepEqual(got.Elem().Interface(), want) {
			t.Errorf("%s: %+v", name, got.Elem())
		}
		if text := readGolden(t, path); text != content {
			t.Errorf("%s is now written as %s", name, content)
		}
		newer := filepath.Join(t.TempDir(), name)
		content = strings.Replace(content, `"version":1`, `"version":2`, 1)
		line, _, _ := strings.Cut(content, "\n")
		if err := writeDocument(newer, json.RawMessage(line)); err != nil {
			t.Fatal(err)
		}
		if err := readDocument(newer, got.Interface()); err == nil || !strings.Contains(err.Error(), "version 2") {
			t.Errorf("%s of a newer release: %v", name, err)
		}
	}
}

// TestBackupGolden restores what an earlier release saved.
func TestBackupGolden(t *testing.T) {
	t.Parallel()
	path := filepath.Join("testdata", "backup_v1.snapshot")
	id := fsm.RecordID{Tenant: 1, Scope: "orders", Key: "1"}
	if *update {
		n := openNode(t, Config{NodeID: "n1", BootstrapExpect: 1, Version: "0.2.0"})
		waitForLeader(t, n)
		newTenant(t, n)
		propose(t, n, fsm.Complete{ID: id, Status: 200, Headers: []byte(`{}`), Body: []byte(`"paid"`), TTLMs: fsm.MaxTTLMs})
		writeGolden(t, path, string(backupOf(t, n)))
	}
	file := readGolden(t, path)
	held, err := Inspect(strings.NewReader(file))
	if err != nil || held.Backup == nil || held.Backup.NodeID != "n1" || held.Backup.Version != "0.2.0" ||
		held.State.Records != 1 || held.State.Epoch != 1 {
		t.Fatalf("%+v, %v", held, err)
	}
	n := openNode(t, Config{BootstrapExpect: 1})
	waitForLeader(t, n)
	if _, err := n.Restore(t.Context(), strings.NewReader(file), RestoreOptions{}); err != nil {
		t.Fatal(err)
	}
	waitForLeader(t, n)
	if v, _, err := n.Read(t.Context(), id); err != nil || string(v.Record.Body) != `"paid"` {
		t.Errorf("%+v, %v", v, err)
	}
}

func writeGolden(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func readGolden(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
