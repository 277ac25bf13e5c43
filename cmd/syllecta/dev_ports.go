package main

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"
)

const (
	// The ports of raft and gossip lie this far above those of HTTP.
	raftPortOffset   = 100
	gossipPortOffset = 200

	loopback = "127.0.0.1"
)

// planNodes decides names and ports of the nodes.
func planNodes(count, port int) []*devNode {
	nodes := make([]*devNode, count)
	for i := range nodes {
		nodes[i] = &devNode{
			name:   fmt.Sprintf("node%d", i+1),
			http:   port + i,
			raft:   port + raftPortOffset + i,
			gossip: port + gossipPortOffset + i,
		}
	}
	return nodes
}

func loopbackAddress(port int) string { return net.JoinHostPort(loopback, strconv.Itoa(port)) }

// checkPorts makes sure that every port the nodes will use is free, before anything is started.
func checkPorts(nodes []*devNode) error {
	for _, n := range nodes {
		for _, use := range []struct {
			port    int
			what    string
			network string
		}{
			{n.http, "HTTP", "tcp"},
			{n.raft, "raft", "tcp"},
			{n.gossip, "gossip", "tcp"},
			{n.gossip, "gossip", "udp"},
		} {
			if err := tryPort(use.network, loopbackAddress(use.port)); err != nil {
				return portError(err, use.port, n.name+" "+use.what)
			}
		}
	}
	return nil
}

func portError(err error, port int, use string) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("port %d is already in use (%s); choose another base with --port", port, use)
	}
	return fmt.Errorf("port %d cannot be used (%s): %w", port, use, err)
}
