package main

import (
	"net/netip"
	"slices"
	"testing"
)

func TestCallbackLists(t *testing.T) {
	t.Parallel()
	ranges := []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("::1/128")}
	ports := []uint16{443, 8443}
	for name, c := range map[string]struct {
		args, env []string
		file      string
	}{
		"repeated flags": {args: []string{
			"--callback-allow-cidr=10.1.0.0/16", "--callback-allow-cidr=::1/128", "--callback-ports=443", "--callback-ports=8443",
		}},
		"environment": {env: []string{"SYLLECTA_CALLBACK_ALLOW_CIDR=10.1.0.0/16, ::1/128", "SYLLECTA_CALLBACK_PORTS=443,8443"}},
		"file":        {file: `callback_allow_cidr = ["10.1.0.0/16", "::1/128"]` + "\ncallback_ports = [443, 8443]\n"},
	} {
		got, err := load(t, c.args, c.env, c.file)
		if err != nil || !slices.Equal(got.CallbackAllowCIDR, ranges) || !slices.Equal(got.CallbackPorts, ports) {
			t.Errorf("%s: got %v and %v, %v", name, got.CallbackAllowCIDR, got.CallbackPorts, err)
		}
	}
}
