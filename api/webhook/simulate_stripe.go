package webhook

import (
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
)

type stripeEvent struct {
	ID              string            `json:"id"`
	Object          string            `json:"object"`
	APIVersion      string            `json:"api_version"`
	Created         int64             `json:"created"`
	Data            stripeEventData   `json:"data"`
	Livemode        bool              `json:"livemode"`
	PendingWebhooks int               `json:"pending_webhooks"`
	Request         stripeEventOrigin `json:"request"`
	Type            string            `json:"type"`
}

type stripeEventData struct {
	Object stripeDispute `json:"object"`
}

type stripeEventOrigin struct {
	ID             *string `json:"id"`
	IdempotencyKey *string `json:"idempotency_key"`
}

type stripeDispute struct {
	ID                 string            `json:"id"`
	Object             string            `json:"object"`
	Amount             int64             `json:"amount"`
	Charge             string            `json:"charge"`
	Created            int64             `json:"created"`
	Currency           string            `json:"currency"`
	IsChargeRefundable bool              `json:"is_charge_refundable"`
	Livemode           bool              `json:"livemode"`
	Metadata           map[string]string `json:"metadata"`
	PaymentIntent      *string           `json:"payment_intent"`
	Reason             string            `json:"reason"`
	Status             string            `json:"status"`
}

// stripeStages are the type of the event and the status of the dispute.
var stripeStages = [...]struct{ rawType, status string }{
	stageOpened: {"charge.dispute.created", "needs_response"},
	stageReview: {"charge.dispute.updated", "under_review"},
	stageWon:    {"charge.dispute.closed", "won"},
	stageLost:   {"charge.dispute.closed", "lost"},
}

// simulateStripe writes an event as of Stripe's version 2024-06-20. A transaction id that begins with pi_ is that of a
// payment intent, any other that of a charge.
func simulateStripe(r disputeReport, secret string) (Request, error) {
	stage := stripeStages[r.stage]
	dispute := stripeDispute{
		ID: r.id("dp_sim"), Object: "dispute", Amount: r.Amount, Charge: r.transactionID("ch_sim"), Created: r.at.Unix(),
		Currency: strings.ToLower(r.Currency), Metadata: map[string]string{}, Reason: "fraudulent", Status: stage.status,
	}
	if strings.HasPrefix(dispute.Charge, "pi_") {
		dispute.PaymentIntent, dispute.Charge = &r.transaction, r.id("ch_sim")
	}
	body, err := json.Marshal(stripeEvent{
		ID: r.eventID("evt_sim"), Object: "event", APIVersion: "2024-06-20", Created: r.at.Unix(),
		Data: stripeEventData{dispute}, PendingWebhooks: 1, Type: stage.rawType,
	})
	if err != nil {
		return Request{}, fmt.Errorf("writing the event: %w", err)
	}
	request := simulatedPost("application/json; charset=utf-8", body, r.At)
	request.Header.Set(stripeScheme.header, SignStripe(secret, body, r.At))
	return request, nil
}
