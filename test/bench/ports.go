package main

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
)

const loopback = "127.0.0.1"

// Ports are taken from below the range that the kernel draws from for outgoing connections.
const (
	firstPort = 10_000
	lastPort  = 30_000
)

// freeAddresses returns as many different addresses on loopback, free for TCP and UDP. Another program may still take one
// before it is used: then the peer does not start, and says why.
func freeAddresses(count int) ([]string, error) {
	taken := make(map[int]bool)
	var all []string
	for range lastPort - firstPort {
		if len(all) == count {
			return all, nil
		}
		port := firstPort + rand.IntN(lastPort-firstPort)
		address := net.JoinHostPort(loopback, strconv.Itoa(port))
		if !taken[port] && isFree(address) {
			taken[port] = true
			all = append(all, address)
		}
	}
	return nil, errors.New("there are no free ports on " + loopback)
}

func isFree(address string) bool {
	tcp, err := net.Listen("tcp", address)
	if err != nil {
		return false
	}
	defer tcp.Close()
	udp, err := net.ListenPacket("udp", address)
	if err != nil {
		return false
	}
	defer udp.Close()
	return true
}

// portOf returns the port of one of those addresses.
func portOf(address string) string { return address[len(loopback)+1:] }
