package webhook

import (
	"slices"
	"strings"
	"testing"
)

// TestEveryBitOfTheBodyCounts flips each bit of each body.
func TestEveryBitOfTheBodyCounts(t *testing.T) {
	t.Parallel()
	for _, s := range allSamples(t) {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			c := s.clone()
			passed := 0
			for i := range c.request.Body {
				for bit := range 8 {
					c.request.Body[i] ^= 1 << bit
					switch {
					case !c.valid():
						c.refused(t, "a changed body")
					case s.same == nil || !s.same(s.request.Body, c.request.Body):
						t.Fatalf("accepted with bit %d of byte %d changed: %.300q", bit, i, c.request.Body)
					default:
						passed++
					}
					c.request.Body[i] ^= 1 << bit
				}
			}
			if !c.valid() {
				t.Fatal("the body was not changed back")
			}
			if bits := 8 * len(c.request.Body); passed > bits*3/4 {
				t.Errorf("%d of %d changes were said to mean the same", passed, bits)
			}
		})
	}
}

// TestEveryBitOfTheSignatureCounts flips each bit of the header of each signature. Only the case of hexadecimal digits,
// which changes no byte of the signature, may be changed.
func TestEveryBitOfTheSignatureCounts(t *testing.T) {
	t.Parallel()
	for _, s := range allSamples(t) {
		if s.header == "" {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			c := s.clone()
			original := s.request.header(s.header)
			value := []byte(original)
			for i := range value {
				for bit := range 8 {
					value[i] ^= 1 << bit
					c.request.Header.Set(s.header, string(value))
					if c.valid() && !sameHex(original, string(value)) {
						t.Fatalf("accepted %q for %q", value, original)
					}
					value[i] ^= 1 << bit
				}
			}
		})
	}
}

// sameHex reports whether a changed header differs from the original in the case of hexadecimal digits only.
func sameHex(original, changed string) bool {
	if len(original) != len(changed) {
		return false
	}
	for i := range len(original) {
		a, b := original[i], changed[i]
		if a != b && !(a >= 'a' && a <= 'f' && b == a-'a'+'A') {
			return false
		}
	}
	return true
}

// TestEveryBitInABodysSignatureCounts is for the providers whose signature is in the body.
func TestEveryBitInABodysSignatureCounts(t *testing.T) {
	t.Parallel()
	for _, s := range allSamples(t) {
		if s.header != "" {
			continue
		}
		signature := map[string]string{
			"Braintree":     "10bf71f9a7343c54ee69013cabea1aad72f18f73",
			"Adyen, report": "ZNBPtI+oDyyRrLyD1XirkKnQgIAlFc07Vj27TeHsDRE=",
			"Adyen, event":  "ipnxGCaUZ4l8TUW75a71/ghd2Fe5ffvX0pV4TLTntIc=",
		}[s.name]
		start := strings.Index(string(s.request.Body), signature)
		if signature == "" || start < 0 {
			t.Fatalf("%s: where is the signature?", s.name)
		}
		c := s.clone()
		for i := start; i < start+len(signature); i++ {
			for bit := range 8 {
				c.request.Body[i] ^= 1 << bit
				changed := string(c.request.Body[start : start+len(signature)])
				if c.valid() && !(s.name == "Braintree" && sameHex(signature, changed)) {
					t.Fatalf("%s: accepted %q for %q", s.name, changed, signature)
				}
				c.request.Body[i] ^= 1 << bit
			}
		}
	}
}

// TestRefused walks over what else can be wrong with a request, or a source.
func TestRefused(t *testing.T) {
	t.Parallel()
	for _, s := range allSamples(t) {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			if len(s.request.Body) > 0 {
				c := s.clone()
				c.request.Body = nil
				c.refused(t, "an empty body")
				c.request.Body = append(slices.Clone(s.request.Body), 'x')
				c.refused(t, "a longer body")
			}
			if s.header == "" {
				return
			}
			value := s.request.header(s.header)
			c := s.clone()
			c.request.Header.Del(s.header)
			c.refused(t, "no signature")
			c.request.Header.Set(s.header, "")
			c.refused(t, "an empty signature")
			c.request.Header.Set(s.header, value+"0")
			c.refused(t, "a longer signature")
			c.request.Header.Set(s.header, value[:len(value)-1])
			c.refused(t, "a shorter signature")
			c.request.Header.Set(s.header, value)
			c.request.Header.Add(s.header, value)
			c.refused(t, "the signature twice")
		})
	}
}

// TestEverySignedHeaderCounts removes, doubles and changes each header that a scheme signs.
func TestEverySignedHeaderCounts(t *testing.T) {
	t.Parallel()
	signed := []string{
		"X-Slack-Request-Timestamp", "webhook-id", "webhook-timestamp", sendgridTimestamp, "x-zm-request-timestamp",
		"X-HubSpot-Request-Timestamp", "X-HubSpot-Signature-Version", "X-Zendesk-Webhook-Signature-Timestamp",
		discordTimestamp, paypalID, paypalTime, paypalAlgorithm,
	}
	for _, s := range allSamples(t) {
		for _, name := range signed {
			value := s.request.header(name)
			if value == "" {
				continue
			}
			c := s.clone()
			c.request.Header.Del(name)
			c.refused(t, s.name+" without "+name)
			c.request.Header.Set(name, value)
			c.request.Header.Add(name, value)
			c.refused(t, s.name+" with two of "+name)
			c.request.Header.Set(name, value+"0")
			c.refused(t, s.name+" with another "+name)
		}
	}
}

func TestWrongSecret(t *testing.T) {
	t.Parallel()
	for _, s := range allSamples(t) {
		if len(s.source.Secrets) == 0 {
			continue
		}
		c := s.clone()
		c.source.Secrets = []string{otherSecret(s)}
		c.refused(t, s.name)
	}
}

// otherSecret returns a secret that a provider takes, but that is not the one of the sample.
func otherSecret(s sample) string {
	switch s.source.Provider {
	case "sendgrid":
		return "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q=="
	case "discord":
		return "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
	case "adyen":
		return "00112233445566778899aabbccddeeff"
	case "standardwebhooks", "gitlab":
		return "whsec_AAECAwQFBgcICQoLDA0ODw=="
	case "braintree":
		return "integration_public_key|other"
	default:
		return s.source.Secrets[0] + "x"
	}
}
