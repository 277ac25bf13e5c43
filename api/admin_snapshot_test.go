package api

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/syllecta/syllecta/cluster"
)

func TestSaveSnapshot(t *testing.T) {
	t.Parallel()
	n, key := newFakeNode(t, "n1")
	n.leader, n.backup = &cluster.Peer{ID: "n1"}, []string{"one ", "two"}
	s := newTestServer(t, n, nil)
	w := call(t, s, "GET", "/v1/admin/snapshot", "", asAdmin)
	wantBody(t, w, 200, "one two")
	for name, want := range map[string]string{
		"Content-Type":        "application/octet-stream",
		"Content-Disposition": `attachment; filename="syllecta-blue-20261120T120000Z.snapshot"`,
		"Cache-Control":       "no-store",
	} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	n.follow(&cluster.Peer{ID: "n2", HTTPURL: "http://n2", TicketKey: []byte("k")})
	wantBody(t, call(t, s, "GET", "/v1/admin/snapshot", "", asAdmin), 200, "one two") // followers do it themselves
	wantProblem(t, call(t, s, "GET", "/v1/admin/snapshot", "", asTenant(key)), forbidden)
	n.failure = []error{cluster.ErrUnavailable}
	wantProblem(t, call(t, s, "GET", "/v1/admin/snapshot", "", asAdmin), noLeader)
	n.follow(nil)
	wantProblem(t, call(t, s, "GET", "/v1/admin/snapshot", "", asAdmin), noLeader)
}

// TestSaveSnapshotIsCut: a backup that fails half-way must not look whole.
func TestSaveSnapshotIsCut(t *testing.T) {
	t.Parallel()
	n, _ := newFakeNode(t, "n1")
	n.leader, n.backup = &cluster.Peer{ID: "n1"}, []string{strings.Repeat("x", 1<<16)}
	n.failure = []error{nil, errors.New("the disk is gone")}
	server := httptest.NewServer(newTestServer(t, n, nil))
	defer server.Close()
	resp := adminRequest(t, server, "GET", "/v1/admin/snapshot", nil)
	got, err := io.ReadAll(resp.Body)
	if err == nil {
		t.Errorf("%d bytes look whole", len(got))
	}
}

func adminRequest(t *testing.T, server *httptest.Server, method, path string, body io.Reader) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+testAdminToken)
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func TestRestoreSnapshot(t *testing.T) {
	t.Parallel()
	n, key := newFakeNode(t, "n1")
	s := newTestServer(t, n, nil)
	wantBody(t, call(t, s, "POST", "/v1/admin/snapshot", "backup", asAdmin, "Content-Type: application/octet-stream"),
		200, `{"index":9,"epoch":3,"records":4}`)
	wantBody(t, call(t, s, "POST", "/v1/admin/snapshot?otherCluster=true", "backup", asAdmin), 200,
		`{"index":9,"epoch":3,"records":4}`)
	if got := strings.Join(n.restored, ","); got != "false backup,true backup" {
		t.Errorf("restored %s", got)
	}
	wantProblem(t, call(t, s, "POST", "/v1/admin/snapshot?otherCluster=maybe", "backup", asAdmin), invalidField)
	wantProblem(t, call(t, s, "POST", "/v1/admin/snapshot", "backup", asTenant(key)), forbidden)
	if len(n.restored) != 2 {
		t.Errorf("restored %v", n.restored)
	}
}

// TestRestoreRefusals: whatever the cluster refuses reaches the caller as its own code, with the words.
func TestRestoreRefusals(t *testing.T) {
	t.Parallel()
	n, _ := newFakeNode(t, "n1")
	s := newTestServer(t, n, nil)
	long := strings.Repeat("because ", 60)
	for reason, kind := range refusalKinds {
		n.failure = []error{&cluster.Refusal{Reason: reason, Detail: long}}
		body := wantProblem(t, call(t, s, "POST", "/v1/admin/snapshot", "x", asAdmin), kind)
		if !strings.Contains(body, long) {
			t.Errorf("%s: %s", reason, body)
		}
		if kind.code != string(reason) {
			t.Errorf("%s has code %s", reason, kind.code)
		}
	}
	n.failure = []error{&cluster.Refusal{Reason: "unheard_of", Detail: "words"}}
	wantProblem(t, call(t, s, "POST", "/v1/admin/snapshot", "x", asAdmin), conflict)
	n.failure = []error{nil, cluster.ErrOutcomeUnknown}
	wantProblem(t, call(t, s, "POST", "/v1/admin/snapshot", "x", asAdmin), outcomeUnknown)
	n.failure = []error{cluster.ErrStorageFull}
	wantProblem(t, call(t, s, "POST", "/v1/admin/snapshot", "x", asAdmin), storageFull)
}

// TestRestoreIsNotRepeatedHere: a body that was read cannot be read again, whatever the leadership does meanwhile.
func TestRestoreIsNotRepeatedHere(t *testing.T) {
	t.Parallel()
	n, _ := newFakeNode(t, "n1")
	n.leader = &cluster.Peer{ID: "n1"} // it lost the leadership and has not noticed
	n.failure = []error{nil, cluster.ErrNotLeader}
	wantProblem(t, call(t, newTestServer(t, n, nil), "POST", "/v1/admin/snapshot", "x", asAdmin), noLeader)
	if len(n.restored) != 1 {
		t.Errorf("restored %v", n.restored)
	}
}

// countingBody counts what is read of it.
type countingBody struct {
	io.Reader
	read int
}

func (c *countingBody) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.read += n
	return n, err
}

// TestRestoreRedirects: a follower sends the caller to the leader before it has read any of the backup, also where it
// forwards other requests, and the ticket opens the door there.
func TestRestoreRedirects(t *testing.T) {
	t.Parallel()
	leader, _ := newFakeNode(t, "n1")
	follower, _ := newFakeNode(t, "n2")
	at := newTestServer(t, leader, nil)
	for _, mode := range []FollowerMode{FollowersRedirect, FollowersForward} {
		follower.follow(&cluster.Peer{ID: "n1", HTTPURL: "http://n1", TicketKey: leader.ticket})
		s := newTestServer(t, follower, func(c *Config) { c.Followers = mode })
		body := &countingBody{Reader: strings.NewReader("backup")}
		r := httptest.NewRequest("POST", "/v1/admin/snapshot?otherCluster=true", body)
		r.Header.Set("Authorization", "Bearer "+testAdminToken)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		location := w.Header().Get("Location")
		const want = "http://n1/v1/admin/snapshot?otherCluster=true&ticket="
		if w.Code != 307 || body.read != 0 || !strings.HasPrefix(location, want) {
			t.Fatalf("%s: %d %q, %d bytes read", mode, w.Code, location, body.read)
		}
		target := strings.TrimPrefix(location, "http://n1")
		wantBody(t, call(t, at, "POST", target, "backup"), 200, `{"index":9,"epoch":3,"records":4}`)
		wantProblem(t, call(t, at, "GET", target, ""), invalidAPIKey) // it is good for this request only
	}
}

// TestSlowRestore: a backup that comes in slowly outlives the deadlines of other requests.
func TestSlowRestore(t *testing.T) {
	t.Parallel()
	n, _ := newFakeNode(t, "n1")
	s := newTestServer(t, n, nil)
	server := httptest.NewUnstartedServer(s)
	server.Config.ReadTimeout, server.Config.WriteTimeout = 150*time.Millisecond, 150*time.Millisecond
	server.Start()
	defer server.Close()
	r, w := io.Pipe()
	go func() {
		for range 6 {
			time.Sleep(60 * time.Millisecond)
			w.Write([]byte("part "))
		}
		w.Close()
	}()
	resp := adminRequest(t, server, "POST", "/v1/admin/snapshot", r)
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		t.Errorf("%d %s, %v", resp.StatusCode, answer, err)
	}
	if got := strings.Join(n.restored, ""); got != "false "+strings.Repeat("part ", 6) {
		t.Errorf("restored %q", got)
	}
}

// deadlineRecorder notes the deadlines that a handler sets.
type deadlineRecorder struct {
	*httptest.ResponseRecorder
	reads, writes []time.Time
}

func (d *deadlineRecorder) SetReadDeadline(t time.Time) error {
	d.reads = append(d.reads, t)
	return nil
}

func (d *deadlineRecorder) SetWriteDeadline(t time.Time) error {
	d.writes = append(d.writes, t)
	return nil
}

// TestSnapshotDeadlines: every piece has its own time, so a peer that stalls is cut off, and one that is slow is not.
func TestSnapshotDeadlines(t *testing.T) {
	t.Parallel()
	n, _ := newFakeNode(t, "n1")
	n.leader, n.backup = &cluster.Peer{ID: "n1"}, []string{"one", "two", "three"}
	s := newTestServer(t, n, nil)
	run := func(method, body string) *deadlineRecorder {
		w := &deadlineRecorder{ResponseRecorder: httptest.NewRecorder()}
		r := httptest.NewRequest(method, "/v1/admin/snapshot", bytes.NewBufferString(body))
		r.Header.Set("Authorization", "Bearer "+testAdminToken)
		s.ServeHTTP(w, r)
		return w
	}
	bounded := func(at time.Time) bool { return !at.IsZero() && time.Until(at) <= stallTimeout }
	saved := run("GET", "")
	if len(saved.writes) != len(n.backup) || !bounded(saved.writes[0]) || !bounded(saved.writes[2]) {
		t.Errorf("while saving: %v", saved.writes)
	}
	restored := run("POST", "backup")
	last := len(restored.reads) - 1
	if last < 1 || !bounded(restored.reads[0]) || !restored.reads[last].IsZero() {
		t.Errorf("while receiving: %v", restored.reads)
	}
	if len(restored.writes) != 2 || !restored.writes[0].IsZero() || !bounded(restored.writes[1]) {
		t.Errorf("before answering: %v", restored.writes)
	}
}
