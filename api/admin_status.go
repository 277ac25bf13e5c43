package api

import (
	"fmt"

	"github.com/syllecta/syllecta/cluster"
)

// showCluster answers GET /v1/admin/cluster with this node's own view of the members, whoever leads, or nobody does.
func showCluster(x *exchange) {
	status := x.node.Status()
	x.out.b = append(x.appendCluster(x.out.b[:0], &status), '}')
	x.ok("cluster")
}

// showStatus answers GET /v1/admin/status: the same view, and what the node's state comes to.
func showStatus(x *exchange) {
	status := x.node.Status()
	b := x.appendCluster(x.out.b[:0], &status)
	b = appendStringMember(b, "digest", fmt.Sprintf("%016x", status.Digest)) // beyond what JSON numbers carry exactly
	b = appendIntMember(b, "records", int64(status.Records))
	b = appendIntMember(b, "locks", int64(status.Locks))
	x.out.b = append(b, '}')
	x.ok("status")
}

// appendCluster writes the view without its closing brace.
func (x *exchange) appendCluster(b []byte, s *cluster.Status) []byte {
	b = append(b, '{')
	b = appendStringMember(b, "clusterId", s.ClusterID)
	b = appendStringMember(b, "clusterName", s.ClusterName)
	b = appendStringMember(b, "nodeId", s.NodeID)
	b = appendStringMember(b, "version", x.s.cfg.Version)
	b = appendIntMember(b, "featureLevel", int64(s.FeatureLevel))
	b = appendStringMember(b, "role", s.Role)
	b = appendIntMember(b, "term", int64(s.Term))
	b = appendStringMember(b, "leaderId", s.LeaderID)
	b = appendStringMember(b, "leaderUrl", s.LeaderURL)
	b = appendIntMember(b, "appliedIndex", int64(s.AppliedIndex))
	b = appendIntMember(b, "commitIndex", int64(s.CommitIndex))
	b = appendIntMember(b, "voters", int64(s.Voters))
	b = appendIntMember(b, "healthyVoters", int64(s.HealthyVoters))
	b = appendIntMember(b, "failureTolerance", int64(s.FailureTolerance))
	b = appendTimeMember(b, "clock", s.ClockMs)
	b = append(appendName(b, "nodes"), '[')
	for i := range s.Nodes {
		b = appendNode(appendName(b, ""), &s.Nodes[i])
	}
	return append(b, ']')
}

// appendNode writes a member. What only the member itself could tell is left out while it never did.
func appendNode(b []byte, n *cluster.NodeStatus) []byte {
	b = append(b, '{')
	b = appendStringMember(b, "id", n.ID)
	b = appendBoolMember(b, "self", n.Self)
	b = appendBoolMember(b, "voter", n.Voter)
	b = appendBoolMember(b, "nonVoter", n.NonVoter)
	b = appendStringMember(b, "raftAddr", n.RaftAddr)
	b = appendBoolMember(b, "reachable", n.Reachable)
	b = appendBoolMember(b, "healthy", n.Healthy)
	if n.LastSeen >= 0 {
		b = appendOwnWord(b, n)
	}
	return append(b, '}')
}

// appendOwnWord writes what a member said of itself when it was last seen.
func appendOwnWord(b []byte, n *cluster.NodeStatus) []byte {
	b = appendIntMember(b, "lastSeenMs", n.LastSeen.Milliseconds())
	b = appendStringMember(b, "role", n.Role)
	b = appendIntMember(b, "term", int64(n.Term))
	b = appendIntMember(b, "appliedIndex", int64(n.AppliedIndex))
	b = appendIntMember(b, "lag", int64(n.Lag))
	if n.LastContact >= 0 {
		b = appendIntMember(b, "lastContactMs", n.LastContact.Milliseconds())
	}
	b = appendIntMember(b, "clockOffsetMs", n.ClockOffset.Milliseconds())
	if n.DiskTotal > 0 {
		b = appendIntMember(b, "diskFreeBytes", n.DiskFree)
		b = appendIntMember(b, "diskTotalBytes", n.DiskTotal)
	}
	b = appendStringMember(b, "version", n.Version)
	b = appendIntMember(b, "featureLevel", int64(n.FeatureLevel))
	b = appendStringMember(b, "httpUrl", n.HTTPURL)
	return appendStringMember(b, "gossipKey", n.GossipKey)
}
