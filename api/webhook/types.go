package webhook

import "strings"

// typeTable turns a provider's types into the words that all providers share. Where the type alone does not say enough,
// the key is the type, a space, and the value of the member that decides. A type that is not in the table stays as it is.
//
// The shared words are a noun and what became of it:
//
//	payment     created authorized captured succeeded failed canceled refunded pending requires_action
//	refund      created updated succeeded failed
//	chargeback  inquiry opened under_review updated won lost accepted closed funds_withdrawn funds_reinstated
//	order       created updated paid fulfilled partially_fulfilled canceled deleted approved
//	invoice     created paid payment_failed canceled
//	subscription created activated updated paused resumed canceled expired past_due trial_ending payment_failed
//	customer    created updated deleted
//	checkout    created updated deleted completed expired
//	payout      paid failed
type typeTable map[string]string

func (t typeTable) normalise(rawType, decisive string) string {
	if strings.Contains(rawType, " ") {
		return rawType // no provider's type has one, and it must not pass for a key with a decision
	}
	if decisive != "" {
		if word, ok := t[rawType+" "+decisive]; ok {
			return word
		}
	}
	if word, ok := t[rawType]; ok {
		return word
	}
	return rawType
}

// stripeTypes leaves charge.succeeded and charge.failed alone: the payment intent tells of the same payment, and it
// should count once.
var stripeTypes = typeTable{
	"payment_intent.created":                   "payment.created",
	"payment_intent.processing":                "payment.pending",
	"payment_intent.requires_action":           "payment.requires_action",
	"payment_intent.amount_capturable_updated": "payment.authorized",
	"payment_intent.succeeded":                 "payment.succeeded",
	"payment_intent.payment_failed":            "payment.failed",
	"payment_intent.canceled":                  "payment.canceled",
	"charge.captured":                          "payment.captured",
	"charge.refunded":                          "payment.refunded",
	"charge.refund.updated":                    "refund.updated",
	"refund.created":                           "refund.created",
	"refund.updated":                           "refund.updated",
	"refund.failed":                            "refund.failed",
	"charge.dispute.created":                   "chargeback.opened",
	"charge.dispute.updated":                   "chargeback.under_review",
	"charge.dispute.closed":                    "chargeback.closed",
	"charge.dispute.closed won":                "chargeback.won",
	"charge.dispute.closed lost":               "chargeback.lost",
	"charge.dispute.funds_withdrawn":           "chargeback.funds_withdrawn",
	"charge.dispute.funds_reinstated":          "chargeback.funds_reinstated",
	"customer.subscription.created":            "subscription.created",
	"customer.subscription.updated":            "subscription.updated",
	"customer.subscription.deleted":            "subscription.canceled",
	"customer.subscription.paused":             "subscription.paused",
	"customer.subscription.resumed":            "subscription.resumed",
	"customer.subscription.trial_will_end":     "subscription.trial_ending",
	"invoice.voided":                           "invoice.canceled",
	"checkout.session.completed":               "checkout.completed",
	"checkout.session.expired":                 "checkout.expired",
}

var shopifyTypes = typeTable{
	"orders/create":                   "order.created",
	"orders/updated":                  "order.updated",
	"orders/edited":                   "order.updated",
	"orders/paid":                     "order.paid",
	"orders/fulfilled":                "order.fulfilled",
	"orders/partially_fulfilled":      "order.partially_fulfilled",
	"orders/cancelled":                "order.canceled",
	"orders/delete":                   "order.deleted",
	"refunds/create":                  "refund.created",
	"order_transactions/create":       "payment.created",
	"disputes/create":                 "chargeback.opened",
	"disputes/update":                 "chargeback.updated",
	"disputes/update needs_response":  "chargeback.opened",
	"disputes/update under_review":    "chargeback.under_review",
	"disputes/update won":             "chargeback.won",
	"disputes/update lost":            "chargeback.lost",
	"disputes/update accepted":        "chargeback.accepted",
	"customers/create":                "customer.created",
	"customers/update":                "customer.updated",
	"customers/delete":                "customer.deleted",
	"checkouts/create":                "checkout.created",
	"checkouts/update":                "checkout.updated",
	"checkouts/delete":                "checkout.deleted",
	"subscription_contracts/create":   "subscription.created",
	"subscription_contracts/update":   "subscription.updated",
	"subscription_contracts/activate": "subscription.activated",
	"subscription_contracts/pause":    "subscription.paused",
	"subscription_contracts/cancel":   "subscription.canceled",
	"subscription_contracts/expire":   "subscription.expired",
	"subscription_contracts/fail":     "subscription.payment_failed",
}

var paypalTypes = typeTable{
	"PAYMENT.AUTHORIZATION.CREATED":                    "payment.authorized",
	"PAYMENT.AUTHORIZATION.VOIDED":                     "payment.canceled",
	"PAYMENT.CAPTURE.PENDING":                          "payment.pending",
	"PAYMENT.CAPTURE.COMPLETED":                        "payment.succeeded",
	"PAYMENT.CAPTURE.DENIED":                           "payment.failed",
	"PAYMENT.CAPTURE.DECLINED":                         "payment.failed",
	"PAYMENT.CAPTURE.REFUNDED":                         "payment.refunded",
	"PAYMENT.SALE.PENDING":                             "payment.pending",
	"PAYMENT.SALE.COMPLETED":                           "payment.succeeded",
	"PAYMENT.SALE.DENIED":                              "payment.failed",
	"PAYMENT.SALE.REFUNDED":                            "payment.refunded",
	"PAYMENT.REFUND.PENDING":                           "refund.created",
	"PAYMENT.REFUND.COMPLETED":                         "refund.succeeded",
	"PAYMENT.REFUND.FAILED":                            "refund.failed",
	"CUSTOMER.DISPUTE.CREATED":                         "chargeback.opened",
	"CUSTOMER.DISPUTE.UPDATED":                         "chargeback.under_review",
	"CUSTOMER.DISPUTE.RESOLVED":                        "chargeback.closed",
	"CUSTOMER.DISPUTE.RESOLVED RESOLVED_SELLER_FAVOUR": "chargeback.won",
	"CUSTOMER.DISPUTE.RESOLVED RESOLVED_SELLER_FAVOR":  "chargeback.won",
	"CUSTOMER.DISPUTE.RESOLVED RESOLVED_BUYER_FAVOUR":  "chargeback.lost",
	"CUSTOMER.DISPUTE.RESOLVED RESOLVED_BUYER_FAVOR":   "chargeback.lost",
	"CUSTOMER.DISPUTE.RESOLVED ACCEPTED":               "chargeback.accepted",
	"CHECKOUT.ORDER.APPROVED":                          "order.approved",
	"CHECKOUT.ORDER.COMPLETED":                         "order.paid",
	"BILLING.SUBSCRIPTION.CREATED":                     "subscription.created",
	"BILLING.SUBSCRIPTION.ACTIVATED":                   "subscription.activated",
	"BILLING.SUBSCRIPTION.RE-ACTIVATED":                "subscription.resumed",
	"BILLING.SUBSCRIPTION.UPDATED":                     "subscription.updated",
	"BILLING.SUBSCRIPTION.SUSPENDED":                   "subscription.paused",
	"BILLING.SUBSCRIPTION.CANCELLED":                   "subscription.canceled",
	"BILLING.SUBSCRIPTION.EXPIRED":                     "subscription.expired",
	"BILLING.SUBSCRIPTION.PAYMENT.FAILED":              "subscription.payment_failed",
	"INVOICING.INVOICE.CREATED":                        "invoice.created",
	"INVOICING.INVOICE.PAID":                           "invoice.paid",
	"INVOICING.INVOICE.CANCELLED":                      "invoice.canceled",
}

var braintreeTypes = typeTable{
	"dispute_opened":                      "chargeback.opened",
	"dispute_disputed":                    "chargeback.under_review",
	"dispute_under_review":                "chargeback.under_review",
	"dispute_won":                         "chargeback.won",
	"dispute_lost":                        "chargeback.lost",
	"dispute_accepted":                    "chargeback.accepted",
	"dispute_auto_accepted":               "chargeback.accepted",
	"dispute_expired":                     "chargeback.lost",
	"transaction_settled":                 "payment.succeeded",
	"transaction_settlement_declined":     "payment.failed",
	"refund_failed":                       "refund.failed",
	"subscription_went_active":            "subscription.activated",
	"subscription_trial_ended":            "subscription.activated",
	"subscription_went_past_due":          "subscription.past_due",
	"subscription_charged_unsuccessfully": "subscription.payment_failed",
	"subscription_canceled":               "subscription.canceled",
	"subscription_expired":                "subscription.expired",
}

// adyenTypes decides by the item's success. An acquirer may leave out the notification before a chargeback, so both
// open it.
var adyenTypes = typeTable{
	"AUTHORISATION true":                "payment.authorized",
	"AUTHORISATION false":               "payment.failed",
	"CAPTURE true":                      "payment.captured",
	"CAPTURE false":                     "payment.failed",
	"CAPTURE_FAILED":                    "payment.failed",
	"CANCELLATION true":                 "payment.canceled",
	"TECHNICAL_CANCEL true":             "payment.canceled",
	"PENDING":                           "payment.pending",
	"REFUND true":                       "refund.succeeded",
	"REFUND false":                      "refund.failed",
	"REFUND_FAILED":                     "refund.failed",
	"REFUNDED_REVERSED":                 "refund.failed",
	"REQUEST_FOR_INFORMATION":           "chargeback.inquiry",
	"NOTIFICATION_OF_CHARGEBACK":        "chargeback.opened",
	"CHARGEBACK":                        "chargeback.opened",
	"INFORMATION_SUPPLIED":              "chargeback.under_review",
	"DISPUTE_DEFENSE_PERIOD_ENDED":      "chargeback.lost",
	"CHARGEBACK_REVERSED":               "chargeback.won",
	"PREARBITRATION_WON":                "chargeback.won",
	"SECOND_CHARGEBACK":                 "chargeback.lost",
	"PREARBITRATION_LOST":               "chargeback.lost",
	"ISSUER_RESPONSE_TIMEFRAME_EXPIRED": "chargeback.won",
	"PAYOUT_THIRDPARTY true":            "payout.paid",
	"PAYOUT_THIRDPARTY false":           "payout.failed",
	"ORDER_OPENED":                      "order.created",
	"ORDER_CLOSED true":                 "order.paid",
	"ORDER_CLOSED false":                "order.canceled",
}

// squareTypes decides by the status, or a dispute's state, in the object that the event carries.
var squareTypes = typeTable{
	"payment.updated APPROVED":         "payment.authorized",
	"payment.updated COMPLETED":        "payment.succeeded",
	"payment.updated FAILED":           "payment.failed",
	"payment.updated CANCELED":         "payment.canceled",
	"refund.updated COMPLETED":         "refund.succeeded",
	"refund.updated FAILED":            "refund.failed",
	"refund.updated REJECTED":          "refund.failed",
	"dispute.created":                  "chargeback.opened",
	"dispute.state.updated":            "chargeback.updated",
	"dispute.state.updated PROCESSING": "chargeback.under_review",
	"dispute.state.updated WON":        "chargeback.won",
	"dispute.state.updated LOST":       "chargeback.lost",
	"dispute.state.updated ACCEPTED":   "chargeback.accepted",
	"invoice.payment_made":             "invoice.paid",
	"invoice.scheduled_charge_failed":  "invoice.payment_failed",
}

// paddleTypes decides by what an adjustment is for, and whether it was approved.
var paddleTypes = typeTable{
	"transaction.created":                   "payment.created",
	"transaction.paid":                      "payment.captured",
	"transaction.completed":                 "payment.succeeded",
	"transaction.payment_failed":            "payment.failed",
	"transaction.canceled":                  "payment.canceled",
	"adjustment.created refund":             "refund.created",
	"adjustment.updated refund":             "refund.updated",
	"adjustment.created chargeback":         "chargeback.opened",
	"adjustment.created chargeback_reverse": "chargeback.won",
	"adjustment.created chargeback_warning": "chargeback.inquiry",
	"subscription.trialing":                 "subscription.created",
}

var razorpayTypes = typeTable{
	"refund.processed":                "refund.succeeded",
	"payment.dispute.created":         "chargeback.opened",
	"payment.dispute.under_review":    "chargeback.under_review",
	"payment.dispute.action_required": "chargeback.updated",
	"payment.dispute.won":             "chargeback.won",
	"payment.dispute.lost":            "chargeback.lost",
	"payment.dispute.closed":          "chargeback.closed",
	"subscription.cancelled":          "subscription.canceled",
	"subscription.pending":            "subscription.past_due",
	"invoice.expired":                 "invoice.canceled",
}
