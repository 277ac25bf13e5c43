package main

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/syllecta/syllecta/cluster"
)

const recoverHelp = `Bring a cluster back that has lost the majority of its voters for good, from one node's disk.

This is the last resort. If the other machines can be started again, start them instead: nothing is lost then.
It works on a stopped node and only looks until --yes is given, then at the node's next start.

  1. Stop every node that is left, and keep the others from starting.
  2. Run "syllecta recover --data-dir DIR" on each of them, and compare: the one with the highest last term, and
     among those the highest last index, has the most.
  3. Run it with --yes on that one, and start it. It is a cluster of one, with all of its records.
  4. Empty the data directories of all others, and let them join under new node ids.

With several --peer, all of them must be recovered so, with the same list, before any is started.`

// recoverFlags are the flags of the recover verb.
type recoverFlags struct {
	t         *terminal
	dir       string
	peers     []string
	yes, json bool
}

func newRecover(t *terminal) *cobra.Command {
	f := &recoverFlags{t: t}
	cmd := &cobra.Command{
		Use:   "recover",
		Short: "Bring a cluster back that lost its majority for good",
		Long:  recoverHelp,
		Example: `  syllecta recover --data-dir /var/lib/syllecta
  syllecta recover --data-dir /var/lib/syllecta --yes
  syllecta recover --data-dir /var/lib/syllecta --peer node1=10.0.0.1:4100 --peer node2=10.0.0.2:4100 --yes`,
		Args: cobra.NoArgs,
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.dir, "data-dir", "", "data `directory` of a stopped node (required)")
	flags.StringArrayVar(&f.peers, "peer", nil,
		"`ID=HOST:PORT` of a voter of the recovered cluster, with its raft address; repeated; none is this node alone")
	flags.BoolVar(&f.yes, "yes", false, "do it, at the next start of the node")
	flags.BoolVar(&f.json, "json", false, "print a JSON object")
	_ = cmd.MarkFlagDirname("data-dir") // fails only for a flag that does not exist
	cmd.RunE = verb(func(*cobra.Command, []string) error { return f.run() })
	return cmd
}

func (f *recoverFlags) run() error {
	if f.dir == "" {
		return usageErrorf("--data-dir is required: the data directory of a stopped node")
	}
	peers, err := parsePeers(f.peers)
	if err != nil {
		return err
	}
	found, err := f.look(peers)
	if err != nil {
		return err
	}
	if len(peers) == 0 {
		peers = found.Alone()
	}
	if f.json {
		return f.t.printJSON(describeRecovery(found, peers, f.yes))
	}
	_, err = fmt.Fprint(f.t.out, recoveryText(found, peers, f.dir, f.yes))
	return err
}

// look surveys the directory, and leaves the plan there if that is wanted.
func (f *recoverFlags) look(peers []cluster.RecoveryPeer) (cluster.Survey, error) {
	if !f.yes {
		return cluster.SurveyDirectory(f.dir)
	}
	return cluster.PrepareRecovery(f.dir, peers, time.Now(), version)
}

func parsePeers(list []string) (peers []cluster.RecoveryPeer, err error) {
	for _, p := range list {
		id, address, ok := strings.Cut(p, "=")
		if _, _, err := net.SplitHostPort(address); !ok || id == "" || err != nil {
			return nil, usageErrorf("--peer %q: want ID=HOST:PORT", p)
		}
		peers = append(peers, cluster.RecoveryPeer{ID: id, Address: address})
	}
	return peers, nil
}

// recoveryReport is what the verb prints as JSON.
type recoveryReport struct {
	NodeID             string                 `json:"nodeId"`
	ClusterID          string                 `json:"clusterId"`
	LastTerm           uint64                 `json:"lastTerm"`
	LastIndex          uint64                 `json:"lastIndex"`
	SnapshotTerm       uint64                 `json:"snapshotTerm"`
	SnapshotIndex      uint64                 `json:"snapshotIndex"`
	Members            []cluster.SurveyMember `json:"members"`
	ConfigurationIndex uint64                 `json:"configurationIndex"`
	Epoch              uint64                 `json:"epoch"`
	Tenants            int                    `json:"tenants"`
	Records            int                    `json:"records"`
	Locks              int                    `json:"locks"`
	Peers              []cluster.RecoveryPeer `json:"peers"`    // of the recovered cluster
	NewEpoch           uint64                 `json:"newEpoch"` // of its fences
	Prepared           bool                   `json:"prepared"` // the next start carries it out
}

func describeRecovery(s cluster.Survey, peers []cluster.RecoveryPeer, done bool) recoveryReport {
	return recoveryReport{
		NodeID: s.NodeID, ClusterID: s.ClusterID, LastTerm: s.LastTerm, LastIndex: s.LastIndex,
		SnapshotTerm: s.SnapshotTerm, SnapshotIndex: s.SnapshotIndex,
		Members: s.Members, ConfigurationIndex: s.ConfigurationIndex, Epoch: s.Epoch,
		Tenants: s.Tenants, Records: s.Records, Locks: s.Locks,
		Peers: peers, NewEpoch: s.Epoch + 1, Prepared: s.Planned || done,
	}
}

// recoveryText says what was found, what that means, and what is to be done next.
func recoveryText(s cluster.Survey, peers []cluster.RecoveryPeer, dir string, done bool) string {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-14s %s\n", name, printable(fmt.Sprintf(format, args...)))
	}
	line("last term", "%d", s.LastTerm)
	line("last index", "%d", s.LastIndex)
	b.WriteString("  Compare these two with those of every other node that is left: recover the one with the highest\n" +
		"  term, among those the highest index. What only other nodes have is lost.\n")
	line("node", "%s", s.NodeID)
	line("cluster", "%s", s.ClusterID)
	for i, m := range s.Members {
		vote := ""
		if !m.Voter {
			vote = ", without a vote"
		}
		line(onFirst(i, "members"), "%s at %s%s", m.ID, m.Address, vote)
	}
	line("snapshot", "%s", snapshotText(s))
	line("holds", "%s, %s, %s", count(s.Records, "record"), count(s.Locks, "lock"), count(s.Tenants, "tenant"))
	line("fences", "epoch %d, then %d", s.Epoch, s.Epoch+1)
	for i, p := range peers {
		line(onFirst(i, "recovered as"), "%s at %s", p.ID, p.Address)
	}
	b.WriteString(consequences(s, peers, dir, done))
	return b.String()
}

// onFirst names the first of several lines.
func onFirst(i int, name string) string {
	if i > 0 {
		return ""
	}
	return name
}

func snapshotText(s cluster.Survey) string {
	if s.SnapshotIndex == 0 {
		return "none, everything is in the log"
	}
	return fmt.Sprintf("of index %d, term %d", s.SnapshotIndex, s.SnapshotTerm)
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}

const recoveryMeaning = `
What it does: the node forgets the other members and goes on with the voters above, with everything that is in its
own log and snapshot. New fences are greater than every earlier one, also those granted by nodes that are lost.

What is kept: everything acknowledged that reached this node's log. What may be lost: acknowledged writes that had
reached a majority without this node. Entries that no majority had seen count as written from now on.

The data directories of all other nodes must not be started again as they are: they would go on as the old cluster.
Empty them, and let those machines join under new node ids.
`

func consequences(s cluster.Survey, peers []cluster.RecoveryPeer, dir string, done bool) string {
	text := recoveryMeaning
	if len(peers) == 0 {
		text += "\nThis node is not a member by its own log: name it, and its raft address, with --peer.\n"
	}
	if len(peers) > 1 {
		text += "\nRecover all of these nodes with the same --peer list before you start any of them.\n"
	}
	switch {
	case done:
		text += "\nPrepared. The next start of this node carries it out.\n"
	case s.Planned:
		text += "\nA recovery was prepared before, and the next start of this node carries it out; remove peers.json from\n" +
			printable(dir) + " to give it up, or run this again with --yes to replace it.\n"
	default:
		text += "\nNothing was changed. Run it again with --yes to have the next start of this node carry it out.\n"
	}
	return text
}
