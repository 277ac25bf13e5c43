package main

import (
	"net"
	"strings"
	"testing"
)

// complete asks for completions as a shell does, and returns the offers and the directive's line.
func complete(t *testing.T, environ map[string]string, args ...string) (offers []string, directive string) {
	t.Helper()
	out, _, code := runVerb(t, environ, append([]string{"__complete"}, args...)...)
	if code != exitOK {
		t.Fatalf("%q: exit code %d", args, code)
	}
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	return lines[:len(lines)-1], lines[len(lines)-1]
}

// noFiles is the directive that keeps a shell from offering files.
const noFiles = ":4"

func TestNamesComplete(t *testing.T) {
	t.Parallel()
	answers := map[string]string{
		"GET /v1/admin/status": `{"nodes":[{"id":"node1","raftAddr":"10.0.0.1:4100"},{"id":"node2"},` +
			`{"id":"n\u001b[31m","raftAddr":"a\nb"}]}`,
		"GET /v1/admin/tenants":              cannedAnswers["GET /v1/admin/tenants"],
		"GET /v1/admin/tenants/shop/keys":    cannedAnswers["GET /v1/admin/tenants/shop/keys"],
		"GET /v1/admin/plans":                planAnswers["GET /v1/admin/plans"],
		"GET /v1/admin/tenants/shop/sources": sourceAnswers["GET /v1/admin/tenants/shop/sources"],
	}
	for line, want := range map[string]string{
		"key list --tenant ":                         "shop\tThe Shop|demo|old",
		"key create --tenant ":                       "shop\tThe Shop|demo|old",
		"key revoke --tenant shop ":                  "key_1\tcheckout", // key_2 is revoked
		"key revoke ":                                "",
		"key revoke --tenant shop key_1 ":            "",
		"tenant create ":                             "",
		"tenant show ":                               "shop\tThe Shop|demo|old",
		"tenant update ":                             "shop\tThe Shop|demo|old",
		"tenant suspend ":                            "shop\tThe Shop|demo|old",
		"tenant resume shop ":                        "",
		"tenant create --plan ":                      "unlimited\tno limit|gold\t1000 claims per month",
		"tenant update shop --plan ":                 "unlimited\tno limit|gold\t1000 claims per month",
		"plan show ":                                 "unlimited\tno limit|gold\t1000 claims per month",
		"plan set ":                                  "gold\t1000 claims per month",
		"plan delete ":                               "gold\t1000 claims per month",
		"plan delete gold ":                          "",
		"key create --scope ":                        "records:read|records:write|usage:read|events:read|webhooks:write|admin:tenant",
		"key create --expires-at ":                   "",
		"plan set gold --on-exceed ":                 "reject|hold",
		"tenant update --payload-policy ":            "metadata_only|redacted_payload|raw_debug_window",
		"source list --tenant ":                      "shop\tThe Shop|demo|old",
		"source show --tenant shop ":                 "stripe\thttps://shop.example/hooks|github/ci",
		"source show ":                               "",
		"source delete --tenant shop x ":             "",
		"source secret add --tenant shop ":           "stripe\thttps://shop.example/hooks|github/ci",
		"source secret remove --tenant shop ":        "stripe\thttps://shop.example/hooks|github/ci",
		"source secret remove --tenant shop stripe ": "sec_1\tends in 6789|sec_2\tshort",
		"source secret remove --tenant shop a b ":    "",
		"source create --name ":                      "",
		"usage --tenant ":                            "shop\tThe Shop|demo|old",
		"usage --from ":                              "",
		"cluster remove ":                            "node1\t10.0.0.1:4100|node2|n\uFFFD[31m\ta\uFFFDb",
		"cluster transfer ":                          "node1\t10.0.0.1:4100|node2|n\uFFFD[31m\ta\uFFFDb",
		"cluster promote node1 ":                     "",
	} {
		api := newAdminAPI(t, answers)
		offers, directive := complete(t, api.env(), strings.Split(line, " ")...)
		if got := strings.Join(offers, "|"); got != want || directive != noFiles {
			t.Errorf("%q: got %q and directive %s, want %q and %s", line, got, directive, want, noFiles)
		}
	}
}

func TestCompletionUsesTheFlags(t *testing.T) {
	t.Parallel()
	api := newAdminAPI(t, cannedAnswers)
	token := writeToken(t, testToken, 0o600)
	offers, _ := complete(t, nil, "key", "list", "--server", api.URL, "--admin-token-file", token, "--tenant", "")
	if len(offers) != 3 || len(api.tokens) != 1 || api.tokens[0] != "Bearer "+testToken {
		t.Errorf("got %q with tokens %q", offers, api.tokens)
	}
}

// TestCompletionIsSilentOnErrors presses Tab where nothing can be found: there is no room for an error there.
func TestCompletionIsSilentOnErrors(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections, and never says a word
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	refusing := newAdminAPI(t, map[string]string{"GET /v1/admin/tenants": `{"title":"No","status":403,"code":"forbidden"}`})
	starting := newAdminAPI(t, map[string]string{"GET /v1/admin/tenants": `{"title":"No","status":503,"code":"no_leader"}`})
	for name, environ := range map[string]map[string]string{
		"no token":    {"SYLLECTA_SERVER": refusing.URL},
		"refused":     refusing.env(),
		"no leader":   starting.env(),
		"unreachable": {"SYLLECTA_SERVER": "http://127.0.0.1:1", "SYLLECTA_ADMIN_TOKEN": testToken},
		"no answer":   {"SYLLECTA_SERVER": "http://" + silent.Addr().String(), "SYLLECTA_ADMIN_TOKEN": testToken},
		"no server":   {"SYLLECTA_SERVER": "::", "SYLLECTA_ADMIN_TOKEN": testToken},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			offers, directive := complete(t, environ, "key", "list", "--tenant", "")
			if len(offers) != 0 || directive != noFiles {
				t.Errorf("got %q and directive %s", offers, directive)
			}
		})
	}
}

func TestCompletionScripts(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		out, errText, code := runVerb(t, nil, "completion", shell)
		if code != exitOK || errText != "" || !strings.Contains(out, "syllecta") {
			t.Errorf("%s: exit code %d, %q, %d bytes", shell, code, errText, len(out))
		}
	}
}
