package api

import (
	"net/http"
	"time"

	"github.com/syllecta/syllecta/cluster"
)

// retryClass says what a caller may do with a request that was refused.
type retryClass uint8

const (
	// retryNever: the same request will be refused again.
	retryNever retryClass = iota + 1
	// retrySafe: nothing was changed; the same request may succeed later.
	retrySafe
	// retryUnknown: it may have been done; repeating it is safe for a claim that names its owner.
	retryUnknown
	// retryElsewhere: nothing was changed; another address answers.
	retryElsewhere
)

// errorKind is one line of the table of errors. Codes are part of the API: they are added to, never changed.
type errorKind struct {
	code       string
	status     int
	title      string
	retry      retryClass
	retryAfter time.Duration // the pause to ask for; 0 sends no Retry-After
}

// The table of errors, by status.
var (
	notLeader = &errorKind{"not_leader", http.StatusTemporaryRedirect, "This node does not lead", retryElsewhere, 0}

	invalidJSON  = &errorKind{"invalid_json", http.StatusBadRequest, "The body is not valid JSON", retryNever, 0}
	missingField = &errorKind{"missing_field", http.StatusBadRequest, "A required field is missing", retryNever, 0}
	invalidField = &errorKind{"invalid_field", http.StatusBadRequest, "A field is not valid", retryNever, 0}

	invalidSignature = &errorKind{"invalid_signature", http.StatusBadRequest,
		"The signature is not the provider's", retryNever, 0}
	unreadableWebhook = &errorKind{"unreadable_webhook", http.StatusBadRequest,
		"The body is not what the provider documents", retryNever, 0}
	missingEventID = &errorKind{"missing_event_id", http.StatusBadRequest,
		"The event has no id that a repetition could be recognised by", retryNever, 0}

	invalidAPIKey = &errorKind{"invalid_api_key", http.StatusForbidden, "The API key is missing or not valid",
		retryNever, 0}
	forbidden       = &errorKind{"forbidden", http.StatusForbidden, "The caller may not do this", retryNever, 0}
	tenantSuspended = &errorKind{"tenant_suspended", http.StatusForbidden, "The tenant is suspended", retryNever, 0}

	notFound      = &errorKind{"not_found", http.StatusNotFound, "There is nothing here", retryNever, 0}
	unknownTenant = &errorKind{"unknown_tenant", http.StatusNotFound, "The tenant does not exist", retryNever, 0}

	methodNotAllowed = &errorKind{"method_not_allowed", http.StatusMethodNotAllowed, "The method is not allowed here",
		retryNever, 0}

	lockLost         = &errorKind{"lock_lost", http.StatusConflict, "The lock is no longer held", retryNever, 0}
	alreadyCompleted = &errorKind{"already_completed", http.StatusConflict, "The record holds another result",
		retryNever, 0}
	inProgress = &errorKind{"in_progress", http.StatusConflict, "Another request holds the lock",
		retrySafe, time.Second}
	conflict     = &errorKind{"conflict", http.StatusConflict, "What is there does not allow it", retryNever, 0}
	limitReached = &errorKind{"limit_reached", http.StatusConflict, "No more of these can be created", retryNever, 0}
	// upgradePending has no pause: the upgrade ends when an operator ends it.
	upgradePending = &errorKind{"upgrade_pending", http.StatusConflict, "Not all nodes run this release yet",
		retrySafe, 0}

	bodyTooLarge = &errorKind{"body_too_large", http.StatusRequestEntityTooLarge, "The body is too large",
		retryNever, 0}
	unsupportedMediaType = &errorKind{"unsupported_media_type", http.StatusUnsupportedMediaType,
		"The body's media type or coding is not supported", retryNever, 0}
	fingerprintMismatch = &errorKind{"fingerprint_mismatch", http.StatusUnprocessableEntity,
		"The key was used for another request", retryNever, 0}

	headersTooLarge = &errorKind{"headers_too_large", http.StatusRequestHeaderFieldsTooLarge,
		"The request line and headers are too large", retryNever, 0}

	usageLimitExceeded = &errorKind{"usage_limit_exceeded", http.StatusTooManyRequests,
		"The usage limit is exceeded", retrySafe, time.Second}
	rateLimited = &errorKind{"rate_limited", http.StatusTooManyRequests, "Too many requests came in a short time",
		retrySafe, time.Second}

	internalError = &errorKind{"internal", http.StatusInternalServerError, "Something went wrong here",
		retryUnknown, 0}
	noLeader = &errorKind{"no_leader", http.StatusServiceUnavailable, "No leader can be reached",
		retrySafe, time.Second}
	busy = &errorKind{"busy", http.StatusServiceUnavailable, "The cluster is busy", retrySafe, time.Second}
	// noKEK ends when an operator gives the node its keys.
	noKEK = &errorKind{"no_kek", http.StatusServiceUnavailable, "This node lacks the key that secrets are encrypted under",
		retrySafe, time.Minute}
	sourceNotReady = &errorKind{"source_not_ready", http.StatusServiceUnavailable,
		"The source cannot verify signatures yet", retrySafe, time.Minute}
	verifierUnavailable = &errorKind{"verifier_unavailable", http.StatusServiceUnavailable,
		"The signature cannot be verified now", retrySafe, 10 * time.Second}
	outcomeUnknown = &errorKind{"outcome_unknown", http.StatusServiceUnavailable,
		"The request may or may not have been done", retryUnknown, time.Second}
	storageFull = &errorKind{"storage_full", http.StatusInsufficientStorage,
		"Free disk space is below the floor", retrySafe, 10 * time.Second}
	eventsFull = &errorKind{"events_full", http.StatusInsufficientStorage,
		"Too many events wait", retrySafe, time.Minute}
)

// errorKinds lists the table for those who walk it.
var errorKinds = []*errorKind{
	notLeader, invalidJSON, missingField, invalidField, invalidSignature, unreadableWebhook, missingEventID, invalidAPIKey, forbidden, tenantSuspended, notFound, unknownTenant,
	methodNotAllowed, lockLost, alreadyCompleted, inProgress, conflict, limitReached, upgradePending, bodyTooLarge,
	unsupportedMediaType, fingerprintMismatch, headersTooLarge, usageLimitExceeded, rateLimited, internalError, noLeader,
	busy, noKEK, sourceNotReady, verifierUnavailable, outcomeUnknown, storageFull, eventsFull,
	refusalKinds[cluster.ReasonUnknownNode], refusalKinds[cluster.ReasonRetiredNode],
	refusalKinds[cluster.ReasonDifferentDisk], refusalKinds[cluster.ReasonOtherCluster],
	refusalKinds[cluster.ReasonUnreachable], refusalKinds[cluster.ReasonNotCaughtUp],
	refusalKinds[cluster.ReasonNoVote], refusalKinds[cluster.ReasonQuorumAtRisk],
	refusalKinds[cluster.ReasonChangePending], refusalKinds[cluster.ReasonBadSnapshot],
	refusalKinds[cluster.ReasonNewerSnapshot], refusalKinds[cluster.ReasonTooManyMembers],
	refusalKinds[cluster.ReasonOldRelease],
}
