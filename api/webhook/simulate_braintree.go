package webhook

import (
	"encoding/xml"
	"fmt"
	"strings"
	"time"
)

type braintreeDisputeNotification struct {
	XMLName   xml.Name         `xml:"notification"`
	Kind      string           `xml:"kind"`
	Timestamp braintreeTyped   `xml:"timestamp"`
	Dispute   braintreeSubject `xml:"subject>dispute"`
}

// braintreeTyped is an element that says of what type its text is.
type braintreeTyped struct {
	Type string `xml:"type,attr"`
	Text string `xml:",chardata"`
}

type braintreeSubject struct {
	ID           string               `xml:"id"`
	Amount       string               `xml:"amount"`
	Currency     string               `xml:"currency-iso-code"`
	Kind         string               `xml:"kind"`
	Status       string               `xml:"status"`
	Reason       string               `xml:"reason"`
	ReceivedDate braintreeTyped       `xml:"received-date"`
	Transaction  braintreeTransaction `xml:"transaction"`
}

type braintreeTransaction struct {
	ID     string `xml:"id"`
	Amount string `xml:"amount"`
}

// braintreeStages are the kind of the notification and the status of the dispute.
var braintreeStages = [...]struct{ kind, status string }{
	stageOpened: {"dispute_opened", "open"},
	stageReview: {"dispute_under_review", "under_review"},
	stageWon:    {"dispute_won", "won"},
	stageLost:   {"dispute_lost", "lost"},
}

func simulateBraintree(r disputeReport, secret string) (Request, error) {
	stage := braintreeStages[r.stage]
	notification, err := xml.MarshalIndent(braintreeDisputeNotification{
		Kind:      stage.kind,
		Timestamp: braintreeTyped{"datetime", r.at.Format(time.RFC3339)},
		Dispute: braintreeSubject{
			ID: r.id("sim"), Amount: r.decimalAmount(), Currency: strings.ToUpper(r.Currency), Kind: "chargeback",
			Status: stage.status, Reason: "fraud", ReceivedDate: braintreeTyped{"date", r.at.Format(time.DateOnly)},
			Transaction: braintreeTransaction{r.transactionID("txn"), r.decimalAmount()},
		},
	}, "", "  ")
	if err != nil {
		return Request{}, fmt.Errorf("writing the notification: %w", err)
	}
	return simulatedPost("application/x-www-form-urlencoded", SignBraintree(secret, notification), r.At), nil
}
