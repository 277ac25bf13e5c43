package api

import (
	"strings"

	"github.com/syllecta/syllecta/api/webhook"
	"github.com/syllecta/syllecta/fsm"
)

// simulationFields is the body of POST /v1/simulate/chargeback.
type simulationFields struct {
	provider string
	source   string
	dispute  webhook.Dispute
}

// decodeSimulation reads and checks it. Seed and At are left to fill in.
func decodeSimulation(body []byte) (simulationFields, *problem) {
	f := simulationFields{source: fsm.DefaultSourceName}
	f.dispute.Lifecycle = true
	var amount optionalInt
	p := decodeObject(body, func(d *decoder, name []byte) *problem {
		switch string(name) {
		case "provider":
			return d.text(&f.provider, "provider", fsm.MaxSlugBytes)
		case "source":
			return d.slug(&f.source, "source")
		case "amount":
			return d.integer(&amount, "amount", 1, webhook.MaxDisputeAmount)
		case "currency":
			return d.text(&f.dispute.Currency, "currency", fsm.MaxSlugBytes)
		case "transactionId":
			return d.text(&f.dispute.TransactionID, "transactionId", webhook.MaxTransactionIDBytes)
		case "simulateLifecycle":
			return d.boolean(&f.dispute.Lifecycle, "simulateLifecycle")
		case "finalStatus":
			return d.text((*string)(&f.dispute.Final), "finalStatus", fsm.MaxSlugBytes)
		default:
			return d.skip()
		}
	})
	if p == nil {
		f.dispute.Amount = amount.value
		p = f.fault()
	}
	return f, p
}

func (f *simulationFields) fault() *problem {
	switch {
	case f.provider == "":
		return missingField.problem("provider is missing")
	case !webhook.Simulates(f.provider):
		return invalidField.problem("provider is none of stripe, braintree and adyen")
	case f.dispute.Amount == 0:
		return missingField.problem("amount is missing: it is in the currency's smallest unit")
	case f.dispute.Currency == "":
		return missingField.problem("currency is missing")
	case !isCurrency(f.dispute.Currency):
		return invalidField.problem("currency is not a code of three letters")
	case f.dispute.Final != "" && f.dispute.Final != webhook.DisputeWon && f.dispute.Final != webhook.DisputeLost:
		return invalidField.problem("finalStatus is neither %s nor %s", webhook.DisputeWon, webhook.DisputeLost)
	}
	return nil
}

func isCurrency(code string) bool {
	return len(code) == 3 && strings.Trim(code, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}
