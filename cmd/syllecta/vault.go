package main

import (
	"fmt"
	"log/slog"

	"github.com/syllecta/syllecta/api/envelope"
	"github.com/syllecta/syllecta/cluster"
)

// openVault reads the key-encryption keys and returns a vault that follows their file; without a file, one that has
// none.
func openVault(path string, log *slog.Logger) (*envelope.Vault, error) {
	if path == "" {
		return envelope.NewVault(nil), nil
	}
	files, err := cluster.NewReloaded(func() (*envelope.KEKs, error) { return envelope.LoadKEKs(path) }, path)
	if err != nil {
		return nil, fmt.Errorf("key-encryption keys: %w", err)
	}
	kept := &onDemand[*envelope.KEKs]{files: files, what: "file of key-encryption keys", log: log}
	return envelope.FollowingVault(kept.current), nil
}
