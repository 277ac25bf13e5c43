package main

import (
	"strings"
	"testing"
)

// usedShop is the shop when it was asked for by its slug.
func usedShop(claims string) string {
	return strings.TrimSuffix(shop, "}") + `,"usage":{"month":"2026-11","claims":` + claims +
		`,"limit":1000,"resetsAt":"2026-12-01T00:00:00.000Z"}}`
}

const (
	tenantHeader = "ID     SLUG  NAME      PLAN     STATUS  CLAIMS PER MONTH  PAYLOADS       CREATED\n"
	shopRow      = "ten_1  shop  The Shop  starter  active  1000              metadata_only  2026-11-23T10:00:00.000Z\n"
)

var tenantAnswers = map[string]string{
	"GET /v1/admin/tenants/shop":      usedShop("790"),
	"GET /v1/admin/tenants/busy":      usedShop("800"),
	"GET /v1/admin/tenants/nearly":    usedShop("999"),
	"GET /v1/admin/tenants/full":      usedShop("1000"),
	"GET /v1/admin/tenants/demo":      demo,
	"GET /v1/admin/tenants/nobody":    refusal(404, "unknown_tenant"),
	"PATCH /v1/admin/tenants/shop":    shop,
	"PATCH /v1/admin/tenants/demo":    demo,
	"PATCH /v1/admin/tenants/nobody":  refusal(404, "unknown_tenant"),
	"PATCH /v1/admin/tenants/planned": refusal(400, "invalid_field"),
	"POST /v1/admin/tenants":          shop,
}

func TestTenantVerbs(t *testing.T) {
	t.Parallel()
	const month = "\n2026-11: "
	for _, c := range []verbCase{
		{"tenant create shop --plan starter", []string{`POST /v1/admin/tenants {"slug":"shop","plan":"starter"}`},
			tenantHeader + shopRow, "", exitOK},
		{"tenant show shop", []string{"GET /v1/admin/tenants/shop"}, tenantHeader + shopRow + month +
			"790 of 1000 claims (79%), counted anew from 2026-12-01T00:00:00.000Z\n", "", exitOK},
		{"tenant show busy", []string{"GET /v1/admin/tenants/busy"}, tenantHeader + shopRow + month +
			"800 of 1000 claims (80%), counted anew from 2026-12-01T00:00:00.000Z\n" +
			"warning: 80% of the month's limit is used\n", "", exitOK},
		{"tenant show nearly", []string{"GET /v1/admin/tenants/nearly"}, tenantHeader + shopRow + month +
			"999 of 1000 claims (99%), counted anew from 2026-12-01T00:00:00.000Z\n" +
			"warning: 99% of the month's limit is used\n", "", exitOK},
		{"tenant show full", []string{"GET /v1/admin/tenants/full"}, tenantHeader + shopRow + month +
			"1000 of 1000 claims (100%), counted anew from 2026-12-01T00:00:00.000Z\n" +
			"warning: the limit of the month is reached: no more locks are granted until 2026-12-01T00:00:00.000Z\n", "", exitOK},
		{"tenant show full --json", []string{"GET /v1/admin/tenants/full"}, usedShop("1000") + "\n", "", exitOK},
		{"tenant show demo", []string{"GET /v1/admin/tenants/demo"},
			"ID     SLUG  NAME  PLAN       STATUS     CLAIMS PER MONTH  PAYLOADS          CREATED\n" +
				"ten_2  demo        unlimited  suspended  no limit          redacted_payload  2026-11-23T11:00:00.000Z\n", "", exitOK},
		{"tenant show nobody", []string{"GET /v1/admin/tenants/nobody"}, "",
			"it cannot be (unknown_tenant); see the tenants with: syllecta tenant list", exitNotFound},

		{"tenant update shop --name= --plan starter --monthly-claims 0",
			[]string{`PATCH /v1/admin/tenants/shop {"name":"","plan":"starter","monthlyClaims":0}`},
			tenantHeader + shopRow, "", exitOK},
		{"tenant update shop --monthly-claims 5 --json", []string{`PATCH /v1/admin/tenants/shop {"monthlyClaims":5}`},
			shop + "\n", "", exitOK},
		{"tenant update shop --payload-policy metadata_only", []string{`PATCH /v1/admin/tenants/shop {"payloadPolicy":"metadata_only"}`},
			tenantHeader + shopRow, "", exitOK},
		{"tenant update shop --payload-policy none", nil, "", `--payload-policy: "none" is not allowed; it must be ` +
			"metadata_only, redacted_payload or raw_debug_window", exitUsage},
		{"tenant update planned --plan x", []string{`PATCH /v1/admin/tenants/planned {"plan":"x"}`}, "",
			"it cannot be (invalid_field)", exitUsage},
		{"tenant update nobody --name x", []string{`PATCH /v1/admin/tenants/nobody {"name":"x"}`}, "",
			"it cannot be (unknown_tenant); see the tenants with: syllecta tenant list", exitNotFound},
		{"tenant update shop", nil, "", "nothing is to change: give --name, --plan, --monthly-claims or --payload-policy", exitUsage},
		{"tenant update shop --plan=", nil, "", "--plan: it must be the name of a plan, such as unlimited", exitUsage},
		{"tenant create shop --plan=", nil, "", "--plan: it must be the name of a plan, such as unlimited", exitUsage},
		{"tenant update shop --monthly-claims -1", nil, "",
			"--monthly-claims: -1 is not allowed; it must be a whole number from 0 to 9007199254740991", exitUsage},

		{"tenant suspend demo", []string{`PATCH /v1/admin/tenants/demo {"status":"suspended"}`},
			"ID     SLUG  NAME  PLAN       STATUS     CLAIMS PER MONTH  PAYLOADS          CREATED\n" +
				"ten_2  demo        unlimited  suspended  no limit          redacted_payload  2026-11-23T11:00:00.000Z\n", "", exitOK},
		{"tenant suspend demo --json", []string{`PATCH /v1/admin/tenants/demo {"status":"suspended"}`}, demo + "\n", "", exitOK},
		{"tenant resume shop", []string{`PATCH /v1/admin/tenants/shop {"status":"active"}`}, tenantHeader + shopRow, "", exitOK},
		{"tenant resume nobody", []string{`PATCH /v1/admin/tenants/nobody {"status":"active"}`}, "",
			"it cannot be (unknown_tenant); see the tenants with: syllecta tenant list", exitNotFound},
	} {
		t.Run(c.args, func(t *testing.T) {
			t.Parallel()
			c.check(t, tenantAnswers)
		})
	}
}

func TestTenantLimitInWords(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		tenant tenant
		want   string
	}{
		{tenant{}, "no limit"}, {tenant{Plan: unlimitedPlan}, "no limit"}, {tenant{Plan: "gold"}, "by plan"},
		{tenant{Plan: "gold", MonthlyClaims: 5}, "5"}, {tenant{MonthlyClaims: 5}, "5"},
	} {
		if got := c.tenant.limit(); got != c.want {
			t.Errorf("%+v: got %q, want %q", c.tenant, got, c.want)
		}
	}
}

// TestOlderLeaders: what a leader of an earlier release has left out of a request is told, and a key that would be good for
// everything is none any more.
func TestOlderLeaders(t *testing.T) {
	t.Parallel()
	const older = "the leader runs an older release, which does not know "
	oldTenant := `{"id":"ten_1","slug":"shop","name":"","monthlyClaims":0,"createdAt":"2026-11-23T10:00:00.000Z"}`
	oldKey := `{"id":"key_1","name":"","hint":"wxyz","createdAt":"2026-11-23T10:00:00.000Z","secret":"ck_wxyz"}`
	answers := map[string]string{
		"POST /v1/admin/tenants":                   oldTenant,
		"PATCH /v1/admin/tenants/shop":             oldTenant,
		"POST /v1/admin/tenants/shop/keys":         oldKey,
		"DELETE /v1/admin/tenants/shop/keys/key_1": oldKey,
		"POST /v1/admin/tenants/other/keys":        oldKey,
	}
	const revoked = "DELETE /v1/admin/tenants/shop/keys/key_1"
	for _, c := range []verbCase{
		{"tenant create shop --plan starter", []string{`POST /v1/admin/tenants {"slug":"shop","plan":"starter"}`}, "",
			older + "plans: the tenant was made without one", exitFailure},
		{"tenant update shop --plan starter", []string{`PATCH /v1/admin/tenants/shop {"plan":"starter"}`}, "",
			older + "plans and suspension: neither was changed", exitFailure},
		{"tenant update shop --payload-policy raw_debug_window",
			[]string{`PATCH /v1/admin/tenants/shop {"payloadPolicy":"raw_debug_window"}`}, "",
			older + "payload policies: it was not changed", exitFailure},
		{"tenant suspend shop", []string{`PATCH /v1/admin/tenants/shop {"status":"suspended"}`}, "",
			older + "plans and suspension: neither was changed", exitFailure},
		{"key create --tenant shop --scope records:read",
			[]string{`POST /v1/admin/tenants/shop/keys {"scopes":["records:read"]}`, revoked}, "",
			older + "scopes and ends of keys: the key key_1 that it has made was revoked", exitFailure},
		{"key create --tenant shop --expires-at 2027-01-31T00:00:00Z",
			[]string{`POST /v1/admin/tenants/shop/keys {"expiresAt":"2027-01-31T00:00:00Z"}`, revoked}, "",
			older + "scopes and ends of keys: the key key_1 that it has made was revoked", exitFailure},
	} {
		t.Run(c.args, func(t *testing.T) {
			t.Parallel()
			c.check(t, answers)
		})
	}
}
