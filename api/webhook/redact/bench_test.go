package redact

import (
	"encoding/json"
	"strings"
	"testing"
)

// BenchmarkJSON redacts payloads as providers send them, and one with a long text.
func BenchmarkJSON(b *testing.B) {
	long, err := json.Marshal(map[string]string{"html": strings.Repeat("<p class=\"x\">some_words and 12 numbers - more</p>\n", 1000)})
	if err != nil {
		b.Fatal(err)
	}
	for name, payload := range map[string]string{
		"stripe": payloads["stripe"], "shopify": payloads["shopify"], "long text": string(long),
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(payload)))
			for b.Loop() {
				JSON([]byte(payload))
			}
		})
	}
}
