package main

import (
	"context"
	"fmt"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"
)

// devReport tells the user what happens: in words, or as one JSON object per line.
type devReport struct {
	t    *terminal
	json bool
	mu   sync.Mutex // one message at a time
}

// event is something that happened after the cluster was ready.
type event struct {
	Time    string `json:"time"`
	Event   string `json:"event"` // exited, started, ready, failed, leader, warning, stopping
	Node    string `json:"node,omitempty"`
	PID     int    `json:"pid,omitempty"`
	Term    uint64 `json:"term,omitempty"`
	Level   string `json:"level,omitempty"`
	Running *int   `json:"running,omitempty"` // nodes whose process is there
	Message string `json:"message"`
}

// devReady describes a cluster that is ready.
type devReady struct {
	Event          string     `json:"event"`
	Version        string     `json:"version"`
	Seconds        float64    `json:"seconds"` // since dev was started
	DataDir        string     `json:"dataDir"`
	Temporary      bool       `json:"temporary"` // the data directory is removed on exit
	AdminTokenFile string     `json:"adminTokenFile"`
	Tenant         string     `json:"tenant"`
	APIKey         string     `json:"apiKey"`
	URLs           devURLs    `json:"urls"`
	Nodes          []nodeInfo `json:"nodes"`
	SelfCheck      selfCheck  `json:"selfCheck"`
}

type devURLs struct {
	API     string `json:"api"` // of any node: it leads to the leader by itself
	Metrics string `json:"metrics"`
}

type nodeInfo struct {
	Name   string `json:"name"`
	Role   string `json:"role"`
	URL    string `json:"url"`
	Raft   string `json:"raft"`
	Gossip string `json:"gossip"`
	PID    int    `json:"pid"`
	Log    string `json:"log"`
}

// describe collects what a user needs to know.
func (d *devCluster) describe(ctx context.Context, apiKey string, check selfCheck) (devReady, error) {
	if _, err := d.awaitLeader(ctx); err != nil {
		return devReady{}, err
	}
	api := fmt.Sprintf("http://localhost:%d", d.nodes[0].http)
	ready := devReady{
		Event: "ready", Version: version, DataDir: d.dir, Temporary: d.options.dataDir == "",
		AdminTokenFile: d.tokenFile(), Tenant: devTenant, APIKey: apiKey,
		URLs: devURLs{API: api, Metrics: api + "/metrics"}, SelfCheck: check,
	}
	statuses := d.statuses(ctx)
	for _, n := range d.nodes {
		role := statuses[n.name].Role
		if role == "" {
			role = "unknown"
		}
		ready.Nodes = append(ready.Nodes, nodeInfo{
			Name: n.name, Role: role, URL: n.url(), Raft: loopbackAddress(n.raft),
			Gossip: loopbackAddress(n.gossip), PID: n.process.Load().pid(), Log: d.logFile(n),
		})
	}
	return ready, nil
}

func (r *devReport) print(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(r.t.out, format, args...) // a reader that has gone away does not stop the cluster
}

// starting prints the headline.
func (r *devReport) starting(d *devCluster) {
	if r.json {
		return
	}
	fate := "kept"
	if d.options.dataDir == "" {
		fate = "removed on exit"
	}
	r.print("syllecta dev %s · %s on this machine · data in %s (%s)\n\n",
		version, countOf(len(d.nodes), "node"), d.dir, fate)
}

// checked prints a line of the self-check.
func (r *devReport) checked(format string, args ...any) {
	if !r.json {
		r.print("  %s %s\n", r.t.paint(text.FgGreen, "✓"), fmt.Sprintf(format, args...))
	}
}

func (r *devReport) ready(v devReady) {
	if r.json {
		r.mu.Lock()
		defer r.mu.Unlock()
		_ = r.t.printJSON(v) // a reader that has gone away does not stop the cluster
		return
	}
	r.print("%s", r.readyText(v))
}

// readyText is everything a user needs, on one screen.
func (r *devReport) readyText(v devReady) string {
	w := r.t.newTable("NODE", "ROLE", "URL", "PID", "LOG")
	for _, n := range v.Nodes {
		w.AppendRow([]any{n.Name, n.Role, n.URL, n.PID, n.Log})
	}
	header := ` -H "Authorization: Bearer ` + v.APIKey + `" -H "Content-Type: application/json"`
	farewell := "its data stays in " + v.DataDir
	if v.Temporary {
		farewell = "its data is removed"
	}
	return "\n" + w.Render() + `

API key  ` + r.t.paint(text.FgYellow, v.APIKey) + ` (tenant "` + v.Tenant + `")
Metrics  ` + v.URLs.Metrics + `
Admin    export SYLLECTA_ADMIN_TOKEN_FILE=` + v.AdminTokenFile + ` SYLLECTA_SERVER=` + v.URLs.API + `
Webhooks ` + v.URLs.API + `/v1/t/` + v.Tenant + `/webhooks/PROVIDER, once there is a source: syllecta source create --help

Try it: take the lock, save the result, then take it again to see it replayed
  curl -L -X POST ` + v.URLs.API + `/v1/record` + header + ` -d '{"scope":"orders","key":"order-2001"}'
  curl -L -X PUT ` + v.URLs.API + `/v1/record` + header +
		` -d '{"scope":"orders","key":"order-2001","body":{"status":"paid"}}'

Ready in ` + fmt.Sprintf("%.1f", v.Seconds) + ` s. Kill any PID with kill -9 to watch the others go on. ` +
		`Ctrl-C stops the cluster; ` + farewell + ".\n"
}

// event prints what happened.
func (r *devReport) event(e event) {
	now := time.Now()
	if !r.json {
		r.print("%s  %s\n", now.Format(time.TimeOnly), r.eventText(e))
		return
	}
	e.Time = now.UTC().Format("2006-01-02T15:04:05.000Z07:00")
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = r.t.printJSON(e) // as in ready
}

func (r *devReport) eventText(e event) string {
	switch e.Event {
	case "warning":
		return e.Node + " " + r.t.paint(text.FgYellow, strings.ToLower(e.Level)) + ": " + e.Message
	case "exited", "failed":
		return r.t.paint(text.FgRed, e.Message)
	default:
		return e.Message
	}
}

// countOf spells a number of things.
func countOf(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// shortTime spells a time for people.
func shortTime(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// seconds is a time for programs, to the millisecond.
func seconds(d time.Duration) float64 { return math.Round(d.Seconds()*1000) / 1000 }
