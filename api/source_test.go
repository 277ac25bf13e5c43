package api

import "testing"

func TestSource(t *testing.T) {
	t.Parallel()
	for remote, want := range map[string]string{
		"192.0.2.1:1234":                     "192.0.2.1",
		"[::ffff:192.0.2.1]:1234":            "192.0.2.1",
		"[2001:db8:1:2:3:4:5:6]:1":           "2001:db8:1:2::",
		"[2001:db8:1:2::]:65535":             "2001:db8:1:2::",
		"[2001:db8:1:3:3:4:5:6]:1":           "2001:db8:1:3::",
		"[fe80::1%eth0]:1":                   "fe80::",
		"[::1]:1":                            "::",
		"":                                   "invalid IP",
		"@":                                  "invalid IP",
		"192.0.2.1":                          "invalid IP",
		"192.0.2.1:":                         "invalid IP",
		"192.0.2.1:65536":                    "invalid IP",
		"192.0.2.256:1":                      "invalid IP",
		"::1:1":                              "invalid IP",
		"localhost:1":                        "invalid IP",
		"[2001:db8::1]:1, 192.0.2.1:1234":    "invalid IP",
		"/run/syllecta.sock":                 "invalid IP",
		"[::ffff:192.0.2.1%eth0]:1234":       "192.0.2.1",
		"[2001:db8:1:2:3:4:5:6%25eth0]:1234": "2001:db8:1:2::",
	} {
		if got := sourceOf(remote).String(); got != want {
			t.Errorf("%q: got %s, want %s", remote, got, want)
		}
	}
}
