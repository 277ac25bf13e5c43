package api

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/syllecta/syllecta/api/webhook"
)

const adyenKey = "DFB1EB5485895CFA84146406857104ABB4CBCABDC8AAF103A624C8F6A3EAAB00"

func hmacHex(key, text string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(text))
	return hex.EncodeToString(mac.Sum(nil))
}

// adyenBatch has a signed chargeback for each of the references.
func adyenBatch(t testing.TB, references ...string) string {
	t.Helper()
	items := make([]string, len(references))
	for i, reference := range references {
		item := `{"pspReference":"` + reference + `","eventCode":"CHARGEBACK","success":"true",` +
			`"amount":{"value":100,"currency":"EUR"},"additionalData":{"hmacSignature":"%s"}}`
		signature, err := webhook.SignAdyen(adyenKey, fmt.Appendf(nil, item, ""))
		if err != nil {
			t.Fatal(err)
		}
		items[i] = `{"NotificationRequestItem":` + fmt.Sprintf(item, signature) + `}`
	}
	return `{"live":"false","notificationItems":[` + strings.Join(items, ",") + `]}`
}
