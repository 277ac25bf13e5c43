package redact

// The lengths of account numbers of ISO 13616, without spaces.
const (
	minIBAN = 15
	maxIBAN = 34
)

// hasIBAN reports whether there is an account number of ISO 13616 in a text, in capitals or in small letters, whole or
// in groups with a space or dash between.
func hasIBAN(text string) bool {
	for i := 0; i+minIBAN <= len(text); i++ {
		begins := isLetter(text[i]) && isLetter(text[i+1]) && isDigit(text[i+2]) && isDigit(text[i+3])
		if begins && (i == 0 || !isLetter(text[i-1]) && !isDigit(text[i-1])) && beginsWithIBAN(text[i:]) {
			return true
		}
	}
	return false
}

// beginsWithIBAN looks at each end of a group for whether what came until there is an account number.
func beginsWithIBAN(text string) bool {
	number := make([]byte, 0, maxIBAN)
	var capital, small bool
	for i := range len(text) {
		c := text[i]
		switch {
		case isDigit(c):
		case c >= 'A' && c <= 'Z':
			capital = true
		case c >= 'a' && c <= 'z':
			small = true
			c -= 'a' - 'A'
		case (c == ' ' || c == '-') && text[i-1] != ' ' && text[i-1] != '-':
			if isIBAN(number) {
				return true
			}
			continue
		default:
			return isIBAN(number)
		}
		if len(number) == maxIBAN || capital && small {
			return false
		}
		number = append(number, c)
	}
	return isIBAN(number)
}

// isIBAN checks the two digits of capitals and digits against all the others (ISO 7064, MOD 97-10).
func isIBAN(number []byte) bool {
	if len(number) < minIBAN {
		return false
	}
	rest := 0
	for _, part := range [2][]byte{number[4:], number[:4]} {
		for _, c := range part {
			if isDigit(c) {
				rest = (rest*10 + int(c-'0')) % 97
			} else {
				rest = (rest*100 + int(c-'A') + 10) % 97
			}
		}
	}
	return rest == 1
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isLetter(c byte) bool { return c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' }
