package api

import (
	"net/http"

	"github.com/syllecta/syllecta/cluster"
)

// maxRefusalDetail bounds what a refusal says: it is written for people who must decide something.
const maxRefusalDetail = 1_024

// refusalKinds are the errors an operator's request can be refused with. Their codes are the cluster's reasons.
var refusalKinds = map[cluster.Reason]*errorKind{
	cluster.ReasonUnknownNode: refusalKind(cluster.ReasonUnknownNode, http.StatusNotFound,
		"There is no such node"),
	cluster.ReasonRetiredNode: refusalKind(cluster.ReasonRetiredNode, http.StatusConflict,
		"The node's id was removed from the cluster"),
	cluster.ReasonDifferentDisk: refusalKind(cluster.ReasonDifferentDisk, http.StatusConflict,
		"The node's id belongs to another data directory"),
	cluster.ReasonOtherCluster: refusalKind(cluster.ReasonOtherCluster, http.StatusConflict,
		"It belongs to another cluster"),
	cluster.ReasonUnreachable: refusalKind(cluster.ReasonUnreachable, http.StatusConflict,
		"The node does not answer"),
	cluster.ReasonNotCaughtUp: refusalKind(cluster.ReasonNotCaughtUp, http.StatusConflict,
		"The node is too far behind"),
	cluster.ReasonNoVote: refusalKind(cluster.ReasonNoVote, http.StatusConflict,
		"The node has no vote"),
	cluster.ReasonQuorumAtRisk: refusalKind(cluster.ReasonQuorumAtRisk, http.StatusConflict,
		"Too few healthy voters would be left"),
	cluster.ReasonChangePending: refusalKind(cluster.ReasonChangePending, http.StatusConflict,
		"Another change is under way"),
	cluster.ReasonBadSnapshot: refusalKind(cluster.ReasonBadSnapshot, http.StatusUnprocessableEntity,
		"The snapshot is damaged, or none"),
	cluster.ReasonNewerSnapshot: refusalKind(cluster.ReasonNewerSnapshot, http.StatusUnprocessableEntity,
		"The snapshot is from a newer release"),
	cluster.ReasonOldRelease: refusalKind(cluster.ReasonOldRelease, http.StatusConflict,
		"The node runs a release that is too old"),
	cluster.ReasonTooManyMembers: refusalKind(cluster.ReasonTooManyMembers, http.StatusConflict,
		"The cluster has too many members"),
}

func refusalKind(reason cluster.Reason, status int, title string) *errorKind {
	return &errorKind{string(reason), status, title, retryNever, 0}
}

// problemOfRefusal maps why the cluster refused an operator's request to what the caller is told.
func problemOfRefusal(r *cluster.Refusal) *problem {
	kind := refusalKinds[r.Reason]
	if kind == nil {
		kind = conflict
	}
	return &problem{kind: kind, detail: clip(r.Detail, maxRefusalDetail)}
}
