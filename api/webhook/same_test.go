package webhook

import (
	"encoding/json"
	"net/url"
	"strings"
)

// sameForm reports whether two forms hold the same fields: an escape can be written in two ways.
func sameForm(original, changed []byte) bool {
	a, err := url.ParseQuery(string(original))
	if err != nil {
		return false
	}
	b, err := url.ParseQuery(string(changed))
	return err == nil && a.Encode() == b.Encode()
}

// sameBraintree also lets the case of hexadecimal digits in the signature be.
func sameBraintree(original, changed []byte) bool {
	a, err := url.ParseQuery(string(original))
	if err != nil {
		return false
	}
	b, err := url.ParseQuery(string(changed))
	if err != nil || !sameHex(a.Get("bt_signature"), b.Get("bt_signature")) {
		return false
	}
	b["bt_signature"] = a["bt_signature"]
	return a.Encode() == b.Encode()
}

// sameAdyen reports whether two batches hold the same signed members: an item's signature covers no more.
func sameAdyen(original, changed []byte) bool {
	a, b := signedByAdyen(original), signedByAdyen(changed)
	return a != "" && a == b
}

func signedByAdyen(body []byte) string {
	var batch struct {
		NotificationItems []struct {
			NotificationRequestItem struct {
				PSPReference        string `json:"pspReference"`
				OriginalReference   string `json:"originalReference"`
				MerchantAccountCode string `json:"merchantAccountCode"`
				MerchantReference   string `json:"merchantReference"`
				EventCode           string `json:"eventCode"`
				Success             string `json:"success"`
				Amount              struct {
					Value    json.Number `json:"value"`
					Currency string      `json:"currency"`
				} `json:"amount"`
			} `json:"NotificationRequestItem"`
		} `json:"notificationItems"`
	}
	if json.Unmarshal(body, &batch) != nil {
		return ""
	}
	var b strings.Builder
	for _, item := range batch.NotificationItems {
		i := item.NotificationRequestItem
		b.WriteString(strings.Join([]string{
			i.PSPReference, i.OriginalReference, i.MerchantAccountCode, i.MerchantReference, i.Amount.Value.String(),
			i.Amount.Currency, i.EventCode, i.Success,
		}, "\x00"))
	}
	return b.String()
}
