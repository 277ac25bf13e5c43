package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"

	"github.com/hashicorp/raft"
)

// affiliationFile keeps to which cluster a data directory belongs.
const affiliationFile = "cluster.json"

// allegiance is what affiliationFile holds.
type allegiance struct {
	documentHead
	ClusterName string `json:"clusterName"`
	ClusterID   string `json:"clusterId"`
	// Founders is set while the cluster is one that this node has agreed to found. It agrees to one set only, also
	// across a restart, so two sets that overlap cannot both be founded.
	Founders []raft.ServerID `json:"founders,omitempty"`
}

// affiliation is to which cluster this node belongs, or has promised to belong.
type affiliation struct {
	path string // "" keeps it in memory

	mu   sync.Mutex
	kept allegiance
}

// openAffiliation reads what the directory keeps. A cluster of another name than the configured one is refused.
func openAffiliation(dir, clusterName string) (*affiliation, error) {
	a := &affiliation{}
	if dir == "" {
		return a, nil
	}
	a.path = filepath.Join(dir, affiliationFile)
	err := readDocument(a.path, &a.kept)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("to which cluster this node belongs: %w", err)
	}
	if kept := a.kept.ClusterName; kept != "" && kept != clusterName {
		return nil, fmt.Errorf("this data directory belongs to cluster %q, not %q: use its own name, or another directory",
			kept, clusterName)
	}
	return a, nil
}

// clusterID is the cluster this node belongs to or has promised to; "" for none.
func (a *affiliation) clusterID() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.kept.ClusterID
}

// joined reports whether this node belongs to a cluster that others founded.
func (a *affiliation) joined() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.kept.ClusterID != "" && a.kept.Founders == nil
}

// founders returns the promised set, and the id of the cluster it is to be.
func (a *affiliation) founders() (clusterID string, founders []raft.ServerID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.kept.ClusterID, a.kept.Founders
}

// promise holds this node to one set of founders and one cluster. It fails if it is bound otherwise.
func (a *affiliation) promise(clusterName, clusterID string, founders []raft.ServerID) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.objection(clusterID, founders); err != nil || a.kept.ClusterID != "" {
		return err
	}
	return a.keep(allegiance{documentHead{documentVersion}, clusterName, clusterID, slices.Clone(founders)})
}

// wouldPromise fails if promise would, and promises nothing.
func (a *affiliation) wouldPromise(clusterID string, founders []raft.ServerID) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.objection(clusterID, founders)
}

// objection is what keeps this node from a promise. The caller holds mu.
func (a *affiliation) objection(clusterID string, founders []raft.ServerID) error {
	switch kept := a.kept; {
	case kept.ClusterID == "":
		return nil
	case kept.Founders == nil:
		return fmt.Errorf("it belongs to cluster %s", kept.ClusterID)
	case !slices.Equal(kept.Founders, founders):
		return fmt.Errorf("it has agreed to %v: run just these until they have formed a cluster; if that can never be, "+
			"empty its data directory", kept.Founders)
	case kept.ClusterID != clusterID:
		return fmt.Errorf("it has agreed to the same nodes as cluster %s; if %s has lost its disk since, empty the data "+
			"directories of all of them", kept.ClusterID, kept.Founders[0])
	}
	return nil
}

// join binds this node to an existing cluster.
func (a *affiliation) join(clusterName, clusterID string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.kept.ClusterID == clusterID && a.kept.Founders == nil {
		return nil
	}
	if a.kept.ClusterID != "" && a.kept.ClusterID != clusterID {
		return fmt.Errorf("this node is bound to cluster %s", a.kept.ClusterID)
	}
	return a.keep(allegiance{documentHead{documentVersion}, clusterName, clusterID, nil})
}

func (a *affiliation) keep(next allegiance) error {
	if a.path != "" {
		if err := writeDocument(a.path, next); err != nil {
			return fmt.Errorf("keep %s: %w", affiliationFile, err)
		}
	}
	a.kept = next
	return nil
}
