package test

import (
	"slices"
	"strings"
)

// sourceRows are about the sources of webhooks, as a tenant and as the admin.
func sourceRows() []request {
	var all []request
	for under, key := range map[string]string{"/v1": "", "/v1/admin/tenants/fixture": asAdmin} {
		sources := under + "/sources"
		send := func(method, target string, status int, code string, bodies ...string) {
			all = append(all, rows(request{name: method + " " + target, method: method, target: target, key: key, status: status,
				code: code}, bodies...)...)
		}
		send("POST", sources, 400, "invalid_json", ``, `{`, `[]`, `null`, `{"provider":"stripe","provider":"github"}`,
			`{"provider":"stripe","options":{"a":1,"a":1}}`, `{"provider":"stripe","secrets":["a"`)
		send("POST", sources, 400, "missing_field", `{}`, `{"provider":null}`, `{"secrets":["a"]}`)
		send("POST", sources, 400, "invalid_field", `{"provider":"nobody"}`, `{"provider":"Stripe"}`, `{"provider":7}`,
			`{"provider":"stripe","name":"a b"}`, `{"provider":"stripe","secrets":"a"}`, `{"provider":"stripe","secrets":[""]}`,
			`{"provider":"stripe","secrets":["a","a"]}`, `{"provider":"adyen","secrets":["no hex"]}`,
			`{"provider":"stripe","secrets":["`+strings.Repeat("a", 2_049)+`"]}`, `{"provider":"paypal"}`,
			`{"provider":"stripe","callbackUrl":"shop.example"}`, `{"provider":"stripe","callbackUrl":"file:///etc/passwd"}`,
			`{"provider":"stripe","callbackUrl":"https://u:p@shop.example"}`, `{"provider":"stripe","options":{"later":1}}`,
			`{"provider":"stripe","options":[]}`, `{"provider":"stripe","dedupeWindowSeconds":59}`,
			`{"provider":"stripe","retryDelaysSeconds":[604801]}`, `{"provider":"stripe","maxConcurrency":101}`,
			`{"provider":"stripe","maxPerSecond":-1}`, `{"provider":"stripe","raw":"true"}`, `{"provider":"stripe","enabled":1}`)
		send("PATCH", sources+"/src_x", 400, "invalid_json", ``, `{`, `[]`)
		send("PATCH", sources+"/src_x", 400, "invalid_field", `{"provider":"stripe"}`, `{"name":"x"}`, `{"secrets":["a"]}`,
			`{"callbackUrl":7}`)
		send("PATCH", sources+"/src_x", 404, "not_found", `{}`, `{"raw":true}`)
		send("POST", sources+"/src_x/secrets", 400, "missing_field", `{}`, `{"secret":null}`)
		send("POST", sources+"/src_x/secrets", 400, "invalid_field", `{"secret":""}`, `{"secret":["a"]}`, `{"secret":"a\u0000"}`)
		send("POST", sources+"/src_x/secrets", 404, "not_found", `{"secret":"a"}`)
		send("POST", sources+"/src_x/signing-secret", 400, "invalid_json", `{`, `[]`, `{"overlapSeconds":1,"overlapSeconds":1}`)
		send("POST", sources+"/src_x/signing-secret", 400, "invalid_field", `{"overlapSeconds":-1}`, `{"overlapSeconds":604801}`,
			`{"overlapSeconds":"24h"}`, `{"overlapSeconds":0.5}`)
		send("POST", sources+"/src_x/signing-secret", 404, "not_found", ``, `{}`, `{"overlapSeconds":0}`)
		for _, target := range []string{sources + "/src_x", sources + "/src_x/secrets/sec_x"} {
			all = append(all, request{name: "DELETE " + target, method: "DELETE", target: target, key: key, status: 404, code: "not_found"})
		}
		all = append(all, request{name: "GET " + sources + "/src_x", method: "GET", target: sources + "/src_x", key: key, status: 404,
			code: "not_found"},
			request{name: sources + " for nobody", method: "GET", target: sources, key: none, status: 403, code: "invalid_api_key"})
	}
	const admins = "/v1/admin/tenants/fixture/sources"
	return slices.Concat(all, []request{
		{name: "sources of an unknown tenant", method: "GET", target: "/v1/admin/tenants/nobody/sources", key: asAdmin, status: 404,
			code: "unknown_tenant"},
		{name: "an admin's sources for a tenant", method: "GET", target: admins, status: 403, code: "forbidden"},
		{name: "PUT sources", method: "PUT", target: "/v1/sources", status: 405, code: "method_not_allowed"},
	})
}
