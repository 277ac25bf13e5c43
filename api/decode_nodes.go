package api

import (
	"net"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/syllecta/syllecta/fsm"
)

// maxAddressBytes bounds host:port: a DNS name of 253 bytes, or a bracketed address with its zone.
const maxAddressBytes = 260

// newNodeFields are the members by which a node is added.
type newNodeFields struct {
	raftAddr string
	nonVoter bool
}

// decodeNewNode reads the body of POST /v1/admin/nodes.
func decodeNewNode(body []byte) (newNodeFields, *problem) {
	var f newNodeFields
	p := decodeObject(body, func(d *decoder, name []byte) *problem {
		switch string(name) {
		case "raftAddr":
			return d.address(&f.raftAddr, "raftAddr")
		case "nonVoter":
			return d.boolean(&f.nonVoter, "nonVoter")
		default:
			return d.skip()
		}
	})
	if p == nil && f.raftAddr == "" {
		p = missingField.problem("raftAddr is missing")
	}
	return f, p
}

// decodeSuccessor reads the body of POST /v1/admin/leader, which may be empty.
func decodeSuccessor(body []byte) (nodeID string, p *problem) {
	if len(body) == 0 {
		return "", nil
	}
	p = decodeObject(body, func(d *decoder, name []byte) *problem {
		if string(name) == "nodeId" {
			return d.text(&nodeID, "nodeId", fsm.MaxNodeIDBytes)
		}
		return d.skip()
	})
	return nodeID, p
}

// removalFields are the parameters of a removal.
type removalFields struct{ force, dryRun bool }

// decodeRemoval reads the parameters of DELETE /v1/admin/nodes/:node. Unlike elsewhere, one it does not know is
// refused: a dryRun that is misspelt must not remove anything.
func decodeRemoval(raw string) (removalFields, *problem) {
	var text struct{ force, dryRun string }
	p := eachParameter(raw, func(name, value string) *problem {
		switch name {
		case "force":
			return once(&text.force, name, value, len("false"))
		case "dryRun":
			return once(&text.dryRun, name, value, len("false"))
		case ticketParameter:
			return nil
		default:
			return invalidField.problem("%q is not a parameter of this request", name)
		}
	})
	var f removalFields
	if p == nil {
		p = truth(&f.force, "force", text.force)
	}
	if p == nil {
		p = truth(&f.dryRun, "dryRun", text.dryRun)
	}
	return f, p
}

// truth reads a parameter that is true or false; one that is not there leaves dst alone.
func truth(dst *bool, name, text string) *problem {
	switch text {
	case "":
		return nil
	case "true", "false":
		*dst = text == "true"
		return nil
	default:
		return invalidField.problem("%s is neither true nor false", name)
	}
}

// address reads host:port with a port that can be dialled.
func (d *decoder) address(dst *string, name string) *problem {
	if p := d.text(dst, name, maxAddressBytes); p != nil || *dst == "" {
		return p
	}
	host, port, err := net.SplitHostPort(*dst)
	if n, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil || host == "" || n == 0 {
		return d.invalid(name, "is not an address such as 10.0.0.4:4100")
	}
	return nil
}

func (d *decoder) boolean(dst *bool, name string) *problem {
	if isNull, p := d.null(); isNull || p != nil {
		return p
	}
	kind := d.json.PeekKind()
	if kind != jsontext.KindTrue && kind != jsontext.KindFalse {
		return d.expect(name, jsontext.KindTrue, "true or false")
	}
	*dst = kind == jsontext.KindTrue
	_, err := d.json.ReadToken()
	return d.syntax(err)
}
