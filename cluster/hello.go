package cluster

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/hashicorp/raft"
)

// Every connection between nodes begins with a hello in each direction, so that both know who the other is and to
// which cluster it belongs before anything else is said:
//
//	magic "SYLW" · version u8 · kind u8 · length u16 · JSON
//
// Every version keeps the first eight bytes.
const (
	helloMagic   = "SYLW"
	helloVersion = 1
	helloBytes   = 8
	// maxHelloBytes bounds the JSON of a hello, which comes from somebody unknown.
	maxHelloBytes = 4 << 10
)

// stream is what a connection is for.
type stream byte

const (
	streamRaft stream = 'R' // raft's own messages, between members of one cluster
	streamPeer stream = 'P' // the service between members of one cluster
	// streamLobby is for nodes that do not belong together yet: to get to know each other, to found a cluster, to join.
	streamLobby stream = 'L'
)

// hello is what a node says of itself.
type hello struct {
	ClusterName string        `json:"clusterName"`
	ClusterID   string        `json:"clusterId,omitempty"`
	NodeID      raft.ServerID `json:"nodeId"`
	DiskID      string        `json:"diskId"`
	Version     string        `json:"version,omitempty"`
	Feature     uint32        `json:"featureLevel"`
	// To is whom the caller wants to reach; "" for whoever answers.
	To raft.ServerID `json:"to,omitempty"`

	RaftAddr string `json:"raftAddr,omitempty"`
	// What only the lobby needs.
	GossipAddr string `json:"gossipAddr,omitempty"`
	HTTPURL    string `json:"httpUrl,omitempty"`
	Expect     int    `json:"expect,omitempty"`
	NonVoter   bool   `json:"nonVoter,omitempty"`
	Formed     bool   `json:"formed,omitempty"` // is, or has been, a member of a formed cluster

	// Refused says why the connection ends here; "" if it does not.
	Refused Reason `json:"refused,omitempty"`
	Detail  string `json:"detail,omitempty"`
}

var errNotOurs = errors.New("it does not speak this protocol, or wants TLS where this node has no certificate, or the reverse")

func writeHello(w io.Writer, kind stream, h hello) error {
	body, err := json.Marshal(h)
	if err != nil {
		return err
	}
	if len(body) > maxHelloBytes {
		return fmt.Errorf("a hello of %d bytes: at most %d", len(body), maxHelloBytes)
	}
	b := append([]byte(helloMagic), helloVersion, byte(kind))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(body)))
	_, err = w.Write(append(b, body...))
	return err
}

func readHello(r io.Reader) (kind stream, h hello, err error) {
	var head [helloBytes]byte
	n, err := io.ReadFull(r, head[:])
	if said := min(n, len(helloMagic)); string(head[:said]) != helloMagic[:said] {
		return 0, h, errNotOurs // however much it says: a TLS alert is shorter than a hello
	}
	if err != nil {
		return 0, h, err
	}
	if head[4] != helloVersion {
		return 0, h, fmt.Errorf("it speaks version %d of the protocol between nodes, this node version %d", head[4], helloVersion)
	}
	size := binary.LittleEndian.Uint16(head[6:])
	if size > maxHelloBytes {
		return 0, h, fmt.Errorf("a hello of %d bytes: at most %d", size, maxHelloBytes)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(r, body); err != nil {
		return 0, h, err
	}
	if err := json.Unmarshal(body, &h); err != nil {
		return 0, hello{}, fmt.Errorf("a hello that cannot be read: %w", err)
	}
	if err := h.validate(); err != nil {
		return 0, hello{}, err
	}
	return stream(head[5]), h, nil
}

// Bounds of what somebody unknown says of itself, which ends up in logs and, if it joins, in the state.
const (
	maxHelloAddrBytes = 300 // a DNS name and a port
	maxHelloURLBytes  = 400
	maxHelloTextBytes = 128
)

func (h hello) validate() error {
	for what, ok := range map[string]bool{
		"node id":      namePattern.MatchString(string(h.NodeID)),
		"cluster name": namePattern.MatchString(h.ClusterName),
		"disk id":      h.DiskID == "" || namePattern.MatchString(h.DiskID),
		"cluster id":   h.ClusterID == "" || namePattern.MatchString(h.ClusterID),
		"address":      len(h.RaftAddr) <= maxHelloAddrBytes && len(h.GossipAddr) <= maxHelloAddrBytes,
		"URL":          len(h.HTTPURL) <= maxHelloURLBytes,
		"version":      len(h.Version) <= maxHelloTextBytes,
	} {
		if !ok {
			return fmt.Errorf("a hello whose %s is not allowed", what)
		}
	}
	return nil
}
