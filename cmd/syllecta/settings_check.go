package main

import "strings"

// reconcile fills in what defaults to another setting and checks what one value alone cannot tell.
func (s *settings) reconcile(spell func(setting) string) error {
	named := func(name string) string {
		row, _ := settingNamed(name)
		return spell(row)
	}
	if s.DataDir == "" {
		return usageErrorf("%s is required: the directory where this node keeps its state", named("data-dir"))
	}
	if s.DefaultTTL > s.MaxRecordTTL {
		return usageErrorf("%s: %d is not allowed; it must not exceed %s, which is %d", named("default-ttl-seconds"),
			int64(s.DefaultTTL.Seconds()), named("max-record-ttl-seconds"), int64(s.MaxRecordTTL.Seconds()))
	}
	for _, step := range []func(func(string) string) error{
		s.reconcileFiles, s.reconcileHTTP, s.reconcileNodeAddresses, s.refusePublicPlaintext, s.reconcileForming,
	} {
		if err := step(named); err != nil {
			return err
		}
	}
	return nil
}

// reconcileFiles makes sure that files which are of use together only are all there.
func (s *settings) reconcileFiles(named func(string) string) error {
	for _, group := range [][]struct{ name, value string }{
		{{"node-ca-file", s.NodeCAFile}, {"node-cert-file", s.NodeCertFile}, {"node-key-file", s.NodeKeyFile}},
		{{"http-cert-file", s.HTTPCertFile}, {"http-key-file", s.HTTPKeyFile}},
	} {
		given, missing := "", ""
		for _, file := range group {
			if file.value == "" {
				missing = file.name
			} else {
				given = file.name
			}
		}
		if given != "" && missing != "" {
			return usageErrorf("%s: of no use without --%s", named(given), missing)
		}
	}
	return nil
}

// reconcileHTTP fills in the URL at which the API is reached, and makes sure that it can be dialled.
func (s *settings) reconcileHTTP(named func(string) string) error {
	scheme := "http://"
	if s.HTTPCertFile != "" {
		scheme = "https://"
	}
	switch {
	case s.HTTPAdvertise == "" && isWildcard(s.HTTPAddr):
		return wildcardError(named("http-addr"), s.HTTPAddr, "http-advertise")
	case s.HTTPAdvertise == "":
		s.HTTPAdvertise = scheme + s.HTTPAddr
	case isHostPort(s.HTTPAdvertise):
		s.HTTPAdvertise = scheme + s.HTTPAdvertise
	case s.HTTPCertFile != "" && !strings.HasPrefix(s.HTTPAdvertise, scheme):
		return usageErrorf("%s: %q is refused because the API speaks TLS (%s); name it with https://",
			named("http-advertise"), s.HTTPAdvertise, named("http-cert-file"))
	}
	return nil
}

// reconcileNodeAddresses makes sure that what is advertised to other nodes can be dialled.
func (s *settings) reconcileNodeAddresses(named func(string) string) error {
	for _, wire := range []struct{ name, listen, advertise string }{
		{"raft", s.RaftAddr, s.RaftAdvertise},
		{"gossip", s.GossipAddr, s.GossipAdvertise},
	} {
		if wire.listen == "" {
			continue
		}
		if wire.advertise != "" && isWildcard(wire.advertise) {
			return usageErrorf("%s: %q stands for every address and cannot be dialled by others; name one of them",
				named(wire.name+"-advertise"), wire.advertise)
		}
		if wire.advertise == "" && isWildcard(wire.listen) {
			return wildcardError(named(wire.name+"-addr"), wire.listen, wire.name+"-advertise")
		}
	}
	return nil
}

func wildcardError(at, value, advertise string) error {
	return usageErrorf("%s: %q stands for every address and cannot be dialled by others; name one with --%s",
		at, value, advertise)
}

// refusePublicPlaintext refuses a wire that is neither protected nor kept on this machine.
func (s *settings) refusePublicPlaintext(named func(string) string) error {
	if s.AllowPublicPlaintext {
		return nil
	}
	for _, wire := range []struct{ name, listen, protection, danger, missing string }{
		{"http", s.HTTPAddr, s.HTTPCertFile, "whoever is on the way could read keys and records", "http-cert-file"},
		{"raft", s.RaftAddr, s.NodeCertFile, "whoever reaches the port could change the data", "node-cert-file"},
		{"gossip", s.GossipAddr, s.GossipKeyFile, "whoever reaches the port could lead nodes astray", "gossip-key-file"},
	} {
		if wire.listen == "" || wire.protection != "" || isLoopback(wire.listen) {
			continue
		}
		return usageErrorf("%s: %q is refused because without --%s %s is plain text, and %s; "+
			"give that file (see syllecta tls init), or accept the risk with --allow-public-plaintext",
			named(wire.name+"-addr"), wire.listen, wire.missing, wire.name, wire.danger)
	}
	return nil
}

// reconcileForming refuses combinations that would end in several clusters where one was meant.
func (s *settings) reconcileForming(named func(string) string) error {
	if s.Bootstrap && s.BootstrapExpect != 0 {
		return usageErrorf("%s: a cluster is formed by one node with %s, or by several with %s, not both",
			named("bootstrap"), named("bootstrap"), named("bootstrap-expect"))
	}
	forming := "bootstrap-expect"
	if s.Bootstrap {
		forming, s.BootstrapExpect = "bootstrap", 1
	}
	switch {
	case s.GossipAddr == "" && (s.BootstrapExpect != 1 || len(s.Join) > 0):
		return usageErrorf("%s: without gossip a node is alone; it needs %s and no %s",
			named("gossip-addr"), named("bootstrap"), named("join"))
	case s.BootstrapExpect == 1 && len(s.Join) > 0:
		return usageErrorf("%s: a node that forms a cluster of 1 (%s) cannot join another; leave out one of the two, or "+
			"set --bootstrap-expect to the number of nodes that form the cluster together", named("join"), named(forming))
	case s.NonVoter && s.BootstrapExpect > 0:
		return usageErrorf("%s: the nodes that form a cluster vote; leave out one of this and %s",
			named("non-voter"), named(forming))
	}
	return nil
}

// nearest returns the candidate with the smallest edit distance to word.
func nearest(word string, candidates []string) string {
	best, bestDistance := "", len(word)+maxTextBytes
	for _, candidate := range candidates {
		if d := editDistance(word, candidate); d < bestDistance {
			best, bestDistance = candidate, d
		}
	}
	return best
}

// editDistance is Levenshtein's: the insertions, deletions and replacements of bytes that turn a into b.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
