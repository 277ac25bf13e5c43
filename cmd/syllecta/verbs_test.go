package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const testToken = "0123456789abcdef-token"

// runVerb executes a command line as a process would, with that environment.
func runVerb(t *testing.T, environ map[string]string, args ...string) (out, errText string, code int) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = run(&terminal{
		in: strings.NewReader(""), out: &stdout, err: &stderr,
		env: func(name string) string { return environ[name] },
	}, args)
	return stdout.String(), stderr.String(), code
}

// adminAPI plays the admin API of a node. What it was asked is recorded as "METHOD path body".
type adminAPI struct {
	*httptest.Server
	requests []string
	tokens   []string // the Authorization header of each request
}

// newAdminAPI answers each "METHOD path" with a canned body; a body that is a problem sets the status.
func newAdminAPI(t *testing.T, answers map[string]string) *adminAPI {
	t.Helper()
	a := &adminAPI{}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		a.requests = append(a.requests, strings.TrimSpace(r.Method+" "+r.URL.RequestURI()+" "+string(body)))
		a.tokens = append(a.tokens, r.Header.Get("Authorization"))
		answer, ok := answers[r.Method+" "+r.URL.RequestURI()]
		if !ok {
			answer = `{"title":"Not found","status":404,"detail":"no such thing","code":"not_found"}`
		}
		var p struct {
			Status any // a number in a problem, and a word in a tenant
		}
		if err := json.Unmarshal([]byte(answer), &p); err != nil {
			t.Errorf("the test's answer: %v", err)
		}
		if status, ok := p.Status.(float64); ok {
			w.WriteHeader(int(status))
		}
		io.WriteString(w, answer)
	}))
	t.Cleanup(a.Close)
	return a
}

// env is an environment in which the verbs talk to a.
func (a *adminAPI) env() map[string]string {
	return map[string]string{"SYLLECTA_SERVER": a.URL, "SYLLECTA_ADMIN_TOKEN": testToken}
}

const (
	shop = `{"id":"ten_1","slug":"shop","name":"The Shop","plan":"starter","status":"active","monthlyClaims":1000,` +
		`"payloadPolicy":"metadata_only","createdAt":"2026-11-23T10:00:00.000Z"}`
	demo = `{"id":"ten_2","slug":"demo","name":"","plan":"unlimited","status":"suspended","monthlyClaims":0,` +
		`"payloadPolicy":"redacted_payload","createdAt":"2026-11-23T11:00:00.000Z"}`
	oldTenant = `{"id":"ten_3","slug":"old","name":"","monthlyClaims":0,"createdAt":"2026-11-23T11:00:00.000Z"}`

	keyOneMembers = `{"id":"key_1","name":"checkout","hint":"x7Qz","scopes":["records:read","records:write"],` +
		`"createdAt":"2026-11-23T10:00:00.000Z","expiresAt":"2027-01-01T00:00:00.000Z"`
	keyOne     = keyOneMembers + `,"lastUsedAt":"2026-11-24T10:00:00.000Z"}`
	keyOneMade = keyOneMembers + `,"secret":"ck_secret"}` // the answer to making keyOne

	keyTwo = `{"id":"key_2","name":"","hint":"9aBc","scopes":["*"],"createdAt":"2026-11-23T10:05:00.000Z",` +
		`"revokedAt":"2026-11-23T11:00:00.000Z"}`
)

var cannedAnswers = map[string]string{
	"POST /v1/admin/tenants":                     shop,
	"GET /v1/admin/tenants":                      `{"tenants":[` + shop + `,` + demo + `,` + oldTenant + `]}`,
	"POST /v1/admin/tenants/shop/keys":           keyOneMade,
	"GET /v1/admin/tenants/shop/keys":            `{"keys":[` + keyOne + `,` + keyTwo + `]}`,
	"GET /v1/admin/tenants/empty/keys":           `{"keys":null}`,
	"DELETE /v1/admin/tenants/shop/keys/key_2":   keyTwo,
	"DELETE /v1/admin/tenants/a%2Fb/keys/k%3Fx":  keyTwo,
	"GET /v1/admin/tenants/full/keys":            `{"title":"Limit","status":429,"detail":"full","code":"limit_reached"}`,
	"GET /v1/admin/tenants/forbidden/keys":       `{"title":"Forbidden","status":403,"detail":"no","code":"forbidden"}`,
	"GET /v1/admin/tenants/taken/keys":           `{"title":"Conflict","status":409,"code":"conflict"}`,
	"GET /v1/admin/tenants/bad/keys":             `{"title":"Bad","status":400,"code":"invalid_field"}`,
	"GET /v1/admin/tenants/broken/keys":          `{"title":"Broken","status":500,"code":"internal"}`,
	"GET /v1/admin/tenants/%1B%5B31mred%1B/keys": `{"keys":[{"id":"\u001b[31mred","name":"a\nb"}]}`,
}

func TestVerbs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args    []string
		request string
		want    string
	}{
		{[]string{"tenant", "create", "shop", "--name", "The Shop", "--monthly-claims", "1000"},
			`POST /v1/admin/tenants {"slug":"shop","name":"The Shop","monthlyClaims":1000}`, `
ID     SLUG  NAME      PLAN     STATUS  CLAIMS PER MONTH  PAYLOADS       CREATED
ten_1  shop  The Shop  starter  active  1000              metadata_only  2026-11-23T10:00:00.000Z
`},
		{[]string{"tenant", "create", "shop", "--json"}, `POST /v1/admin/tenants {"slug":"shop"}`, `
` + shop + `
`},
		{[]string{"tenant", "list"}, `GET /v1/admin/tenants`, `
ID     SLUG  NAME      PLAN       STATUS     CLAIMS PER MONTH  PAYLOADS          CREATED
ten_1  shop  The Shop  starter    active     1000              metadata_only     2026-11-23T10:00:00.000Z
ten_2  demo            unlimited  suspended  no limit          redacted_payload  2026-11-23T11:00:00.000Z
ten_3  old                                   no limit                            2026-11-23T11:00:00.000Z
`},
		{[]string{"tenant", "list", "--json"}, `GET /v1/admin/tenants`, `
{"tenants":[` + shop + `,` + demo + `,` + oldTenant + `]}
`},
		{[]string{"key", "create", "--tenant", "shop", "--name", "checkout"},
			`POST /v1/admin/tenants/shop/keys {"name":"checkout"}`, `
ID     NAME      ENDS IN  SCOPES                      CREATED                   EXPIRES                   LAST USED  REVOKED
key_1  checkout  x7Qz     records:read records:write  2026-11-23T10:00:00.000Z  2027-01-01T00:00:00.000Z

API key, shown only now: ck_secret
`},
		{[]string{"key", "create", "--tenant", "shop", "--json"}, `POST /v1/admin/tenants/shop/keys {}`, `
` + keyOneMade + `
`},
		{[]string{"key", "list", "--tenant", "shop"}, `GET /v1/admin/tenants/shop/keys`, `
ID     NAME      ENDS IN  SCOPES                      CREATED                   EXPIRES                   LAST USED                 REVOKED
key_1  checkout  x7Qz     records:read records:write  2026-11-23T10:00:00.000Z  2027-01-01T00:00:00.000Z  2026-11-24T10:00:00.000Z
key_2            9aBc     all                         2026-11-23T10:05:00.000Z                                                      2026-11-23T11:00:00.000Z
`},
		{[]string{"key", "list", "--tenant", "empty", "--json"}, `GET /v1/admin/tenants/empty/keys`, `
{"keys":[]}
`},
		{[]string{"key", "revoke", "--tenant", "shop", "key_2"}, `DELETE /v1/admin/tenants/shop/keys/key_2`, `
ID     NAME  ENDS IN  SCOPES  CREATED                   EXPIRES  LAST USED  REVOKED
key_2        9aBc     all     2026-11-23T10:05:00.000Z                      2026-11-23T11:00:00.000Z
`},
		{[]string{"key", "revoke", "--tenant", "a/b", "k?x", "--json"}, `DELETE /v1/admin/tenants/a%2Fb/keys/k%3Fx`, `
` + keyTwo + `
`},
		{[]string{"key", "list", "--tenant", "\x1b[31mred\x1b"}, `GET /v1/admin/tenants/%1B%5B31mred%1B/keys`, `
ID        NAME  ENDS IN  SCOPES  CREATED  EXPIRES  LAST USED  REVOKED
` + "\uFFFD[31mred  a\uFFFDb" + `
`},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			t.Parallel()
			api := newAdminAPI(t, cannedAnswers)
			out, errText, code := runVerb(t, api.env(), c.args...)
			if want := strings.TrimPrefix(c.want, "\n"); out != want || errText != "" || code != exitOK {
				t.Errorf("exit code %d, stderr %q, stdout\n%s\nwant\n%s", code, errText, out, want)
			}
			if len(api.requests) != 1 || api.requests[0] != c.request {
				t.Errorf("got requests %q, want %q", api.requests, c.request)
			}
			if len(api.tokens) != 1 || api.tokens[0] != "Bearer "+testToken {
				t.Errorf("got tokens %q", api.tokens)
			}
		})
	}
}

func TestVerbFailures(t *testing.T) {
	t.Parallel()
	api := newAdminAPI(t, cannedAnswers)
	for slug, want := range map[string]struct {
		code    int
		message string
	}{
		"absent":    {exitNotFound, "syllecta: no such thing (not_found)\n"},
		"full":      {exitQuota, "syllecta: full (limit_reached)\n"},
		"forbidden": {exitNotAuthorised, "syllecta: no (forbidden)\n"},
		"taken":     {exitConflict, "syllecta: Conflict (conflict)\n"},
		"bad":       {exitUsage, "syllecta: Bad (invalid_field)\n"},
		"broken":    {exitFailure, "syllecta: Broken (internal)\n"},
	} {
		out, errText, code := runVerb(t, api.env(), "key", "list", "--tenant", slug)
		if code != want.code || errText != want.message || out != "" {
			t.Errorf("%s: got exit code %d, stderr %q, stdout %q; want %d and %q",
				slug, code, errText, out, want.code, want.message)
		}
	}
}

func TestUnreachableServer(t *testing.T) {
	t.Parallel()
	api := newAdminAPI(t, nil)
	api.Close()
	_, errText, code := runVerb(t, api.env(), "tenant", "list")
	if code != exitUnreachable || !strings.HasPrefix(errText, "syllecta: cannot reach 127.0.0.1:") {
		t.Errorf("got exit code %d, %q", code, errText)
	}
}

func TestServerFlag(t *testing.T) {
	t.Parallel()
	api := newAdminAPI(t, cannedAnswers)
	environ := map[string]string{"SYLLECTA_SERVER": "http://127.0.0.1:1", "SYLLECTA_ADMIN_TOKEN": testToken}
	if _, errText, code := runVerb(t, environ, "tenant", "list", "--server", api.URL); code != exitOK {
		t.Errorf("the flag does not win over the environment: %s", errText)
	}
	for _, bad := range []string{"localhost:4000", "ftp://h", "http://", "::"} {
		if _, _, code := runVerb(t, environ, "tenant", "list", "--server", bad); code != exitUsage {
			t.Errorf("%q: got exit code %d, want %d", bad, code, exitUsage)
		}
	}
}

func TestTokenSources(t *testing.T) {
	t.Parallel()
	file := writeToken(t, "token-of-the-flag-file\n", 0o600)
	other := writeToken(t, "token-of-the-env-file", 0o600)
	both := map[string]string{"SYLLECTA_ADMIN_TOKEN": testToken, "SYLLECTA_ADMIN_TOKEN_FILE": other}
	named := map[string]string{"SYLLECTA_ADMIN_TOKEN_FILE": other}
	for name, c := range map[string]struct {
		env  map[string]string
		args []string
		want string
	}{
		"flag":                          {both, []string{"--admin-token-file", file}, "token-of-the-flag-file"},
		"environment":                   {both, nil, testToken},
		"file named by the environment": {named, nil, "token-of-the-env-file"},
	} {
		api := newAdminAPI(t, cannedAnswers)
		args := append([]string{"tenant", "list", "--server", api.URL}, c.args...)
		_, errText, code := runVerb(t, c.env, args...)
		if code != exitOK || len(api.tokens) != 1 || api.tokens[0] != "Bearer "+c.want {
			t.Errorf("%s: got %q (exit code %d, %s), want %q", name, api.tokens, code, errText, c.want)
		}
	}
	if _, _, code := runVerb(t, nil, "tenant", "list"); code != exitNotAuthorised {
		t.Errorf("no token: got exit code %d, want %d", code, exitNotAuthorised)
	}
}

func writeToken(t *testing.T, content string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestReadAdminToken(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		content string
		mode    os.FileMode
		want    string // in the error; "" for none
	}{
		"good":            {"  0123456789abcdef\n", 0o600, ""},
		"read only":       {"0123456789abcdef", 0o400, ""},
		"group can read":  {"0123456789abcdef", 0o640, "can be read by others (mode 0640); run: chmod 600 "},
		"others can read": {"0123456789abcdef", 0o604, "run: chmod 600 "},
		"short":           {"0123456789abcde\n", 0o600, "has 15 bytes; it must have 16 to 4096"},
		"empty":           {"", 0o600, "has 0 bytes"},
		"long":            {strings.Repeat("x", maxAdminTokenBytes+1), 0o600, "it must have 16 to 4096"},
		"two lines":       {"0123456789abcdef\n0123456789abcdef", 0o600, "visible ASCII"},
	} {
		token, err := readAdminToken(writeToken(t, c.content, c.mode))
		switch {
		case c.want == "" && (err != nil || token != "0123456789abcdef"):
			t.Errorf("%s: got %q, %v", name, token, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || token != ""):
			t.Errorf("%s: got %q, %v; want an error with %q", name, token, err, c.want)
		case err != nil && strings.Contains(err.Error(), "abcde"):
			t.Errorf("%s: the error shows the token: %v", name, err)
		}
	}
	if _, err := readAdminToken(t.TempDir()); err == nil {
		t.Error("a directory was taken for a token file")
	}
	if _, err := readAdminToken(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a missing file was taken for a token file")
	}
}

func TestVersionVerb(t *testing.T) {
	t.Parallel()
	out, _, code := runVerb(t, nil, "version")
	if code != exitOK || !strings.HasPrefix(out, "syllecta "+version+" ") || strings.Count(out, "\n") != 1 {
		t.Errorf("got exit code %d, %q", code, out)
	}
	out, _, code = runVerb(t, nil, "version", "--json")
	var b build
	if err := json.Unmarshal([]byte(out), &b); err != nil || code != exitOK || b != thisBuild() {
		t.Errorf("got exit code %d, %q (%v)", code, out, err)
	}
	b = build{Version: "1.0.0", Commit: "0123456789abcdef", Modified: true, Go: "go1.26", Platform: "linux/amd64"}
	if want := "syllecta 1.0.0 commit 0123456789ab (modified) go1.26 linux/amd64"; b.String() != want {
		t.Errorf("got %q, want %q", b, want)
	}
}

func TestCompletion(t *testing.T) {
	t.Parallel()
	out, _, code := runVerb(t, nil, "__complete", "server", "--followers", "")
	if code != exitOK || !strings.HasPrefix(out, "redirect\nforward\n") {
		t.Errorf("got exit code %d, %q", code, out)
	}
}
