package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/syllecta/syllecta/cluster"
	"github.com/syllecta/syllecta/fsm"
	"github.com/syllecta/syllecta/snapshot"
)

// testBackup is a small backup as a node writes one.
func testBackup(t *testing.T) []byte {
	t.Helper()
	m := fsm.New(fsm.Config{HashSeed: maphash.MakeSeed()})
	clock := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC).UnixMilli()
	for i, cmd := range []fsm.Command{
		fsm.Init{ClusterID: "c1"},
		fsm.CreateTenant{PublicID: "ten_1", Slug: "shop"},
		fsm.Complete{ID: fsm.RecordID{Tenant: 1, Scope: "s", Key: "k"}, Status: 200, Headers: []byte("{}"), Body: []byte("1"),
			TTLMs: 1000},
	} {
		entry := fsm.EncodeEntry(clock, fsm.BatchID{}, fsm.Encode(cmd))
		if _, _, err := m.Apply(uint64(i+1), 1, entry); err != nil {
			t.Fatal(err)
		}
	}
	var file bytes.Buffer
	w, err := snapshot.NewWriter(&file)
	if err != nil {
		t.Fatal(err)
	}
	info, err := json.Marshal(cluster.BackupInfo{
		ClusterID: "c1", ClusterName: "blue", NodeID: "n\x1b1", Version: "1.0", Index: 3, Term: 1, Epoch: 1,
		TakenAt: time.UnixMilli(clock).UTC(),
	})
	if err != nil {
		t.Fatal(err)
	}
	const sectionBackup = fsm.SectionForeign + 1
	for _, err := range []error{w.Begin(sectionBackup, 1), w.Append(info), m.Snapshot().Write(w), w.Close()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return file.Bytes()
}

// snapshotAPI plays a cluster of two nodes, of which the first follows.
type snapshotAPI struct {
	follower, leader *httptest.Server
	save             []byte // what the follower sends as a backup
	restored         []byte
	query            string
	tokens           []string // that the leader was shown
}

func newSnapshotAPI(t *testing.T) *snapshotAPI {
	t.Helper()
	a := &snapshotAPI{save: testBackup(t)}
	a.leader = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.tokens = append(a.tokens, r.Header.Get("Authorization"))
		a.query = r.URL.RawQuery
		a.restored, _ = io.ReadAll(r.Body)
		io.WriteString(w, `{"index":9,"epoch":3,"records":4}`)
	}))
	a.follower = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Authorization") != "Bearer "+testToken:
			w.WriteHeader(http.StatusForbidden)
		case r.Method == http.MethodGet:
			w.Write(a.save)
		case r.Header.Get("Expect") != "100-continue":
			t.Error("the backup comes unasked")
		default:
			w.Header().Set("Location", a.leader.URL+snapshotPath+"?"+r.URL.RawQuery+"&ticket=t")
			w.WriteHeader(http.StatusTemporaryRedirect)
		}
	}))
	t.Cleanup(a.follower.Close)
	t.Cleanup(a.leader.Close)
	return a
}

func (a *snapshotAPI) env() map[string]string {
	return map[string]string{"SYLLECTA_SERVER": a.follower.URL, "SYLLECTA_ADMIN_TOKEN": testToken}
}

func TestSnapshotSave(t *testing.T) {
	t.Parallel()
	a := newSnapshotAPI(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "b.snapshot")
	out, errText, code := runVerb(t, a.env(), "snapshot", "save", path)
	want := fmt.Sprintf("saved %s: %s, 1 records, 0 locks, of cluster blue at index 3\n",
		path, byteText(int64(len(a.save))))
	if code != exitOK || out != want || errText != "" {
		t.Errorf("%d %q %q", code, out, errText)
	}
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, a.save) {
		t.Errorf("%d bytes kept, %v", len(got), err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if _, errText, code = runVerb(t, a.env(), "snapshot", "save", path); code != exitConflict ||
		!strings.Contains(errText, "--force replaces it") {
		t.Errorf("over an existing file: %d %q", code, errText)
	}
	if out, _, code = runVerb(t, a.env(), "snapshot", "save", "-"); code != exitOK || out != string(a.save) {
		t.Errorf("to standard output: %d, %d bytes", code, len(out))
	}
	whole := a.save
	a.save = whole[:len(whole)-1]
	if _, errText, code = runVerb(t, a.env(), "snapshot", "save", path, "--force"); code != exitUnreachable ||
		!strings.Contains(errText, "not whole") {
		t.Errorf("a backup that was cut off: %d %q", code, errText)
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, whole) {
		t.Errorf("the file that was there is not any more: %d bytes, %v", len(got), err)
	}
	a.save = whole
	if _, _, code = runVerb(t, a.env(), "snapshot", "save", path, "--force", "--json"); code != exitOK {
		t.Errorf("--force: %d", code)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}

func TestSnapshotRestore(t *testing.T) {
	t.Parallel()
	a := newSnapshotAPI(t)
	dir := t.TempDir()
	path, damaged := filepath.Join(dir, "b.snapshot"), filepath.Join(dir, "damaged")
	for name, content := range map[string][]byte{path: a.save, damaged: a.save[1:]} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, errText, code := runVerb(t, a.env(), "snapshot", "restore", path); code != exitUsage ||
		!strings.Contains(errText, "--yes") {
		t.Errorf("without a terminal: %d %q", code, errText)
	}
	if _, errText, code := runVerb(t, a.env(), "snapshot", "restore", damaged, "--yes"); code != exitFailure ||
		!strings.Contains(errText, "corrupt") {
		t.Errorf("a damaged file: %d %q", code, errText)
	}
	if a.restored != nil {
		t.Fatal("something was sent")
	}
	out, _, code := runVerb(t, a.env(), "snapshot", "restore", path, "--yes", "--other-cluster")
	if code != exitOK || out != "restored 4 records at index 9; fences go on in epoch 3\n" {
		t.Errorf("%d %q", code, out)
	}
	if !bytes.Equal(a.restored, a.save) || a.query != "otherCluster=true&ticket=t" || a.tokens[0] != "" {
		t.Errorf("the leader got %d bytes, query %q, tokens %q", len(a.restored), a.query, a.tokens)
	}
	_, _, code = runVerb(t, a.env(), "snapshot", "restore", path, "--yes", "--json")
	if code != exitOK || a.query != "&ticket=t" {
		t.Errorf("%d, query %q", code, a.query)
	}
}

func TestSnapshotInspect(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "b.snapshot")
	whole := testBackup(t)
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	out, _, code := runVerb(t, nil, "snapshot", "inspect", path)
	for _, want := range []string{
		"Of             cluster blue (c1)\n", "Made           2026-11-20T12:00:00Z by node n\ufffd1, version 1.0\n",
		"Log            index 3, term 1\n", "Tenants        1, with 0 API keys\n", "Records        1, ",
	} {
		if code != exitOK || !strings.Contains(out, want) {
			t.Errorf("%d, no %q in\n%s", code, want, out)
		}
	}
	out, _, code = runVerb(t, nil, "snapshot", "inspect", path, "--json")
	var shown fileJSON
	err := json.Unmarshal([]byte(out), &shown)
	if err != nil || code != exitOK || shown.Records != 1 || shown.Index != 3 ||
		shown.Backup.ClusterName != "blue" || shown.Bytes != int64(len(whole)) {
		t.Errorf("%d %+v, %v", code, shown, err)
	}
	out, _, code = runVerb(t, nil, "snapshot", "verify", path)
	want := fmt.Sprintf("%s is whole: %d bytes, 1 records, 0 locks\n", path, len(whole))
	if code != exitOK || out != want {
		t.Errorf("%d %q", code, out)
	}
	// A node keeps each of its own snapshots in a directory.
	if err := os.WriteFile(filepath.Join(dir, "state.bin"), whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, errText, code := runVerb(t, nil, "snapshot", "verify", dir); code != exitOK {
		t.Errorf("%d %q", code, errText)
	}
	if _, _, code = runVerb(t, nil, "snapshot", "verify", filepath.Join(dir, "none")); code != exitNotFound {
		t.Errorf("no file: %d", code)
	}
	for at := range whole {
		whole[at] ^= 0x20
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, code := runVerb(t, nil, "snapshot", "verify", path); code != exitFailure {
			t.Fatalf("byte %d of %d changed: %d", at, len(whole), code)
		}
		whole[at] ^= 0x20
	}
}

// TestSnapshotInterrupted: an interrupted save keeps nothing.
func TestSnapshotInterrupted(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Write(testBackup(t)[:20])
		w.(http.Flusher).Flush()
		close(asked)
		<-r.Context().Done()
	}))
	t.Cleanup(server.Close)
	c, err := newClient(server.URL, testToken)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	go func() { <-asked; stop() }()
	dir := t.TempDir()
	quiet := &terminal{err: io.Discard, out: io.Discard}
	if _, err := saveToFile(ctx, quiet, admin{c}, filepath.Join(dir, "b")); err == nil {
		t.Error("no error")
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("left behind: %v", entries)
	}
}

func TestMeterLine(t *testing.T) {
	t.Parallel()
	m := &meter{what: "saved"}
	m.Write(make([]byte, 40_000))
	if got := m.line(2 * time.Second); got != "saved 40 kB, 20 kB/s" {
		t.Error(got)
	}
	m.total = 80_400_000
	if got := m.line(0); got != "saved 40 kB of 80 MB, 40 MB/s" {
		t.Error(got)
	}
	m.total, m.then = 40_000, "waiting"
	if got := m.line(time.Second); got != "saved 40 kB; waiting" {
		t.Error(got)
	}
}

func TestByteText(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{
		0: "0 B", 999: "999 B", 1000: "1.0 kB", 9_940: "9.9 kB", 9_960: "10 kB", 999_400: "999 kB", 999_600: "1.0 MB",
		123_456_789: "123 MB", 5_000_000_000: "5.0 GB", 1 << 62: "4.6 EB",
	} {
		if got := byteText(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}
