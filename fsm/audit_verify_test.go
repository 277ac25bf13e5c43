package fsm

import (
	"errors"
	"strings"
	"testing"
)

// TestChainHash follows a log's chain from outside.
func TestChainHash(t *testing.T) {
	var log auditLog
	log.append(AuditEntry{Index: 7, AtMs: noon2026, By: clusterActor, Action: "member.admit", Target: "node1",
		Changes: []AuditChange{{"diskId", "", "d1"}}})
	log.append(AuditEntry{Index: 9, AtMs: noon2026 + 1, By: Actor{"admin", "admin", "req_1", "127.0.0.1"},
		Action: "tenant.update", Target: "ten_1", Changes: []AuditChange{{"name", "Ä", ""}, {"plan", "a", "b"}}})
	m := New(testConfig())
	m.audit = log
	entries, total := m.AuditLog(0, 10)
	if len(entries) != 2 || total != 2 {
		t.Fatalf("got %d of %d entries", len(entries), total)
	}
	var previous [32]byte
	for _, e := range entries {
		hash, err := e.ChainHash(previous)
		if err != nil || hash != e.Hash {
			t.Errorf("entry %d: got %x, %v, want %x", e.Seq, hash, err, e.Hash)
		}
		previous = hash
	}
	if previous != log.last {
		t.Error("the chain does not end with the log's last hash")
	}
}

func TestChainHashTellsOfEveryPart(t *testing.T) {
	good := func() AuditEntry {
		return AuditEntry{Seq: 1, Index: 2, AtMs: noon2026, By: Actor{"n", "r", "q", "a"}, Action: "act", Target: "t",
			Changes: []AuditChange{{"m", "b", "a"}}}
	}
	e := good()
	want, err := e.ChainHash([32]byte{})
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*AuditEntry){
		"seq":        func(e *AuditEntry) { e.Seq++ },
		"index":      func(e *AuditEntry) { e.Index++ },
		"instant":    func(e *AuditEntry) { e.AtMs++ },
		"actor":      func(e *AuditEntry) { e.By.Name = "x" },
		"role":       func(e *AuditEntry) { e.By.Role = "x" },
		"request id": func(e *AuditEntry) { e.By.RequestID = "" },
		"address":    func(e *AuditEntry) { e.By.Address = "x" },
		"action":     func(e *AuditEntry) { e.Action = "x" },
		"target":     func(e *AuditEntry) { e.Target = "" },
		"member":     func(e *AuditEntry) { e.Changes[0].Member = "x" },
		"before":     func(e *AuditEntry) { e.Changes[0].Before = "" },
		"after":      func(e *AuditEntry) { e.Changes[0].After = "x" },
		"no changes": func(e *AuditEntry) { e.Changes = nil },
		"moved text": func(e *AuditEntry) { e.Action, e.Target = "actt", "" },
	} {
		e := good()
		change(&e)
		if hash, err := e.ChainHash([32]byte{}); err != nil || hash == want {
			t.Errorf("%s: changing it changes nothing, or fails: %v", name, err)
		}
	}
	if hash, err := e.ChainHash([32]byte{1}); err != nil || hash == want {
		t.Errorf("the entry before has no part in it: %v", err)
	}
	e.Hash[0]++
	if hash, err := e.ChainHash([32]byte{}); err != nil || hash != want {
		t.Errorf("its own hash has a part in it: %v", err)
	}
}

func TestChainHashKeepsBounds(t *testing.T) {
	for name, change := range map[string]func(*AuditEntry){
		"no actor":         func(e *AuditEntry) { e.By.Name = "" },
		"no action":        func(e *AuditEntry) { e.Action = "" },
		"negative instant": func(e *AuditEntry) { e.AtMs = -1 },
		"long target":      func(e *AuditEntry) { e.Target = strings.Repeat("x", MaxNameBytes+1) },
		"long value": func(e *AuditEntry) {
			e.Changes = []AuditChange{{"m", strings.Repeat("x", maxAuditValueBytes+1), ""}}
		},
		"many changes": func(e *AuditEntry) {
			for range maxAuditChanges + 1 {
				e.Changes = append(e.Changes, AuditChange{"m", "", ""})
			}
		},
	} {
		e := AuditEntry{Seq: 1, By: clusterActor, Action: "a"}
		change(&e)
		if _, err := e.ChainHash([32]byte{}); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: got %v, want ErrMalformed", name, err)
		}
	}
}
