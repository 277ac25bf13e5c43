package api

import (
	"fmt"

	"github.com/syllecta/syllecta/cluster"
)

// showStatus answers GET /v1/admin/status with this node's own view, whoever leads.
func showStatus(x *exchange) {
	status := x.node.Status()
	x.out.b = appendStatus(x.out.b[:0], x.s.cfg.Version, &status)
	x.ok("status")
}

func appendStatus(b []byte, version string, s *cluster.Status) []byte {
	b = append(b, '{')
	b = appendStringMember(b, "nodeId", s.NodeID)
	b = appendStringMember(b, "clusterId", s.ClusterID)
	b = appendStringMember(b, "version", version)
	b = appendStringMember(b, "role", s.Role)
	b = appendIntMember(b, "term", int64(s.Term))
	b = appendStringMember(b, "leaderId", s.LeaderID)
	b = appendStringMember(b, "leaderUrl", s.LeaderURL)
	b = appendIntMember(b, "appliedIndex", int64(s.AppliedIndex))
	b = appendIntMember(b, "commitIndex", int64(s.CommitIndex))
	b = appendStringMember(b, "digest", fmt.Sprintf("%016x", s.Digest)) // beyond what JSON numbers carry exactly
	b = appendTimeMember(b, "clock", s.ClockMs)
	b = appendIntMember(b, "records", int64(s.Records))
	b = appendIntMember(b, "locks", int64(s.Locks))
	b = append(appendName(b, "peers"), '[')
	for i := range s.Peers {
		b = appendPeer(appendName(b, ""), &s.Peers[i])
	}
	return append(b, `]}`...)
}

func appendPeer(b []byte, p *cluster.PeerStatus) []byte {
	b = append(b, '{')
	b = appendStringMember(b, "id", p.ID)
	b = appendStringMember(b, "raftAddr", p.RaftAddr)
	b = appendStringMember(b, "httpUrl", p.HTTPURL)
	b = appendBoolMember(b, "reachable", p.Reachable)
	b = appendStringMember(b, "version", p.Version)
	b = appendIntMember(b, "lastSeenMs", p.LastSeen.Milliseconds())
	b = appendIntMember(b, "clockOffsetMs", p.ClockOffset.Milliseconds())
	return append(b, '}')
}
