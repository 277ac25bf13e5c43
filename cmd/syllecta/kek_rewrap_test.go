package main

import (
	"strings"
	"testing"
)

func TestKEKRewrap(t *testing.T) {
	t.Parallel()
	const request = "POST /v1/admin/kek/rewrap"
	for name, c := range map[string]struct {
		answer   string
		args     []string
		out, err string
		code     int
	}{
		"one": {`{"kek":"kek_1","rewrapped":1,"remaining":0,"unreadable":[]}`, nil,
			"1 data key encrypted anew, under kek_1\n", "", exitOK},
		"as JSON": {`{"kek":"kek_1","rewrapped":2,"remaining":0}`, []string{"--json"},
			`{"kek":"kek_1","rewrapped":2,"remaining":0,"unreadable":[]}` + "\n", "", exitOK},
		"unreadable": {`{"kek":"kek_1","rewrapped":0,"remaining":0,"unreadable":[{"tenant":"shop","detail":"lacks kek_0"}],"moreUnreadable":4}`, nil,
			"0 data keys encrypted anew, under kek_1\nTENANT  CANNOT BE DECRYPTED\nshop    lacks kek_0\n",
			"5 data keys cannot be decrypted", exitFailure},
		"no progress": {`{"kek":"kek_1","rewrapped":0,"remaining":3,"unreadable":[]}`, nil,
			"", "3 data keys remain", exitUnreachable},
		"no key": {`{"title":"No key","status":503,"detail":"no key","code":"no_kek"}`, nil, "", "no key (no_kek)", exitUnreachable},
	} {
		api := newAdminAPI(t, map[string]string{request: c.answer})
		out, errText, code := runVerb(t, api.env(), append([]string{"kek", "rewrap"}, c.args...)...)
		if code != c.code || out != c.out || !strings.Contains(errText, c.err) {
			t.Errorf("%s: exit code %d, %q, %q; want %d, %q, %q", name, code, out, errText, c.code, c.out, c.err)
		}
		if len(api.requests) == 0 || api.requests[0] != request {
			t.Errorf("%s: got requests %q", name, api.requests)
		}
	}
}
