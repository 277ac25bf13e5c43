package api

import "github.com/syllecta/syllecta/fsm"

// renewLock answers POST /v1/record/renew.
func renewLock(x *exchange) {
	cmd, p := decodeRenew(x.body, x.headerKey)
	if p != nil {
		x.refuse(p)
		return
	}
	cmd.ID.Tenant = x.caller.tenant.ID
	x.carryOut(cmd, fsm.Renewed, "renewed", appendRenewed)
}

// releaseLock answers POST /v1/record/release.
func releaseLock(x *exchange) {
	cmd, p := decodeRelease(x.body, x.headerKey)
	if p != nil {
		x.refuse(p)
		return
	}
	cmd.ID.Tenant = x.caller.tenant.ID
	x.carryOut(cmd, fsm.OK, "released", appendReleased)
}
