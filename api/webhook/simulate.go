package webhook

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Bounds of a Dispute.
const (
	MaxDisputeAmount      = 99_999_999_999
	MaxTransactionIDBytes = 128
)

// Dispute is a chargeback that never happened, to be reported as a provider would report it.
type Dispute struct {
	// Seed is letters and digits that no other simulation has; every id is made from it.
	Seed string
	// Amount is in the currency's smallest unit, 1…MaxDisputeAmount.
	Amount int64
	// Currency is a code of three letters (ISO 4217), in any case.
	Currency string
	// TransactionID is the payment that is disputed, 0…MaxTransactionIDBytes; "" makes one up.
	TransactionID string
	// Lifecycle reports that it was opened, is under review, and was closed. Otherwise it is reported once.
	Lifecycle bool
	// Final is how it ends; with "" a lifecycle is lost, and what is reported once is that it was opened.
	Final DisputeEnd
	// At is when the last of it happens. Events before it are a second apart.
	At time.Time
}

// DisputeEnd is how a dispute ends, for the merchant.
type DisputeEnd string

// The ends of a dispute.
const (
	DisputeWon  DisputeEnd = "won"
	DisputeLost DisputeEnd = "lost"
)

// ErrNotSimulated means that there is no simulation for a provider.
var ErrNotSimulated = errors.New("webhook: disputes are simulated for stripe, braintree and adyen")

// disputeStage is one report of a dispute.
type disputeStage uint8

const (
	stageOpened disputeStage = iota
	stageReview
	stageWon
	stageLost
)

// disputeReport is a stage, with what all providers tell of it.
type disputeReport struct {
	*Dispute
	stage       disputeStage
	at          time.Time
	transaction string
}

// simulation makes the request that reports a stage, signed with a secret.
type simulation func(r disputeReport, secret string) (Request, error)

var simulations = map[string]simulation{
	"stripe": simulateStripe, "braintree": simulateBraintree, "adyen": simulateAdyen,
}

// Simulates reports whether there is a simulation for a provider.
func Simulates(provider string) bool { return simulations[provider] != nil }

// Simulate returns the requests that report a dispute, in order, as the provider would send them to a source with that
// secret. The error wraps ErrNotSimulated, or says that the secret cannot sign.
func Simulate(provider, secret string, d Dispute) ([]Request, error) {
	simulate := simulations[provider]
	if simulate == nil {
		return nil, ErrNotSimulated
	}
	stages := d.stages()
	requests := make([]Request, len(stages))
	for i, stage := range stages {
		report := disputeReport{Dispute: &d, stage: stage, transaction: d.TransactionID}
		report.at = d.At.UTC().Truncate(time.Second).Add(time.Duration(i-len(stages)+1) * time.Second)
		r, err := simulate(report, secret)
		if err != nil {
			return nil, fmt.Errorf("signing a simulated webhook of %s: %w", provider, err)
		}
		requests[i] = r
	}
	return requests, nil
}

func (d *Dispute) stages() []disputeStage {
	end := stageLost
	if d.Final == DisputeWon {
		end = stageWon
	}
	switch {
	case d.Lifecycle:
		return []disputeStage{stageOpened, stageReview, end}
	case d.Final != "":
		return []disputeStage{end}
	default:
		return []disputeStage{stageOpened}
	}
}

// id is one that the provider would have given, with its prefix.
func (r *disputeReport) id(prefix string) string { return prefix + r.Seed }

// eventID differs between the stages.
func (r *disputeReport) eventID(prefix string) string {
	return r.id(prefix) + "_" + strconv.Itoa(int(r.stage))
}

// transactionID is the caller's, or one that the provider would have given.
func (r *disputeReport) transactionID(prefix string) string {
	if r.transaction != "" {
		return r.transaction
	}
	return r.id(prefix)
}

// exponents are the currencies whose smallest unit is not a hundredth.
var exponents = map[string]int{
	"BIF": 0, "CLP": 0, "DJF": 0, "GNF": 0, "JPY": 0, "KMF": 0, "KRW": 0, "PYG": 0, "RWF": 0, "UGX": 0, "VND": 0, "VUV": 0,
	"XAF": 0, "XOF": 0, "XPF": 0, "BHD": 3, "IQD": 3, "JOD": 3, "KWD": 3, "LYD": 3, "OMR": 3, "TND": 3,
}

// decimalAmount writes the amount in the currency's main unit.
func (d *Dispute) decimalAmount() string {
	exponent, known := exponents[strings.ToUpper(d.Currency)]
	if !known {
		exponent = 2
	}
	digits := fmt.Sprintf("%0*d", exponent+1, d.Amount)
	if exponent == 0 {
		return digits
	}
	point := len(digits) - exponent
	return digits[:point] + "." + digits[point:]
}

// simulatedPost is a request with a body of that media type.
func simulatedPost(contentType string, body []byte, at time.Time) Request {
	return Request{
		Method: http.MethodPost, Header: http.Header{"Content-Type": {contentType}}, Body: body, ReceivedAt: at,
	}
}
