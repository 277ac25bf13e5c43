package main

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
	if err := s.reconcileAddresses(named); err != nil {
		return err
	}
	return s.reconcileForming(named)
}

// reconcileAddresses makes sure that everything advertised can be dialled, and that nothing unprotected is public.
func (s *settings) reconcileAddresses(named func(string) string) error {
	if s.HTTPAdvertise == "" {
		if isWildcard(s.HTTPAddr) {
			return wildcardError(named("http-addr"), s.HTTPAddr, "http-advertise")
		}
		s.HTTPAdvertise = "http://" + s.HTTPAddr
	}
	for _, wire := range []struct {
		name       string
		listen     string
		advertise  string
		connection string
	}{
		{"raft", s.RaftAddr, s.RaftAdvertise, "raft connections are"},
		{"gossip", s.GossipAddr, s.GossipAdvertise, "gossip packets are"},
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
		if !isLoopback(wire.listen) && !s.AllowPublicPlaintext {
			return usageErrorf("%s: %q is refused because %s unauthenticated plain text, and whoever reaches the port "+
				"could change the data; keep it on a network of the nodes alone and say so with --allow-public-plaintext",
				named(wire.name+"-addr"), wire.listen, wire.connection)
		}
	}
	return nil
}

func wildcardError(at, value, advertise string) error {
	return usageErrorf("%s: %q stands for every address and cannot be dialled by others; name one with --%s",
		at, value, advertise)
}

// reconcileForming refuses combinations that would end in several clusters where one was meant.
func (s *settings) reconcileForming(named func(string) string) error {
	if s.GossipAddr == "" && (s.BootstrapExpect != 1 || len(s.Join) > 0) {
		return usageErrorf("%s: without gossip a node is alone; it needs %s 1 and no %s",
			named("gossip-addr"), named("bootstrap-expect"), named("join"))
	}
	if s.BootstrapExpect == 1 && len(s.Join) > 0 {
		return usageErrorf("%s: a node that forms a cluster of 1 cannot join another; set %s to the number of nodes "+
			"that form the cluster together", named("join"), named("bootstrap-expect"))
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
