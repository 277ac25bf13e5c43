package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"

	"github.com/syllecta/syllecta/fsm"
	"github.com/syllecta/syllecta/snapshot"
)

// checkBackup verifies an upload to its end, in every way in which restoring it could fail later, when raft would end
// the process over it. Nothing is changed.
func (n *Node) checkBackup(ctx context.Context, s *spool, options RestoreOptions) (Inspection, error) {
	r, err := s.rewound()
	if err != nil {
		return Inspection{}, err
	}
	held, err := Inspect(&boundReader{ctx, r})
	if err != nil {
		return Inspection{}, n.refuseBackup(ctx, err)
	}
	if err := n.refuseForeign(held, options); err != nil {
		return Inspection{}, err
	}
	if r, err = s.rewound(); err != nil {
		return Inspection{}, err
	}
	if err := rehearse(&boundReader{ctx, r}); err != nil {
		return Inspection{}, n.refuseBackup(ctx, err)
	}
	return held, nil
}

// rehearse restores a backup into a machine that nobody sees, and gives its memory back.
func rehearse(r io.Reader) error {
	sr, err := snapshot.NewReader(r)
	if err == nil {
		_, err = fsm.Restore(fsmConfig(), sr)
	}
	debug.FreeOSMemory()
	return err
}

// refuseBackup says why a file cannot be restored.
func (n *Node) refuseBackup(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, snapshot.ErrNewerFormat), errors.Is(err, fsm.ErrUnsupported):
		return refuse(ReasonNewerSnapshot, "the backup is from a newer release than this node's %s: %v; "+
			"upgrade all nodes first", n.cfg.Version, err)
	case errors.Is(err, snapshot.ErrCorrupt), errors.Is(err, snapshot.ErrTruncated), errors.Is(err, fsm.ErrMalformed):
		return refuse(ReasonBadSnapshot, "this is no backup that can be restored, or a damaged one: %v", err)
	default:
		return fmt.Errorf("verify a backup: %w", err)
	}
}

// refuseForeign refuses a backup that is whole, but not for this cluster.
func (n *Node) refuseForeign(held Inspection, options RestoreOptions) error {
	d := n.Directory()
	from := held.State
	switch {
	case from.FeatureLevel > d.FeatureLevel:
		return refuse(ReasonNewerSnapshot, "the backup needs feature level %d, that of version %s; this cluster is at "+
			"level %d, because not all of its nodes run that version yet",
			from.FeatureLevel, from.FeatureVersion, d.FeatureLevel)
	case from.ClusterID == "":
		return refuse(ReasonBadSnapshot, "the backup is of a node that belonged to no cluster yet: there is nothing in it")
	case from.ClusterID != d.ClusterID && len(d.Tenants()) > 0 && !options.OtherCluster:
		return refuse(ReasonOtherCluster, "the backup is of cluster %s, this is cluster %s, whose %d tenants would be lost "+
			"with everything they have; to restore it all the same, say so with otherCluster (--other-cluster)",
			from.ClusterID, d.ClusterID, len(d.Tenants()))
	}
	return nil
}

// boundReader fails once its context has ended.
type boundReader struct {
	ctx context.Context
	r   io.Reader
}

func (b *boundReader) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	return b.r.Read(p)
}
