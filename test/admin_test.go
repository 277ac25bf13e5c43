package test

import (
	"encoding/json"
	"net/http"
)

// tenant is a customer with one API key.
type tenant struct {
	ID   string `json:"id"`
	Slug string `json:"slug"`
	key  string
	// keyID is the key's public id.
	keyID string
}

// newTenant creates a tenant and a key through the leader. A monthlyClaims of 0 is no limit.
func (c *cluster) newTenant(slug string, monthlyClaims int64) tenant {
	c.t.Helper()
	var t tenant
	c.admin(http.MethodPost, "/v1/admin/tenants", map[string]any{"slug": slug, "monthlyClaims": monthlyClaims}, &t)
	var key struct{ ID, Secret string }
	c.admin(http.MethodPost, "/v1/admin/tenants/"+slug+"/keys", map[string]any{"name": "test"}, &key)
	t.key, t.keyID = key.Secret, key.ID
	c.keys = append(c.keys, t.key)
	return t
}

// usage is how many claims a tenant was granted this month.
func (c *cluster) usage(slug string) int64 {
	c.t.Helper()
	var t struct{ Usage struct{ Claims int64 } }
	c.admin(http.MethodGet, "/v1/admin/tenants/"+slug, nil, &t)
	return t.Usage.Claims
}

// admin calls the admin API of the leader. Nothing but a good answer will do.
func (c *cluster) admin(method, path string, in, out any) {
	c.t.Helper()
	var body []byte
	if in != nil {
		body = encode(in)
	}
	var a answer
	eventually(c.t, method+" "+path+" succeeds", func() bool {
		a = newClient(c.leader().url(), adminToken).following().call(method, path, body)
		return a.outcome != refused || a.status != http.StatusServiceUnavailable
	}, func() string { return a.String() })
	if a.outcome != ok {
		c.t.Fatalf("%s %s: %v", method, path, a)
	}
	if err := json.Unmarshal(a.body, out); err != nil {
		c.t.Fatalf("%s %s: %v: %s", method, path, err, a.body)
	}
}
