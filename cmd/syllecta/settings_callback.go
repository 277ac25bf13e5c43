package main

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/syllecta/syllecta/api/webhook/delivery"
)

// setCallbackAllowCIDR takes ranges of addresses. One with bits behind its length is a mistake: it may be meant smaller.
func setCallbackAllowCIDR(s *settings, value string) bool {
	s.CallbackAllowCIDR = nil
	for part := range strings.SplitSeq(value, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		prefix, err := netip.ParsePrefix(part)
		if err != nil || prefix != prefix.Masked() || prefix.Addr().Is4In6() {
			return false
		}
		s.CallbackAllowCIDR = append(s.CallbackAllowCIDR, prefix)
	}
	return len(s.CallbackAllowCIDR) <= delivery.MaxAllowedPrefixes
}

// setCallbackPorts takes ports, one at least.
func setCallbackPorts(s *settings, value string) bool {
	s.CallbackPorts = nil
	for part := range strings.SplitSeq(value, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		port, err := strconv.ParseUint(part, 10, 16)
		if err != nil || port == 0 {
			return false
		}
		s.CallbackPorts = append(s.CallbackPorts, uint16(port))
	}
	return len(s.CallbackPorts) > 0 && len(s.CallbackPorts) <= delivery.MaxPorts
}
