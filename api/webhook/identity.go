package webhook

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"
)

// MaxIDBytes bounds an event's id.
const MaxIDBytes = 512

// compositeID makes one id of several parts, so that different parts never give the same id.
func compositeID(parts ...string) string {
	escaped := make([]string, len(parts))
	for i, part := range parts {
		escaped[i] = url.PathEscape(part)
	}
	return strings.Join(escaped, "/")
}

// contentID is the id of an event whose provider gives it none: it repeats itself byte by byte.
func contentID(content []byte) string {
	sum := sha256.Sum256(content)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func checkID(id string) error {
	switch {
	case id == "":
		return ErrMissingID
	case len(id) > MaxIDBytes:
		return fmt.Errorf("%w that is at most %d bytes long", ErrMissingID, MaxIDBytes)
	case !utf8.ValidString(id) || strings.ContainsFunc(id, isControl):
		return fmt.Errorf("%w of UTF-8 without control characters", ErrMissingID)
	}
	return nil
}

// isControl reports the C0 and C1 sets and DEL.
func isControl(r rune) bool { return r < 0x20 || r >= 0x7f && r <= 0x9f }
