package webhook

import (
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

type adyenNotification struct {
	Live  string                  `json:"live"`
	Items []adyenNotificationItem `json:"notificationItems"`
}

type adyenNotificationItem struct {
	Item adyenDisputeItem `json:"NotificationRequestItem"`
}

type adyenDisputeItem struct {
	AdditionalData      adyenDisputeData `json:"additionalData"`
	Amount              adyenAmount      `json:"amount"`
	EventCode           string           `json:"eventCode"`
	EventDate           string           `json:"eventDate"`
	MerchantAccountCode string           `json:"merchantAccountCode"`
	MerchantReference   string           `json:"merchantReference"`
	OriginalReference   string           `json:"originalReference"`
	PaymentMethod       string           `json:"paymentMethod"`
	PSPReference        string           `json:"pspReference"`
	Reason              string           `json:"reason"`
	Success             string           `json:"success"`
}

type adyenDisputeData struct {
	DisputeStatus string `json:"disputeStatus"`
	Signature     string `json:"hmacSignature,omitzero"`
}

type adyenAmount struct {
	Currency string `json:"currency"`
	Value    int64  `json:"value"`
}

// adyenStages are the event code and the status of the dispute. A chargeback that Adyen has reversed and that the issuer
// confirms by a second one is lost.
var adyenStages = [...]struct{ code, status string }{
	stageOpened: {"CHARGEBACK", "Undefended"},
	stageReview: {"INFORMATION_SUPPLIED", "Pending"},
	stageWon:    {"CHARGEBACK_REVERSED", "Won"},
	stageLost:   {"SECOND_CHARGEBACK", "Lost"},
}

func simulateAdyen(r disputeReport, secret string) (Request, error) {
	stage := adyenStages[r.stage]
	item := adyenDisputeItem{
		AdditionalData: adyenDisputeData{DisputeStatus: stage.status},
		Amount:         adyenAmount{strings.ToUpper(r.Currency), r.Amount},
		EventCode:      stage.code, EventDate: r.at.Format(time.RFC3339), MerchantAccountCode: "SyllectaSimulation",
		MerchantReference: r.id("order-"), OriginalReference: r.transactionID("PAY"), PaymentMethod: "visa",
		PSPReference: r.id("DSP"), Reason: "Fraudulent transaction", Success: "true",
	}
	unsigned, err := json.Marshal(item)
	if err != nil {
		return Request{}, fmt.Errorf("writing the item: %w", err)
	}
	if item.AdditionalData.Signature, err = SignAdyen(secret, unsigned); err != nil {
		return Request{}, err
	}
	body, err := json.Marshal(adyenNotification{Live: "false", Items: []adyenNotificationItem{{item}}})
	if err != nil {
		return Request{}, fmt.Errorf("writing the notification: %w", err)
	}
	return simulatedPost("application/json; charset=utf-8", body, r.At), nil
}
