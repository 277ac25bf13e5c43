package api

import (
	"strconv"
	"unicode/utf8"
)

// textFault says what is wrong with an identifier that must have 1 to limit bytes of UTF-8 without control characters;
// "" if nothing. Nothing is trimmed, folded or normalised: identifiers are compared as bytes.
func textFault(s string, limit int) string {
	if len(s) == 0 || len(s) > limit {
		return "is not 1 to " + strconv.Itoa(limit) + " bytes long"
	}
	for i := 0; i < len(s); i++ {
		if c := s[i]; c >= utf8.RuneSelf {
			return wideTextFault(s[i:])
		} else if isControl(rune(c)) {
			return "contains a control character"
		}
	}
	return ""
}

func wideTextFault(s string) string {
	if !utf8.ValidString(s) {
		return "is not valid UTF-8"
	}
	for _, r := range s {
		if isControl(r) {
			return "contains a control character"
		}
	}
	return ""
}

// isControl reports the C0 and C1 sets and DEL.
func isControl(r rune) bool { return r < 0x20 || r >= 0x7f && r <= 0x9f }
