package main

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/syllecta/syllecta/api"
	"github.com/syllecta/syllecta/api/webhook/delivery"
	"github.com/syllecta/syllecta/cluster"
	"github.com/syllecta/syllecta/fsm"
)

// deliverEvents has the node deliver events while it leads, and the API refuse callbacks to where none may go.
func deliverEvents(node *cluster.Config, edge *api.Config, s settings, log *slog.Logger, registry *prometheus.Registry) error {
	guard, err := delivery.NewGuard(s.CallbackAllowCIDR, s.CallbackPorts)
	if err != nil {
		return fmt.Errorf("preparing deliveries: %w", err)
	}
	worker, err := delivery.New(delivery.Config{
		Guard: guard, Vault: edge.Vault, Version: version, Logger: log, Metrics: registry,
	})
	if err != nil {
		return fmt.Errorf("preparing deliveries: %w", err)
	}
	edge.CheckCallback = guard.CheckURL
	edge.Destination = func(s *fsm.Source) api.Destination { return api.Destination(worker.Destination(s)) }
	node.Lead = func(ctx context.Context, n *cluster.Node) { worker.Run(ctx, n) }
	return nil
}
