package redact

// The lengths of card numbers (ISO/IEC 7812-1), and of those that may stand as a JSON number: ids of other lengths
// often are numbers, and one of ten has a right check digit by chance.
const (
	minCardDigits = 13
	maxCardDigits = 19

	minCardAsNumber = 15
	maxCardAsNumber = 16

	// maxCardGap bounds the separators between two groups of a card number's digits.
	maxCardGap = 3
)

// hasCard reports whether there is a card number in a text: groups of digits with spaces or dashes between.
func hasCard(text string) bool {
	var run cardRun
	gap, inGroup := 0, false
	for _, r := range text {
		switch {
		case r >= '0' && r <= '9':
			if !inGroup {
				run.beginGroup(gap <= maxCardGap)
			}
			run.digits = append(run.digits, byte(r))
			gap, inGroup = 0, true
			continue
		case inGroup && run.endsWithCard():
			return true
		case isCardSeparator(r):
			gap++
		default:
			gap = maxCardGap + 1
		}
		inGroup = false
	}
	return inGroup && run.endsWithCard()
}

func isCardSeparator(r rune) bool {
	return r == ' ' || r == '-' || r == '\u00A0' || r >= '\u2010' && r <= '\u2015' || r == '\u202F'
}

// cardRun is groups of digits that may be parts of one number.
type cardRun struct {
	digits []byte
	starts []int // of the groups, in digits
}

func (c *cardRun) beginGroup(goesOn bool) {
	if !goesOn {
		c.digits, c.starts = c.digits[:0], c.starts[:0]
	}
	c.starts = append(c.starts, len(c.digits))
}

// endsWithCard reports whether the last groups, one or several, are a card number.
func (c *cardRun) endsWithCard() bool {
	for i := len(c.starts) - 1; i >= 0; i-- {
		digits := c.digits[c.starts[i]:]
		if len(digits) > maxCardDigits {
			return false
		}
		if isCard(digits) {
			return true
		}
	}
	return false
}

// isCardAsNumber reports whether a JSON number is a card number.
func isCardAsNumber(number []byte) bool {
	for _, digit := range number {
		if digit < '0' || digit > '9' {
			return false
		}
	}
	return len(number) >= minCardAsNumber && len(number) <= maxCardAsNumber && isCard(number)
}

// isCard reports whether digits have the length, the beginning and the check digit of a card number.
func isCard(digits []byte) bool {
	return len(digits) >= minCardDigits && len(digits) <= maxCardDigits && beginsLikeCard(digits) && luhn(digits)
}

// beginsLikeCard leaves out what no card begins with, so that fewer ids and times look like cards: 0, 8, 9 but for Troy,
// and 1 but for UATP.
func beginsLikeCard(digits []byte) bool {
	switch first := digits[0]; first {
	case '0', '8':
		return false
	case '1':
		return len(digits) == 15
	case '9':
		return len(digits) == 16 && string(digits[:4]) == "9792"
	default:
		return true
	}
}

// luhn checks the last digit against the others.
func luhn(digits []byte) bool {
	sum := 0
	for i, digit := range digits {
		n := int(digit - '0')
		if (len(digits)-i)%2 == 0 {
			if n *= 2; n > 9 {
				n -= 9
			}
		}
		sum += n
	}
	return sum%10 == 0
}
