package webhook

import (
	"regexp"
	"strings"
	"testing"
)

// sharedWords are what the comment of typeTable promises.
var sharedWords = map[string]string{
	"payment":      "created authorized captured succeeded failed canceled refunded pending requires_action",
	"refund":       "created updated succeeded failed",
	"chargeback":   "inquiry opened under_review updated won lost accepted closed funds_withdrawn funds_reinstated",
	"order":        "created updated paid fulfilled partially_fulfilled canceled deleted approved",
	"invoice":      "created paid payment_failed canceled",
	"subscription": "created activated updated paused resumed canceled expired past_due trial_ending payment_failed",
	"customer":     "created updated deleted",
	"checkout":     "created updated deleted completed expired",
	"payout":       "paid failed",
}

func TestSharedWords(t *testing.T) {
	t.Parallel()
	form := regexp.MustCompile(`^[a-z]+\.[a-z_]+$`)
	for name, table := range map[string]typeTable{
		"stripe": stripeTypes, "shopify": shopifyTypes, "paypal": paypalTypes, "braintree": braintreeTypes,
		"adyen": adyenTypes, "square": squareTypes, "paddle": paddleTypes, "razorpay": razorpayTypes,
	} {
		for raw, word := range table {
			noun, verb, _ := strings.Cut(word, ".")
			if !form.MatchString(word) || !strings.Contains(" "+sharedWords[noun]+" ", " "+verb+" ") {
				t.Errorf("%s: %q becomes %q, which is not a shared word", name, raw, word)
			}
		}
		for _, word := range []string{"chargeback.opened", "chargeback.won"} {
			if name != "shopify" && !hasWord(table, word) {
				t.Errorf("%s has nothing for %s", name, word)
			}
		}
	}
}

func hasWord(table typeTable, word string) bool {
	for _, w := range table {
		if w == word {
			return true
		}
	}
	return false
}

func TestNormalise(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		table               typeTable
		raw, decisive, want string
	}{
		{stripeTypes, "charge.dispute.created", "needs_response", "chargeback.opened"},
		{stripeTypes, "charge.dispute.updated", "", "chargeback.under_review"},
		{stripeTypes, "charge.dispute.updated", "under_review", "chargeback.under_review"},
		{stripeTypes, "charge.dispute.closed", "won", "chargeback.won"},
		{stripeTypes, "charge.dispute.closed", "lost", "chargeback.lost"},
		{stripeTypes, "charge.dispute.closed", "warning_closed", "chargeback.closed"},
		{stripeTypes, "charge.dispute.closed", "", "chargeback.closed"},
		{stripeTypes, "payment_intent.succeeded", "succeeded", "payment.succeeded"},
		{stripeTypes, "charge.succeeded", "succeeded", "charge.succeeded"},
		{stripeTypes, "invoice.paid", "paid", "invoice.paid"},
		{stripeTypes, "customer.subscription.deleted", "canceled", "subscription.canceled"},
		{stripeTypes, "something.new", "won", "something.new"},
		{stripeTypes, "", "", ""},
		{stripeTypes, "charge.dispute.closed won", "", "charge.dispute.closed won"},
		{shopifyTypes, "orders/create", "", "order.created"},
		{shopifyTypes, "disputes/update", "under_review", "chargeback.under_review"},
		{shopifyTypes, "themes/publish", "", "themes/publish"},
		{paypalTypes, "CUSTOMER.DISPUTE.CREATED", "", "chargeback.opened"},
		{paypalTypes, "CUSTOMER.DISPUTE.RESOLVED", "RESOLVED_BUYER_FAVOUR", "chargeback.lost"},
		{paypalTypes, "CUSTOMER.DISPUTE.RESOLVED", "NONE", "chargeback.closed"},
		{braintreeTypes, "dispute_under_review", "", "chargeback.under_review"},
		{braintreeTypes, "check", "", "check"},
		{adyenTypes, "AUTHORISATION", "true", "payment.authorized"},
		{adyenTypes, "AUTHORISATION", "false", "payment.failed"},
		{adyenTypes, "CHARGEBACK", "true", "chargeback.opened"},
		{adyenTypes, "CHARGEBACK_REVERSED", "true", "chargeback.won"},
		{adyenTypes, "REPORT_AVAILABLE", "true", "REPORT_AVAILABLE"},
		{squareTypes, "payment.created", "APPROVED", "payment.created"},
		{squareTypes, "dispute.state.updated", "LOST", "chargeback.lost"},
		{squareTypes, "dispute.state.updated", "EVIDENCE_REQUIRED", "chargeback.updated"},
		{paddleTypes, "adjustment.created", "chargeback", "chargeback.opened"},
		{paddleTypes, "adjustment.created", "credit", "adjustment.created"},
		{razorpayTypes, "payment.dispute.under_review", "", "chargeback.under_review"},
		{nil, "push", "x", "push"},
	} {
		if got := tt.table.normalise(tt.raw, tt.decisive); got != tt.want {
			t.Errorf("%q, %q: got %q, want %q", tt.raw, tt.decisive, got, tt.want)
		}
	}
}
