package api

import (
	"net/http"

	"github.com/syllecta/syllecta/cluster"
)

// showLive answers GET /livez: the process answers, which is all it says.
func showLive(x *exchange) {
	x.out.b = append(x.out.b[:0], "ok\n"...)
	x.send(http.StatusOK, "live", textType)
}

// outcomeNotReady is an answer that probes expect while a node starts or stops: no failure of a request.
const outcomeNotReady = "not_ready"

// showReady answers GET /readyz: whether to send callers here, one line per check.
func showReady(x *exchange) {
	status, outcome := http.StatusOK, "ready"
	b := x.out.b[:0]
	for _, c := range x.readiness() {
		if c.OK {
			b = append(append(append(b, "[+]"...), c.Name...), " ok\n"...)
			continue
		}
		status, outcome = http.StatusServiceUnavailable, outcomeNotReady
		b = append(append(append(b, "[-]"...), c.Name...), " failed: "...)
		b = append(append(b, c.Detail...), '\n')
	}
	x.out.b = b
	x.send(status, outcome, textType)
}

func (x *exchange) readiness() []cluster.Check {
	if x.node == nil {
		return []cluster.Check{{Name: "node", Detail: "starting"}}
	}
	checks := x.node.Readiness()
	if x.s.draining.Err() != nil {
		checks = append(checks, cluster.Check{Name: "serving", Detail: "shutting down"})
	}
	return checks
}
