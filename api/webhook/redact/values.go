package redact

import (
	"bytes"
	"encoding/base64"
	"net/url"
	"regexp"
	"strings"
)

// isSensitive reports whether there is something in a text that must not be kept, whatever it is called.
func isSensitive(text string) bool {
	return hasCard(text) || hasMailAddress(text) || hasCredential(text) || hasBasic(text) || hasIBAN(text) || isPhone(text)
}

// mailAddress takes an @ that is encoded for a URL, too.
var mailAddress = regexp.MustCompile(`[\pL\pN.!#$%&'*+/=?^_{|}~` + "`" + `"-](?:@|%40)[\pL\pN](?:[\pL\pN-]*\.)+[\pL\pN-]{2,}`)

func hasMailAddress(text string) bool {
	return (strings.Contains(text, "@") || strings.Contains(text, "%40")) && mailAddress.MatchString(text)
}

// credential is a form by which makers of credentials want them found.
type credential struct {
	part string // what every one of them has in it: looking for it costs next to nothing
	form *regexp.Regexp
}

// credentials are the forms, without what comes before them: no letter and no digit.
var credentials = func(forms [][2]string) (all []credential) {
	for _, f := range forms {
		all = append(all, credential{part: f[0], form: regexp.MustCompile(`(?:^|[^A-Za-z0-9])` + f[1])})
	}
	return all
}([][2]string{
	{"ck_", `ck_[A-Za-z0-9]{16,}`}, // Syllecta, WooCommerce
	{"kek_", `kek_[0-9a-f]{8}:[A-Za-z0-9+/]{16,}`},
	{"whsec_", `whsec_[A-Za-z0-9+/=_-]{8,}`}, // Standard Webhooks, Stripe
	{"k_live_", `[ersp]k_live_[A-Za-z0-9]{8,}`},
	{"k_test_", `[ersp]k_test_[A-Za-z0-9]{8,}`},
	{"_secret_", `[a-z]+_[A-Za-z0-9]+_secret_[A-Za-z0-9]{8,}`},
	{"shp", `shp(?:at|ca|pa|ss|ua|tka)_[A-Za-z0-9]{16,}`}, // Shopify
	{"gh", `gh[oprsu]_[A-Za-z0-9]{20,}`},
	{"github_pat_", `github_pat_[A-Za-z0-9_]{20,}`},
	{"glpat-", `glpat-[A-Za-z0-9_-]{16,}`},
	{"xox", `xox[a-z]-[A-Za-z0-9-]{8,}`}, // Slack
	{"xapp-", `xapp-[A-Za-z0-9-]{8,}`},
	{"hooks.slack.com", `hooks\.slack\.com/services/[A-Za-z0-9/]{8,}`},
	{"SG.", `SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}`}, // SendGrid
	{"sq0", `sq0[a-z]{3}-[A-Za-z0-9_-]{16,}`},             // Square
	{"EAAA", `EAAA[A-Za-z0-9_-]{40,}`},
	{"access_token$", `access_token\$(?:production|sandbox)\$[A-Za-z0-9$]{8,}`}, // Braintree
	{"rzp_", `rzp_(?:live|test)_[A-Za-z0-9]{8,}`},                               // Razorpay
	{"pdl_", `pdl_[a-z]+_[A-Za-z0-9_]{16,}`},                                    // Paddle
	{"pat-", `pat-[a-z]{2}\d-[0-9a-f-]{16,}`},                                   // HubSpot
	{"IA", `A(?:KI|SI)A[A-Z0-9]{16}`},                                           // AWS
	{"AIza", `AIza[A-Za-z0-9_-]{30,}`},                                          // Google
	{"ya29.", `ya29\.[A-Za-z0-9_-]{16,}`},
	{"sk-", `sk-[A-Za-z0-9_-]{20,}`},
	{"npm_", `npm_[A-Za-z0-9]{30,}`},
	{"eyJ", `eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]*`}, // JSON Web Tokens
	{"PRIVATE KEY", `-----BEGIN [A-Z ]*PRIVATE KEY`},
	{"://", `[a-z][a-z0-9+.-]*://[^/\s:@]*:[^/\s@]+@`}, // user and password in a URL
})

var (
	bearer = regexp.MustCompile(`(?i)(?:^|[^a-z0-9])bearer[ \t]+[a-z0-9._~+/=-]{8,}`)
	basic  = regexp.MustCompile(`(?i)(?:^|[^a-z0-9])basic[ \t]+([a-z0-9+/_-]{4,}={0,2})`)
)

func hasCredential(text string) bool {
	for _, c := range credentials {
		if strings.Contains(text, c.part) && c.form.MatchString(text) {
			return true
		}
	}
	return strings.Contains(strings.ToLower(text), "bearer") && bearer.MatchString(text)
}

// hasBasic reports whether there is a user and password of HTTP in a text. What follows the word need be no more than
// another word, so it is decoded.
func hasBasic(text string) bool {
	if !strings.Contains(strings.ToLower(text), "basic") {
		return false
	}
	for _, match := range basic.FindAllStringSubmatch(text, -1) {
		encoded := strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(match[1], "="))
		decoded, err := base64.RawStdEncoding.DecodeString(encoded)
		if err == nil && bytes.IndexByte(decoded, ':') >= 0 {
			return true
		}
	}
	return false
}

// phone is a number in its international form, and nothing else, as a text or as an address (tel:, whatsapp:).
var phone = regexp.MustCompile(`^(?:[a-z]+:)?\+[1-9][0-9 ().-]*$`)

// The digits of an international phone number: at most 15 by ITU-T E.164.
const (
	minPhoneDigits = 8
	maxPhoneDigits = 15
)

func isPhone(text string) bool {
	if !phone.MatchString(text) {
		return false
	}
	digits := 0
	for i := range len(text) {
		if isDigit(text[i]) {
			digits++
		}
	}
	return digits >= minPhoneDigits && digits <= maxPhoneDigits
}

// parameter is one of a URL, a form or a cookie: what is before it, its name, and its value.
var parameter = regexp.MustCompile(`((?:^|[?&;#])\s*)([A-Za-z0-9_.%\[\]-]+)=([^&;#\s"'<>]+)`)

// sensitiveParameters are sensitive names beside those of members: what opens a page, or is swapped for a token.
var sensitiveParameters = map[string]bool{"key": true, "code": true, "auth": true, "session": true, "sessionid": true}

// redactParameters takes the values of sensitive parameters out of a text.
func redactParameters(text string) string {
	if !strings.Contains(text, "=") {
		return text
	}
	return parameter.ReplaceAllStringFunc(text, func(match string) string {
		part := parameter.FindStringSubmatch(match)
		name := part[2]
		if plain, err := url.QueryUnescape(name); err == nil {
			name = plain
		}
		if label := parseLabel(name); label.rule() != nothing || sensitiveParameters[label.joined] {
			return part[1] + part[2] + "=" + Redacted
		}
		return match
	})
}
