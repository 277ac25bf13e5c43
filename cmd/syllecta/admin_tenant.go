package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/syllecta/syllecta/fsm"
)

// The states of a tenant.
const (
	tenantActive    = "active"
	tenantSuspended = "suspended"
)

// tenant is a customer of the cluster, as the admin API shows it.
type tenant struct {
	ID            string      `json:"id"`
	Slug          string      `json:"slug"`
	Name          string      `json:"name"`
	Plan          string      `json:"plan,omitempty"`
	Status        string      `json:"status,omitempty"`
	MonthlyClaims int64       `json:"monthlyClaims"` // 0 leaves it to the plan
	PayloadPolicy string      `json:"payloadPolicy,omitempty"`
	CreatedAt     string      `json:"createdAt"`
	Usage         *monthUsage `json:"usage,omitempty"` // only of one that was asked for by its slug
}

// tenantSpec is what a new tenant is to be.
type tenantSpec struct {
	Slug          string `json:"slug"`
	Name          string `json:"name,omitempty"`
	Plan          string `json:"plan,omitempty"`
	MonthlyClaims int64  `json:"monthlyClaims,omitempty"`
}

// tenantChange is what of a tenant is to change. Members that are nil stay as they are.
type tenantChange struct {
	Name          *string `json:"name,omitempty"`
	Plan          *string `json:"plan,omitempty"`
	MonthlyClaims *int64  `json:"monthlyClaims,omitempty"`
	Status        *string `json:"status,omitempty"`
	PayloadPolicy *string `json:"payloadPolicy,omitempty"`
}

// payloadPolicies are what can be kept of the payloads of delivered events.
var payloadPolicies = []string{
	fsm.PayloadMetadataOnly.String(), fsm.PayloadRedacted.String(), fsm.PayloadRawDebugWindow.String(),
}

const tenantsPath = "/v1/admin/tenants"

func tenantPath(slug string) string { return tenantsPath + "/" + url.PathEscape(slug) }

func (a admin) createTenant(ctx context.Context, spec tenantSpec) (made tenant, err error) {
	err = a.call(ctx, http.MethodPost, tenantsPath, spec, &made)
	if err == nil && spec.Plan != "" && made.Plan != spec.Plan {
		err = fmt.Errorf("%w plans: the tenant was made without one", errOlderLeader)
	}
	return made, err
}

// errOlderLeader is returned when a leader has left out what it does not know of a request, as releases before 0.3.0 do.
var errOlderLeader = errors.New("the leader runs an older release, which does not know")

func (a admin) tenants(ctx context.Context) ([]tenant, error) {
	var out struct {
		Tenants []tenant `json:"tenants"`
	}
	err := a.call(ctx, http.MethodGet, tenantsPath, nil, &out)
	return out.Tenants, err
}

func (a admin) tenant(ctx context.Context, slug string) (found told[tenant], err error) {
	err = a.call(ctx, http.MethodGet, tenantPath(slug), nil, &found)
	return found, err
}

func (a admin) changeTenant(ctx context.Context, slug string, change tenantChange) (changed told[tenant], err error) {
	err = a.call(ctx, http.MethodPatch, tenantPath(slug), change, &changed)
	is := changed.value
	if err == nil && (change.Plan != nil && is.Plan != *change.Plan || change.Status != nil && is.Status != *change.Status) {
		err = fmt.Errorf("%w plans and suspension: neither was changed", errOlderLeader)
	}
	if err == nil && change.PayloadPolicy != nil && is.PayloadPolicy != *change.PayloadPolicy {
		err = fmt.Errorf("%w payload policies: it was not changed", errOlderLeader)
	}
	return changed, err
}
