package redact

import (
	"slices"
	"strings"
	"unicode"
)

// rule says what is taken out because of the name that it has.
type rule uint8

const (
	nothing rule = iota
	// texts are taken out, those in arrays included, and members of objects are judged by their own names.
	texts
	// everything is taken out: texts and numbers, however deep.
	everything
)

// label is a member's name, without regard to case and separators: cardNumber, card_number and "Card-Number" are one.
type label struct {
	joined string // all words, in lower case
	last   string // the last word
}

// parseLabel splits a name where a separator stands, and where a capital begins a word.
func parseLabel(name string) label {
	runes := []rune(name)
	var joined strings.Builder
	last, between := 0, false
	for i, r := range runes {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			between = true
			continue
		}
		if between || beginsWord(runes, i) {
			last, between = joined.Len(), false
		}
		// By way of upper case, so that the long s and the Kelvin sign are what they look like.
		joined.WriteRune(unicode.ToLower(unicode.ToUpper(r)))
	}
	return label{joined.String(), joined.String()[last:]}
}

// beginsWord reports whether the capital at i follows a small letter or digit (clientIP), or is followed by a small one
// after a capital (IPAddress).
func beginsWord(runes []rune, i int) bool {
	if i == 0 || !unicode.IsUpper(runes[i]) {
		return false
	}
	if !unicode.IsUpper(runes[i-1]) {
		return true
	}
	return i+1 < len(runes) && unicode.IsLower(runes[i+1])
}

// withoutDigits is a name without the digits that count it: cvv2, address1, x-hub-signature-256.
func withoutDigits(name string) string {
	if cut := strings.TrimRight(name, "0123456789"); cut != "" {
		return cut
	}
	return name
}

// ruleOf judges a name by itself, and together with that of the object it is in: card.number, email.address.
func ruleOf(parent, name label) rule {
	if own := name.rule(); own != nothing || parent.joined == "" {
		return own
	}
	for _, of := range []string{parent.joined, strings.TrimSuffix(parent.joined, "s")} {
		if endsSensitive(of + withoutDigits(name.joined)) {
			return everything
		}
	}
	return nothing
}

func (l label) rule() rule {
	name := withoutDigits(l.joined)
	has := func(part string) bool { return strings.Contains(name, part) }
	switch {
	case slices.ContainsFunc(sensitiveParts, has), endsSensitive(name), sensitiveWords[withoutDigits(l.last)],
		sensitiveWords[name], isAddressLine(l.joined, name):
		return everything
	case sensitiveTexts[name], strings.HasSuffix(name, "address"):
		return texts
	default:
		return nothing
	}
}

func endsSensitive(name string) bool {
	return slices.ContainsFunc(sensitiveEnds, func(end string) bool { return strings.HasSuffix(name, end) })
}

// isAddressLine reports whether a name with its digits is that of a numbered line of an address.
func isAddressLine(name, withoutDigits string) bool {
	return name != withoutDigits && (withoutDigits == "line" || strings.HasSuffix(withoutDigits, "address"))
}

// sensitiveParts make a name sensitive wherever in it they stand.
var sensitiveParts = []string{
	"cardnumber", "accountnumber", "routingnumber", "socialsecurity",
	"password", "passwd", "passphrase", "secret", "apikey", "privatekey", "accesstoken", "refreshtoken",
	"emailaddress", "phonenumber", "ipaddress", "addressline",
}

// sensitiveEnds make a name sensitive that ends so.
var sensitiveEnds = []string{
	// Cards
	"cardnumber", "cardno", "cardnum", "ccnumber", "ccnum", "primaryaccountnumber", "cardholder", "holdername", "nameoncard",
	"securitycode", "cardcode", "verificationvalue", "verificationcode", "expiry", "expirydate", "expirymonth", "expiryyear",
	"expdate", "expmonth", "expyear", "expirationdate", "expirationmonth", "expirationyear",
	// Accounts
	"iban", "accountnumber", "accountno", "acctnumber", "acctno", "routingnumber", "abanumber", "sortcode", "transitnumber",
	"clabe",
	// Credentials
	"secret", "secretkey", "token", "apikey", "accesskey", "privatekey", "signingkey", "encryptionkey", "passcode",
	"authorization", "authorizationcode", "credential", "credentials", "signature", "signatures", "cookie", "cookies",
	"hmac", "hmacsha", "hmachash",
	// People
	"email", "emails", "mailaddress", "emailaddress", "phone", "phones", "telephone", "phonenumber", "mobilenumber",
	"faxnumber", "msisdn", "taxid", "taxnumber", "taxidnumber", "taxpayerid", "vatid", "vatnumber", "nationalid",
	"passportnumber", "dateofbirth", "birthdate", "birthday", "streetaddress", "extendedaddress", "streetname",
	"housenumber", "housenumberorname",
	"ipaddress", "ipaddr", "ipaddresses", "ipv", "forwardedfor", "remoteaddr", "remoteaddress",
}

// sensitiveWords make a name sensitive that is such a word or has it as its last: they are too short to be looked for
// within others (zip, company, opinion).
var sensitiveWords = map[string]bool{
	"pan": true, "cvc": true, "cvv": true, "cvn": true, "csc": true, "pin": true, "otp": true, "pwd": true, "sig": true,
	"jwt": true, "csrf": true, "xsrf": true, "bearer": true, "ssn": true, "tin": true, "ein": true, "dob": true,
	"ip": true, "ips": true, "mail": true, "tel": true, "fax": true, "mobile": true, "street": true,
	"forwarded": true,
}

// sensitiveTexts are names of what is sensitive if it is a text, and has members of its own to judge otherwise.
var sensitiveTexts = map[string]bool{"creditcard": true, "debitcard": true}
