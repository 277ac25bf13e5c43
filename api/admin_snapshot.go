package api

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/syllecta/syllecta/cluster"
)

// stallTimeout is how long a snapshot's transfer may stand still, in either direction, before its connection is cut.
const stallTimeout = 30 * time.Second

// snapshotType is the media type of a backup.
var snapshotType = []string{"application/octet-stream"}

// saveSnapshot answers GET /v1/admin/snapshot with a backup, as it is made. Any node does it. A backup that fails
// half-way is cut off, so that nobody takes it for a whole one.
func saveSnapshot(x *exchange) {
	x.clearReadDeadline()
	ctx := x.r.Context()
	if _, ok := x.findLeader(ctx); !ok {
		x.refuse(withoutLeader())
		return
	}
	_, err := x.node.Backup(ctx, &snapshotWriter{x: x})
	switch {
	case err == nil:
		x.outcome = "snapshot_saved"
	case x.status == 0:
		x.fail(err)
	default:
		x.err, x.outcome = err, "snapshot_cut"
		panic(http.ErrAbortHandler)
	}
}

// snapshotWriter sends a backup. Its length is not known beforehand.
type snapshotWriter struct {
	x       *exchange
	started bool
}

func (w *snapshotWriter) Write(b []byte) (int, error) {
	if !w.started {
		w.started = true
		h := w.x.Header()
		h["Content-Type"] = snapshotType
		h["Content-Disposition"] = []string{`attachment; filename="` + snapshotName(w.x) + `"`}
	}
	if err := w.x.extendWrite(stallTimeout); err != nil {
		return 0, err
	}
	return w.x.Write(b)
}

// snapshotName suggests a name that sorts by time. A cluster's name has no character that would need quoting.
func snapshotName(x *exchange) string {
	return fmt.Sprintf("syllecta-%s-%s.snapshot", x.node.Status().ClusterName, x.s.now().UTC().Format("20060102T150405Z"))
}

// restoreSnapshot answers POST /v1/admin/snapshot, whose body is a backup of any length. A follower redirects before it
// has read any of it, also where it would pass other requests on.
func restoreSnapshot(x *exchange) {
	other, p := decodeRestore(x.r.URL.RawQuery)
	if p != nil {
		x.refuse(p)
		return
	}
	ctx := x.r.Context()
	body := &snapshotReader{x: x}
	var done cluster.Restored
	ok := x.onLeader(ctx, func() (err error) {
		if body.started {
			return cluster.ErrUnavailable // half of the body is gone: only the caller can begin again
		}
		done, err = x.node.Restore(ctx, body, cluster.RestoreOptions{OtherCluster: other, By: x.actor()})
		return errors.Join(err, x.extendWrite(writeSlack))
	})
	if ok {
		x.out.b = appendRestored(x.out.b[:0], &done)
		x.ok("snapshot_restored")
	}
}

func decodeRestore(raw string) (otherCluster bool, p *problem) {
	var text string
	p = eachParameter(raw, func(name, value string) *problem {
		if name != "otherCluster" {
			return nil
		}
		return once(&text, name, value, len("false"))
	})
	if p != nil || text == "" {
		return false, p
	}
	if otherCluster, err := strconv.ParseBool(text); err == nil {
		return otherCluster, nil
	}
	return false, invalidField.problem("otherCluster is neither true nor false")
}

// snapshotReader receives a backup, for as long as it gets on.
type snapshotReader struct {
	x       *exchange
	started bool
}

func (r *snapshotReader) Read(b []byte) (int, error) {
	c := http.NewResponseController(r.x.ResponseWriter)
	if !r.started {
		r.started = true
		// What follows takes as long as it takes.
		if err := supported(c.SetWriteDeadline(time.Time{})); err != nil {
			return 0, err
		}
	}
	if err := supported(c.SetReadDeadline(time.Now().Add(stallTimeout))); err != nil {
		return 0, err
	}
	n, err := r.x.r.Body.Read(b)
	if errors.Is(err, io.EOF) {
		r.x.clearReadDeadline()
	}
	return n, err
}

// extendWrite gives what is written next its own time.
func (x *exchange) extendWrite(d time.Duration) error {
	return supported(http.NewResponseController(x.ResponseWriter).SetWriteDeadline(time.Now().Add(d)))
}

// supported passes over that a recorder of tests has no deadlines.
func supported(err error) error {
	if errors.Is(err, http.ErrNotSupported) {
		return nil
	}
	return err
}

func appendRestored(b []byte, r *cluster.Restored) []byte {
	b = append(b, '{')
	b = appendIntMember(b, "index", int64(r.Index))
	b = appendIntMember(b, "epoch", int64(r.Epoch))
	b = appendIntMember(b, "records", int64(r.Records))
	if r.Backup != nil {
		b = append(appendName(b, "backup"), '{')
		b = appendStringMember(b, "clusterId", r.Backup.ClusterID)
		b = appendStringMember(b, "clusterName", r.Backup.ClusterName)
		b = appendStringMember(b, "nodeId", r.Backup.NodeID)
		b = appendIntMember(b, "index", int64(r.Backup.Index))
		b = appendTimeMember(b, "takenAt", r.Backup.TakenAt.UnixMilli())
		b = append(b, '}')
	}
	return append(b, '}')
}
