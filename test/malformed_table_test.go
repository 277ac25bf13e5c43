package test

import (
	"fmt"
	"slices"
	"strings"
)

// malformedTable is everything that must be refused.
func malformedTable() []request {
	return slices.Concat(
		syntaxRows(), claimFieldRows(), putFieldRows(), lockFieldRows(), batchRows(), queryRows(), headerKeyRows(),
		contentRows(), sizeRows(), authRows(), adminRows(), sourceRows(), ownTenantRows(), pathRows(), methodRows(), stateRows(), protocolRows(),
	)
}

// rows gives variants of one request the same expectation; each variant's body is its name.
func rows(base request, bodies ...string) []request {
	all := make([]request, len(bodies))
	for i, body := range bodies {
		all[i] = base
		all[i].body = body
		all[i].name = fmt.Sprintf("%s %q", base.name, shorten(body))
	}
	return all
}

func shorten(s string) string {
	const limit = 80
	if len(s) <= limit {
		return s
	}
	return fmt.Sprintf("%s… (%d bytes)", s[:limit], len(s))
}

// with is the usual claim with more members.
func with(members string) string { return `{"scope":"s","key":"k",` + members + `}` }

func nested(depth int) string { return strings.Repeat("[", depth) + strings.Repeat("]", depth) }

func syntaxRows() []request {
	bad := request{name: "syntax", status: 400, code: "invalid_json"}
	put := bad
	put.method = "PUT"
	return slices.Concat(rows(bad,
		"", " ", "{", "}", "[", `"`, "nul", `{"scope"`, `{"scope":}`, `{"scope":"s"`, `{"scope":"s",}`, `{,}`,
		`{"scope":"s" "key":"k"}`, `{"scope":"s";"key":"k"}`, `{scope:"s",key:"k"}`, `{'scope':'s','key':'k'}`,
		`{"scope":"s","key":"k"}}`, `{"scope":"s","key":"k"}{}`, `{"scope":"s","key":"k"} x`, `{"scope":"s","key":"k"},`,
		`{"scope":"s","key":"k"}//`, `/**/{"scope":"s","key":"k"}`, "\ufeff"+`{"scope":"s","key":"k"}`,
		`{"scope":"s","key":"k"}`+"\x00", "null", "true", "1", `"s"`, "[]", `[{"scope":"s","key":"k"}]`,
		with(`"x":NaN`), with(`"x":Infinity`), with(`"x":01`), with(`"x":+1`), with(`"x":.5`), with(`"x":1.`),
		with(`"x":1e`), with(`"x":-`), with(`"x":0x10`), with(`"x":tru`), with(`"x":True`), with(`"x":undefined`),
		// strings
		"{\"scope\":\"a\tb\",\"key\":\"k\"}", "{\"scope\":\"a\nb\",\"key\":\"k\"}", "{\"scope\":\"a\x00b\",\"key\":\"k\"}",
		`{"scope":"\x","key":"k"}`, `{"scope":"\u12","key":"k"}`, `{"scope":"\uZZZZ","key":"k"}`,
		`{"scope":"\ud800","key":"k"}`, `{"scope":"\udc00","key":"k"}`, `{"scope":"\udc00\ud800","key":"k"}`,
		`{"scope":"\ud800x","key":"k"}`, with(`"x":"\ud800"`),
		// bytes that are not UTF-8
		"{\"scope\":\"\xff\",\"key\":\"k\"}", "{\"scope\":\"\xc0\x80\",\"key\":\"k\"}",
		"{\"scope\":\"\xed\xa0\x80\",\"key\":\"k\"}",
		"{\"scope\":\"\xe2\x82\",\"key\":\"k\"}", "{\"scope\":\"\xf5\x80\x80\x80\",\"key\":\"k\"}", with("\"x\":\"\xff\""),
		with("\"\xff\":1"),
		// duplicates
		with(`"scope":"s"`), with(`"key":"k2"`), with(`"\u006bey":"k"`), with(`"x":1,"x":1`), with(`"x":{"a":1,"a":2}`),
		with(`"x":[{"a":1,"\u0061":2}]`),
		// depth: the object itself is the first level of at most 64
		with(`"x":`+nested(64)), with(`"x":`+nested(5_000)), strings.Repeat("[", 10_000), strings.Repeat(`{"a":`, 65),
	), rows(put,
		with(`"body":`), with(`"body":{"a":1,"a":2}`), with(`"body":"`+"\xff"+`"`), with(`"body":"\ud800"`),
		with(`"body":`+nested(64)), with(`"body":1 2`), with(`"headers":{"a":"1","a":"2"}`), with(`"body":1,"body":1`),
	))
}

func claimFieldRows() []request {
	missing := request{name: "missing", status: 400, code: "missing_field"}
	invalid := request{name: "field", status: 400, code: "invalid_field"}
	return slices.Concat(rows(missing,
		"{}", `{"scope":"s"}`, `{"key":"k"}`, `{"scope":null,"key":"k"}`, `{"scope":"s","key":null}`,
		`{"Scope":"s","key":"k"}`, `{"SCOPE":"s","KEY":"k"}`, `{"ſcope":"s","key":"k"}`,
		"{\"scope\":\"s\",\"\u212aey\":\"k\"}",
		`{"scope ":"s","key":"k"}`, `{"x":{"scope":"s","key":"k"}}`,
	), rows(invalid,
		`{"scope":"","key":"k"}`, `{"scope":"s","key":""}`, `{"scope":1,"key":"k"}`, `{"scope":"s","key":1001}`,
		`{"scope":true,"key":"k"}`, `{"scope":["s"],"key":"k"}`, `{"scope":{},"key":"k"}`,
		`{"scope":"`+strings.Repeat("s", 129)+`","key":"k"}`, `{"scope":"s","key":"`+strings.Repeat("k", 513)+`"}`,
		`{"scope":"`+strings.Repeat("€", 43)+`","key":"k"}`, // 129 bytes of 43 characters
		`{"scope":"a\u0000b","key":"k"}`, `{"scope":"s\n","key":"k"}`, `{"scope":"s","key":"\u001b[31m"}`,
		`{"scope":"s","key":"\u007f"}`, `{"scope":"s","key":"\u0085"}`, `{"scope":"s","key":"a\tb"}`,
		with(`"owner":""`), with(`"owner":"`+strings.Repeat("o", 129)+`"`), with(`"owner":7`), with(`"owner":"\u0007"`),
		with(`"fingerprint":""`), with(`"fingerprint":"`+strings.Repeat("f", 257)+`"`), with(`"fingerprint":{}`),
		with(`"ttlSeconds":0`), with(`"ttlSeconds":-1`), with(`"ttlSeconds":"60"`), with(`"ttlSeconds":1.5`),
		with(`"ttlSeconds":6e1`), with(`"ttlSeconds":60.0`), with(`"ttlSeconds":2592001`), with(`"ttlSeconds":true`),
		with(`"ttlSeconds":9223372036854775808`), with(`"ttlSeconds":`+strings.Repeat("9", 400)), with(`"ttlSeconds":[60]`),
		with(`"lockMs":999`), with(`"lockMs":1`), with(`"lockMs":-1`), with(`"lockMs":86400001`), with(`"lockMs":"1000"`),
		with(`"lockMs":1000.5`), with(`"waitMs":-1`), with(`"waitMs":30001`), with(`"waitMs":"1"`), with(`"waitMs":0.1`),
	))
}

func putFieldRows() []request {
	missing := request{name: "put", method: "PUT", status: 400, code: "missing_field"}
	invalid := request{name: "put", method: "PUT", status: 400, code: "invalid_field"}
	members := make([]string, 65)
	for i := range members {
		members[i] = fmt.Sprintf(`"h%d":"v"`, i)
	}
	return slices.Concat(rows(missing, `{}`, `{"scope":"s","body":1}`, `{"key":"k","body":1}`), rows(invalid,
		with(`"status":99`), with(`"status":600`), with(`"status":-200`), with(`"status":"200"`), with(`"status":200.0`),
		with(`"headers":[]`), with(`"headers":"a"`), with(`"headers":{"a":1}`), with(`"headers":{"a":{}}`),
		with(`"headers":{"a":["b",1]}`), with(`"headers":{"a":null}`), with(`"headers":{`+strings.Join(members, ",")+`}`),
		with(`"headers":{"a":"`+strings.Repeat("v", 8<<10)+`"}`),
		with(`"token":""`), with(`"token":"abc"`), with(`"token":"`+strings.Repeat("a", 31)+`"`),
		with(`"token":"`+strings.Repeat("a", 33)+`"`),
		with(`"token":"`+strings.Repeat("g", 32)+`"`), with(`"token":"`+strings.Repeat("0", 32)+`"`), with(`"token":1`),
		with(`"ttlSeconds":0`), with(`"ttlSeconds":2592001`),
	))
}

func lockFieldRows() []request {
	token := strings.Repeat("a", 32)
	var all []request
	for _, path := range []string{"/v1/record/renew", "/v1/record/release"} {
		all = append(all, rows(request{name: path, target: path, status: 400, code: "missing_field"},
			`{}`, `{"scope":"s","key":"k"}`, `{"scope":"s","token":"`+token+`"}`, with(`"token":null`))...)
		all = append(all, rows(request{name: path, target: path, status: 400, code: "invalid_field"},
			with(`"token":"x"`), with(`"token":"`+token+`","lockMs":999`))...)
		all = append(all, rows(request{name: path, target: path, status: 400, code: "invalid_json"}, ``, `[]`)...)
	}
	return all
}

func batchRows() []request {
	base := request{name: "batch", target: "/v1/records", status: 400}
	code := func(c string) request {
		r := base
		r.code = c
		return r
	}
	many := strings.Repeat(`{"scope":"s","key":"k"},`, 256) + `{"scope":"s","key":"k"}`
	return slices.Concat(
		rows(code("missing_field"), `{}`, `{"records":null}`, `{"records":[{"scope":"s"}]}`, `{"records":[{}]}`,
			`{"records":[{"scope":"s","key":"k"},{"key":"k"}]}`),
		rows(code("invalid_field"), `{"records":{}}`, `{"records":"x"}`, `{"records":[]}`, `{"records":[1]}`,
			`{"records":[null]}`, `{"records":[[]]}`, `{"records":[`+many+`]}`,
			`{"records":[{"scope":"s","key":"k"},{"scope":"s","key":"k2","lockMs":1}]}`),
		rows(code("invalid_json"), `{"records":[`, `{"records":[{"scope":"s","key":"k"},]}`, `[]`,
			`{"records":[{"scope":"s","key":"k","key":"k"}]}`, `{"records":[{"scope":"s","key":"k"}],"records":[]}`),
	)
}

func queryRows() []request {
	var all []request
	add := func(code string, queries ...string) {
		for _, method := range []string{"GET", "DELETE"} {
			for _, q := range queries {
				all = append(all, request{
					name: method + " " + shorten(q), method: method, target: "/v1/record" + q, status: 400, code: code,
				})
			}
		}
	}
	add("missing_field", "", "?", "?scope=s", "?key=k", "?Scope=s&Key=k", "?x=1", "?scope=s;key=k")
	add("invalid_field", "?scope=&key=k", "?scope=s&key=", "?scope&key=k", "?scope=s&scope=s&key=k",
		"?scope=s&key=k&key=k2",
		"?scope=s&key=%zz", "?scope=s&key=%", "?scope=s&key=%4", "?scope=%ff&key=k", "?scope=s&key=%ed%a0%80",
		"?scope=s&key=a%00b",
		"?scope=s&key=a%0ab", "?scope=s&key="+strings.Repeat("k", 513), "?scope="+strings.Repeat("s", 129)+"&key=k")
	for _, q := range []string{"strong", "", "STALE", "stale&consistency=stale"} {
		all = append(all, request{
			name: "consistency=" + q, method: "GET", target: "/v1/record?scope=s&key=k&consistency=" + q,
			status: 400, code: "invalid_field",
		})
	}
	all = append(all, rows(request{name: "DELETE", method: "DELETE", status: 400, code: "missing_field"}, `{}`,
		`{"scope":"s"}`)...)
	all = append(all, rows(request{name: "DELETE", method: "DELETE", status: 400, code: "invalid_json"}, `{`, `[]`,
		with(`"key":"k"`))...)
	return append(all, request{
		name: "DELETE of two keys", method: "DELETE", target: "/v1/record?scope=s&key=other", body: `{"scope":"s","key":"k"}`,
		status: 400, code: "invalid_field",
	})
}

func headerKeyRows() []request {
	base := request{body: `{"scope":"s"}`, status: 400, code: "invalid_field"}
	var all []request
	for _, value := range []string{
		``, `"`, `"open`, `"a"b`, `"a" "b"`, `"a\x"`, `"a\`, `"ä"`, `"a";p=1`, strings.Repeat("k", 513), "\xff", `""`, "a\tb",
	} {
		r := base
		r.name, r.header = fmt.Sprintf("Idempotency-Key %q", shorten(value)), "Idempotency-Key: "+value+"\r\n"
		all = append(all, r)
	}
	two, other := base, base
	two.name, two.header = "two Idempotency-Keys", "Idempotency-Key: a\r\nIdempotency-Key: b\r\n"
	other.name, other.header, other.body = "another Idempotency-Key", "Idempotency-Key: other\r\n",
		`{"scope":"s","key":"k"}`
	return append(all, two, other)
}

func contentRows() []request {
	base := request{body: `{"scope":"s","key":"k"}`, status: 415, code: "unsupported_media_type"}
	var all []request
	for _, lines := range []string{
		"Content-Type: text/plain", "Content-Type: application/xml", "Content-Type: text/json",
		"Content-Type: application/jsonx",
		"Content-Type: multipart/form-data; boundary=x", "Content-Type: application/json; charset=latin1", "Content-Type: ;",
		"Content-Type: application/json, text/plain", "Content-Type: application/json\r\nContent-Type: application/json",
		"Content-Type: application/json; charset", "Content-Type: json",
		"Content-Encoding: gzip", "Content-Encoding: br", "Content-Encoding: identity, gzip", "Content-Encoding: x",
		"Content-Encoding: identity\r\nContent-Encoding: deflate",
	} {
		r := base
		r.name, r.header = lines, lines+"\r\n"
		all = append(all, r)
	}
	return all
}

func sizeRows() []request {
	const kib = 1 << 10
	filled := func(size int, head, tail string) string {
		return head + strings.Repeat("x", size-len(head)-len(tail)) + tail
	}
	claim := `{"scope":"s","key":"k","x":"`
	tooLarge := request{status: 413, code: "body_too_large"}
	sized := func(name, method, target, body, header string) request {
		r := tooLarge
		r.name, r.method, r.target, r.body, r.header = name, method, target, body, header
		return r
	}
	return []request{
		sized("a claim of 16 KiB and a byte", "POST", "", filled(16*kib+1, claim, `"}`), ""),
		sized("a claim that only says it is large", "POST", "", "", "Content-Length: 1000000000\r\n"),
		sized("a large claim in chunks", "POST", "", chunked(filled(16*kib+1, claim, `"}`)),
			"Transfer-Encoding: chunked\r\n"),
		sized("a DELETE of 16 KiB and a byte", "DELETE", "", filled(16*kib+1, claim, `"}`), ""),
		sized("a result of 256 KiB and a byte", "PUT", "",
			`{"scope":"s","key":"k","body":`+filled(256*kib+1, `"`, `"`)+`}`, ""),
		sized("a PUT of 288 KiB and a byte", "PUT", "", filled(288*kib+1, claim, `"}`), ""),
		sized("a batch of 1 MiB and a byte", "POST", "/v1/records", filled(1<<20+1, `{"x":"`, `"}`), ""),
		sized("a tenant of 16 KiB and a byte", "POST", "/v1/admin/tenants", filled(16*kib+1, `{"x":"`, `"}`), ""),
	}
}

func chunked(body string) string { return fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body) }

func authRows() []request {
	base := request{body: `{"scope":"s","key":"k"}`, status: 403, code: "invalid_api_key"}
	var all []request
	for name, key := range map[string]string{
		"no key": none, "a revoked key": asRevoked, "the admin token": asAdmin, "a short key": "ck_x", "no text": " ",
		"a long key": "ck_" + strings.Repeat("A", 8<<10), "a key of the right length": "ck_" + strings.Repeat("0", 49),
		"two words": "ck_a ck_b", "a list": "ck_a,ck_b", "another prefix": "sk_" + strings.Repeat("0", 49),
	} {
		r := base
		r.name, r.key = name, key
		all = append(all, r)
	}
	for _, lines := range []string{
		"Authorization:", "Authorization: Bearer", "Authorization: Basic KEY", "Authorization: KEY",
		"Authorization: Bearer  KEY",
		"Authorization: Bearer\tKEY", "Authorization: Bearer KEYx", "Authorization: Bearer xKEY",
		"Authorization: Bearer KEY KEY",
		"Authorization: Bearer KEY\r\nAuthorization: Bearer KEY", "Authorization: Bearer \"KEY\"", "Authorization: BearerKEY",
		"X-Api-Key: KEY\r\nAuthorization:", "Proxy-Authorization: Bearer KEY\r\nAuthorization:",
		"Cookie: key=KEY\r\nAuthorization:",
	} {
		r := base
		r.name, r.header = lines, lines+"\r\n"
		all = append(all, r)
	}
	for _, target := range []string{
		"/v1/record?ticket=x", "/v1/record?ticket=" + strings.Repeat("A", 100), "/v1/record?ticket=" + strings.Repeat("A",
			5_000),
		"/v1/record?api_key=x", "/v1/record?ticket=",
	} {
		r := base
		r.name, r.target, r.key = shorten(target), target, none
		all = append(all, r)
	}
	return append(all,
		request{name: "GET without a key", method: "GET", target: "/v1/record?scope=s&key=k", key: none, status: 403,
			code: "invalid_api_key"},
		request{name: "a bad key before a bad body", body: "{", key: "ck_x", status: 403, code: "invalid_api_key"},
	)
}

func adminRows() []request {
	const tenants = "/v1/admin/tenants"
	var all []request
	for _, target := range []string{tenants, tenants + "/fixture", tenants + "/fixture/keys", "/v1/admin/status"} {
		get := request{method: "GET", target: target, status: 403}
		for name, refusal := range map[string][2]string{
			"nobody": {none, "invalid_api_key"}, "a wrong token": {adminToken + "x", "invalid_api_key"},
			"a tenant": {"", "forbidden"}, "a revoked key": {asRevoked, "invalid_api_key"},
		} {
			r := get
			r.name, r.key, r.code = target+" as "+name, refusal[0], refusal[1]
			all = append(all, r)
		}
	}
	post := func(target string, status int, code string, bodies ...string) []request {
		return rows(request{name: target, target: target, key: asAdmin, status: status, code: code}, bodies...)
	}
	patch := post(tenants+"/fixture", 400, "invalid_field", `{"slug":"other"}`, `{"monthlyClaims":-1}`, `{"name":7}`,
		`{"plan":"nosuch"}`, `{"plan":"Starter"}`, `{"plan":""}`, `{"plan":7}`, `{"status":"closed"}`, `{"status":true}`,
		`{"payloadPolicy":"all"}`, `{"payloadPolicy":7}`)
	patch = append(patch, post(tenants+"/fixture", 400, "invalid_json", ``, `[]`)...)
	patch = append(patch, post(tenants+"/nobody", 404, "unknown_tenant", `{"name":"x"}`)...)
	for i := range patch {
		patch[i].method, patch[i].name = "PATCH", "PATCH "+patch[i].name
	}
	return slices.Concat(all, patch, planRows(), usageRows(),
		post(tenants, 400, "invalid_json", ``, `{`, `[]`, `{"slug":"a","slug":"b"}`),
		post(tenants, 400, "missing_field", `{}`, `{"name":"x"}`, `{"slug":null}`),
		post(tenants, 400, "invalid_field", `{"slug":""}`, `{"slug":"Upper"}`, `{"slug":"a b"}`, `{"slug":"a/b"}`,
			`{"slug":"ä"}`, `{"slug":7}`,
			`{"slug":"`+strings.Repeat("a", 65)+`"}`, `{"slug":"x","name":"`+strings.Repeat("n", 129)+`"}`,
			`{"slug":"x","name":"\u0001"}`,
			`{"slug":"x","monthlyClaims":-1}`, `{"slug":"x","monthlyClaims":1.5}`, `{"slug":"x","monthlyClaims":"1"}`,
			`{"slug":"x","monthlyClaims":9007199254740992}`, `{"slug":"x","plan":"nosuch"}`, `{"slug":"x","plan":[]}`,
			`{"slug":"x","status":"suspended"}`, `{"slug":"x","payloadPolicy":"metadata_only"}`),
		post(tenants, 409, "conflict", `{"slug":"fixture"}`),
		post(tenants+"/nobody/keys", 404, "unknown_tenant", ``, `{}`),
		post(tenants+"/fixture/keys", 400, "invalid_field", `{"name":7}`, `{"name":"\u0001"}`, `{"scopes":[]}`,
			`{"scopes":"records:read"}`, `{"scopes":["*"]}`, `{"scopes":[null]}`, `{"scopes":["records:read","records:read"]}`,
			`{"expiresAt":"2020-01-01T00:00:00Z"}`, `{"expiresAt":"2999-01-01"}`, `{"expiresAt":32503680000}`),
		post(tenants+"/fixture/keys", 400, "invalid_json", `{"name":`, `7`),
		[]request{
			{name: "an unknown tenant", method: "GET", target: tenants + "/nobody", key: asAdmin, status: 404,
				code: "unknown_tenant"},
			{name: "keys of an unknown tenant", method: "GET", target: tenants + "/nobody/keys", key: asAdmin, status: 404,
				code: "unknown_tenant"},
			{name: "an unknown key", method: "DELETE", target: tenants + "/fixture/keys/key_x", key: asAdmin, status: 404,
				code: "not_found"},
			{name: "a key of an unknown tenant", method: "DELETE", target: tenants + "/nobody/keys/key_x", key: asAdmin,
				status: 404, code: "unknown_tenant"},
		})
}

func planRows() []request {
	const plans = "/v1/admin/plans"
	put := func(name string, status int, code string, bodies ...string) []request {
		return rows(request{name: "plan " + name, method: "PUT", target: plans + "/" + name, key: asAdmin, status: status,
			code: code}, bodies...)
	}
	return slices.Concat(
		put("gold", 400, "invalid_json", ``, `{`, `[]`, `null`, `{"maxBodyBytes":1,"maxBodyBytes":1}`),
		put("gold", 400, "invalid_field", `{"name":"silver"}`, `{"monthlyClaims":-1}`, `{"monthlyClaims":9007199254740992}`,
			`{"requestsPerSecond":1000001}`, `{"requestsPerSecond":1.5}`, `{"maxTtlSeconds":316224001}`, `{"maxTtlSeconds":"1"}`,
			`{"maxBodyBytes":1048577}`, `{"maxBodyBytes":true}`, `{"monthlyEvents":9007199254740992}`, `{"onExceed":"drop"}`,
			`{"onExceed":true}`, `{"eventRetentionDays":3661}`, `{"payloadRetentionDays":-1}`),
		put("Gold", 400, "invalid_field", `{}`), put("a_b", 400, "invalid_field", `{}`),
		put(strings.Repeat("a", 65), 400, "invalid_field", `{}`),
		put("unlimited", 409, "conflict", `{}`),
		[]request{
			{name: "an unknown plan", method: "GET", target: plans + "/nosuch", key: asAdmin, status: 404, code: "not_found"},
			{name: "no plan to delete", method: "DELETE", target: plans + "/nosuch", key: asAdmin, status: 404,
				code: "not_found"},
			{name: "a built-in plan", method: "DELETE", target: plans + "/starter", key: asAdmin, status: 409,
				code: "conflict"},
			{name: "plans for a tenant", method: "GET", target: plans, status: 403, code: "forbidden"},
			{name: "plans for nobody", method: "GET", target: plans, key: none, status: 403, code: "invalid_api_key"},
		})
}

// usageRows ask for usage and the audit log.
func usageRows() []request {
	var all []request
	for target, key := range map[string]string{
		"/v1/usage": "", "/v1/admin/usage": asAdmin, "/v1/admin/tenants/fixture/usage": asAdmin,
	} {
		for _, query := range []string{
			"from=", "from=x", "from=2026-02-30", "from=2026-1-1", "from=1969-12-31", "from=9999-01-01", "to=",
			"from=2026-01-02&to=2026-01-01", "from=2020-01-01&to=2026-01-01", "from=2026-01-01&from=2026-01-01", "to=%zz",
		} {
			all = append(all, request{name: target + "?" + query, method: "GET", target: target + "?" + query, key: key,
				status: 400, code: "invalid_field"})
		}
	}
	for _, query := range []string{
		"after=-1", "after=x", "after=", "after=9007199254740992", "after=1&after=1", "limit=0", "limit=1001", "limit=1.0",
	} {
		target := "/v1/admin/audit?" + query
		all = append(all, request{name: target, method: "GET", target: target, key: asAdmin, status: 400,
			code: "invalid_field"})
	}
	return append(all,
		request{name: "usage of an unknown tenant", method: "GET", target: "/v1/admin/tenants/nobody/usage", key: asAdmin,
			status: 404, code: "unknown_tenant"},
		request{name: "a tenant asks for the audit log", method: "GET", target: "/v1/admin/audit", status: 403,
			code: "forbidden"},
		request{name: "a tenant asks for everybody's usage", method: "GET", target: "/v1/admin/usage", status: 403,
			code: "forbidden"},
	)
}

func pathRows() []request {
	var all []request
	for _, target := range []string{
		"/", "/v1", "/v1/", "/v1/record/", "/v1//record", "//v1/record", "/v1/./record", "/v1/x/../record", "/V1/record",
		"/v1/Record",
		"/v1/record%2F", "/v1%2Frecord", "/v1/record%00", "/v1/rec%6Frd", "/v1/record%20", "/v1/record;x=1",
		"/v1/record.json",
		"/v1/record/renew/", "/v1/record/renew/x", "/v1/records/", "/v2/record", "/v1/admin", "/v1/admin/tenants/",
		"/v1/admin/tenants//keys",
		"/.env", "/.git/config", "/wp-login.php", "/v1/record/%2e%2e/record", "/v1/record\\", "/v1/recor%C3%A4",
		"/v1/record%ff",
		"/v1/record%0d%0aX:%20y", "/debug/pprof/", "/favicon.ico",
	} {
		for _, method := range []string{"GET", "POST"} {
			all = append(all, request{
				name: method + " " + target, method: method, target: target, body: `{"scope":"s","key":"k"}`, status: 404,
				code: "not_found",
			})
		}
	}
	return all
}

func methodRows() []request {
	var all []request
	for _, call := range []string{
		"PATCH /v1/record", "HEAD /v1/record", "OPTIONS /v1/record", "TRACE /v1/record", "FOO /v1/record", "post /v1/record",
		"GET /v1/record/renew", "PUT /v1/record/release", "DELETE /v1/records", "PUT /v1/admin/tenants",
		"POST /v1/usage", "POST /v1/admin/audit", "DELETE /v1/admin/audit", "POST /v1/admin/plans", "PATCH /v1/admin/plans/x",
		"DELETE /v1/admin/tenants/fixture", "POST /v1/admin/status", "POST /livez", "DELETE /readyz", "POST /metrics",
		"PUT /healthz",
	} {
		method, target, _ := strings.Cut(call, " ")
		all = append(all, request{name: call, method: method, target: target, status: 405, code: "method_not_allowed"})
	}
	return all
}

// stateRows are well-formed, and refused because of what they find.
func stateRows() []request {
	token := strings.Repeat("a", 32)
	fixture := func(key, members string) string {
		return fmt.Sprintf(`{"scope":%q,"key":%q%s}`, fixtureScope, key, members)
	}
	lost := request{method: "PUT", status: 409, code: "lock_lost"}
	return slices.Concat(
		rows(lost, fixture("absent", `,"token":"`+token+`"`), fixture(lockedKey, `,"token":"`+token+`","body":1`)),
		rows(request{target: "/v1/record/renew", status: 409, code: "lock_lost"},
			fixture("absent", `,"token":"`+token+`"`), fixture(lockedKey, `,"token":"`+token+`"`), fixture(completedKey,
				`,"token":"`+token+`"`)),
		rows(request{target: "/v1/record/release", status: 409, code: "lock_lost"}, fixture(lockedKey,
			`,"token":"`+token+`"`)),
		rows(request{method: "PUT", status: 409, code: "already_completed"}, fixture(completedKey, `,"body":2`),
			fixture(completedKey, ``),
			fixture(completedKey, `,"body":{"n":1.0}`), fixture(completedKey, `,"status":201,"body":`+completedIs),
			fixture(completedKey, `,"token":"`+token+`","body":2`)),
		rows(request{status: 422, code: "fingerprint_mismatch"}, fixture(completedKey, `,"fingerprint":"f2"`),
			fixture(lockedKey, `,"fingerprint":"f2"`)),
		rows(request{name: "strict", header: "Prefer: handling=strict\r\n", status: 409, code: "in_progress"},
			fixture(lockedKey, ``)),
		rows(request{name: "limited", key: asLimited, status: 429, code: "usage_limit_exceeded"}, `{"scope":"s","key":"k"}`,
			`{"scope":"s","key":"k2","waitMs":100}`),
	)
}
