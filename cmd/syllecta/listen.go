package main

import (
	"errors"
	"fmt"
	"net"
	"syscall"
)

func listenHTTP(address string) (net.Listener, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, listenError(err, address, "http-addr")
	}
	return listener, nil
}

// checkNodePorts tries the ports that opening the node will take, to name the setting if one is taken.
func checkNodePorts(s settings) error {
	if err := tryPort("tcp", s.RaftAddr); err != nil {
		return listenError(err, s.RaftAddr, "raft-addr")
	}
	if s.GossipAddr == "" {
		return nil
	}
	for _, network := range []string{"tcp", "udp"} {
		if err := tryPort(network, s.GossipAddr); err != nil {
			return listenError(err, s.GossipAddr, "gossip-addr")
		}
	}
	return nil
}

func listenError(err error, address, setting string) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		_, port, _ := net.SplitHostPort(address)
		return fmt.Errorf("port %s is already in use (%s); choose another with --%s", port, address, setting)
	}
	return fmt.Errorf("--%s: %w", setting, err)
}

// tryPort takes an address and gives it back.
func tryPort(network, address string) error {
	if network == "udp" {
		conn, err := net.ListenPacket(network, address)
		if err != nil {
			return err
		}
		return conn.Close()
	}
	listener, err := net.Listen(network, address)
	if err != nil {
		return err
	}
	return listener.Close()
}
