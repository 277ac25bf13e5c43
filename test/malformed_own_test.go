package test

import "slices"

// ownTenantRows are about what a tenant's own key may change of its tenant, and of its keys.
func ownTenantRows() []request {
	patch := func(status int, code string, bodies ...string) []request {
		return rows(request{name: "PATCH /v1/tenant", method: "PATCH", target: "/v1/tenant", status: status, code: code}, bodies...)
	}
	create := func(status int, code string, bodies ...string) []request {
		return rows(request{name: "POST /v1/keys", target: "/v1/keys", status: status, code: code}, bodies...)
	}
	return slices.Concat(
		patch(400, "invalid_json", ``, `{`, `[]`),
		patch(400, "invalid_field", `{"payloadPolicy":"all"}`, `{"payloadPolicy":7}`, `{"slug":"x"}`),
		patch(403, "forbidden", `{"plan":"starter"}`, `{"status":"suspended"}`, `{"monthlyClaims":0}`, `{"name":"x"}`),
		create(400, "invalid_json", `{`, `[]`),
		create(400, "invalid_field", `{"scopes":[]}`, `{"scopes":["all"]}`, `{"expiresAt":"2020-01-01T00:00:00Z"}`),
		[]request{
			{name: "an unknown key of one's own", method: "DELETE", target: "/v1/keys/key_x", status: 404, code: "not_found"},
			{name: "keys for nobody", method: "GET", target: "/v1/keys", key: none, status: 403, code: "invalid_api_key"},
			{name: "a tenant for nobody", method: "GET", target: "/v1/tenant", key: none, status: 403, code: "invalid_api_key"},
			{name: "a tenant for an admin", method: "GET", target: "/v1/tenant", key: asAdmin, status: 403, code: "invalid_api_key"},
			{name: "PUT keys", method: "PUT", target: "/v1/keys", status: 405, code: "method_not_allowed"},
		})
}
