package fsm

import "fmt"

// Validate reports whether a command keeps to its limits. It returns nil if and only if Decode accepts what Encode makes
// of the command; otherwise an error that wraps ErrMalformed. A command that is not valid must not reach the log: there
// it would stop every node.
func Validate(cmd Command) error {
	switch c := cmd.(type) {
	case Claim:
		return firstInvalid(c.ID,
			limit{"owner", within(int64(len(c.Owner)), 1, MaxOwnerBytes+OwnerPrefixBytes)},
			limit{"lease", validLease(c.LeaseMs)},
			limit{"ttl", within(c.TTLMs, 1, MaxTTLMs)},
			limit{"fingerprint", len(c.Fingerprint) <= MaxFingerprintBytes})
	case Complete:
		return firstInvalid(c.ID,
			limit{"status", within(int64(c.Status), MinStatus, MaxStatus)},
			limit{"headers", within(int64(len(c.Headers)), 2, MaxHeadersBytes)},
			limit{"body", within(int64(len(c.Body)), 1, MaxBodyBytes)},
			limit{"ttl", within(c.TTLMs, 1, MaxTTLMs)})
	case Renew:
		return firstInvalid(c.ID, limit{"lease", validLease(c.LeaseMs)})
	case Release:
		return firstInvalid(c.ID)
	case Delete:
		return firstInvalid(c.ID)
	case AcceptEvent:
		return firstOver(
			limit{"tenant", validTenant(c.Tenant)},
			limit{"nonce or source", c.Nonce != 0 && c.Source != 0},
			limit{"event id", within(int64(len(c.ProviderID)), 1, MaxKeyBytes)},
			limit{"raw type", len(c.RawType) <= MaxEventTypeBytes},
			limit{"type", len(c.Type) <= MaxEventTypeBytes},
			limit{"occurred", within(c.OccurredAtMs, -maxInstantMs, maxInstantMs)},
			limit{"payload", len(c.Payload) <= MaxEventPayloadBytes})
	case Audited:
		if c.Command == nil || !auditable(c.Command.commandType()) {
			return fmt.Errorf("%w: audited command of type %T", ErrMalformed, c.Command)
		}
	}
	_, err := Decode(Encode(cmd)) // of commands that are rare enough to be tried
	return err
}

// limit is what is limited and whether it was kept to.
type limit struct {
	of   string
	kept bool
}

func firstInvalid(id RecordID, limits ...limit) error {
	if err := firstOver(
		limit{"tenant", validTenant(id.Tenant)},
		limit{"scope", within(int64(len(id.Scope)), 1, MaxScopeBytes)},
		limit{"key", within(int64(len(id.Key)), 1, MaxKeyBytes)},
	); err != nil {
		return err
	}
	return firstOver(limits...)
}

func firstOver(limits ...limit) error {
	for _, l := range limits {
		if !l.kept {
			return fmt.Errorf("%w: %s", ErrMalformed, l.of)
		}
	}
	return nil
}

func validTenant(t TenantID) bool { return t >= 1 && t <= MaxTenants }

func within(v, lo, hi int64) bool { return v >= lo && v <= hi }

func validLease(ms int64) bool { return ms == NeverMs || within(ms, MinLeaseMs, MaxLeaseMs) }
