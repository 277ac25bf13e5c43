package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"
)

// maxClockOffset is how far a clock may be off before that is worth a note.
const maxClockOffset = 500 * time.Millisecond

// inWords says what the cluster can do and how much more it can bear.
func (v clusterView) inWords() (words string, colour text.Color) {
	needed := v.Voters/2 + 1
	healthy := fmt.Sprintf("%d of %s healthy", v.HealthyVoters, count(v.Voters, "voter"))
	switch tolerance := v.FailureTolerance; {
	case v.Voters == 0:
		return v.NodeID + " is in no cluster; its /readyz says why", text.FgRed
	case v.LeaderID == "":
		return v.leaderless(needed), text.FgRed
	case tolerance < 0:
		return fmt.Sprintf("%s, %d are needed: nothing is acknowledged", healthy, needed), text.FgRed
	case tolerance == 0 && v.Voters == 1:
		return healthy + ": it must not fail", text.FgYellow
	case tolerance == 0:
		return healthy + ": no other may fail", text.FgYellow
	case tolerance == 1:
		return healthy + ": 1 more node may fail", text.FgGreen
	default:
		return fmt.Sprintf("%s: %d more nodes may fail", healthy, tolerance), text.FgGreen
	}
}

func (v clusterView) leaderless(needed int) string {
	answering := 0
	for _, m := range v.Nodes {
		if m.Voter && m.Reachable {
			answering++
		}
	}
	words := fmt.Sprintf("no leader: %d of %s %s, %d %s needed", answering, count(v.Voters, "voter"),
		verbForm(answering, "answers", "answer"), needed, verbForm(needed, "is", "are"))
	if answering >= needed {
		words += "; one should be elected in a moment"
	}
	return words
}

func verbForm(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// whose says which cluster this is, and whose view.
func (v clusterView) whose() string {
	led := "led by nobody"
	if v.LeaderID != "" {
		led = "led by " + v.LeaderID
	}
	name := v.ClusterName
	if v.ClusterID != "" {
		name += " (" + v.ClusterID + ")"
	}
	return fmt.Sprintf("cluster %s as %s sees it: %s in term %d, feature level %d", name, v.NodeID, led, v.Term,
		v.FeatureLevel)
}

// notes are what an operator should look into.
func (v clusterView) notes() (all []string) {
	if list := v.differing(func(m member) string { return m.Version }); list != "" {
		all = append(all, "the nodes run different versions: "+list)
	}
	if list := v.differing(func(m member) string { return m.GossipKey }); list != "" {
		all = append(all, "the nodes encrypt gossip with different keys: "+list)
	}
	for _, m := range v.Nodes {
		if off := millis(m.ClockOffsetMs).Abs(); m.LastSeenMs != nil && off > maxClockOffset {
			all = append(all, fmt.Sprintf("the clock of %s is off by %s: check how it is synchronised",
				m.ID, offset(m.ClockOffsetMs)))
		}
	}
	return all
}

// differing lists who has which value, or "" if all nodes that were seen have the same.
func (v clusterView) differing(of func(member) string) string {
	holders := make(map[string][]string)
	for _, m := range v.Nodes {
		if m.LastSeenMs != nil {
			holders[of(m)] = append(holders[of(m)], m.ID)
		}
	}
	if len(holders) < 2 {
		return ""
	}
	var list []string
	for _, value := range slices.Sorted(maps.Keys(holders)) {
		shown := value
		if shown == "" {
			shown = "none"
		}
		list = append(list, shown+" on "+strings.Join(holders[value], ", "))
	}
	return strings.Join(list, "; ")
}
