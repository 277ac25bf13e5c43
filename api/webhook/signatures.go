package webhook

import "strings"

const (
	// maxSignatures bounds the signatures of one request, those of unknown schemes included.
	maxSignatures = 16
	// maxSignatureBytes bounds a header of signatures.
	maxSignatureBytes = 4 << 10
)

// list is a header of several labelled values, such as "t=1700000000,v1=4a5a…,v1=9b1c…".
type list struct {
	separator string // between the values
	assign    string // between a label and its value
	signature string // the label of a signature
	timestamp string // the label of the timestamp; "" if it comes elsewhere
}

// parse returns the encoded signatures and the timestamp of a list. Values under other labels are those of other schemes
// and are passed over. It is not ok if the list is too long, or has no timestamp, or two of them.
func (l *list) parse(header string) (signatures []string, timestamp string, ok bool) {
	if len(header) > maxSignatureBytes || strings.Count(header, l.separator) > maxSignatures {
		return nil, "", false
	}
	timestamps := 0
	for item := range strings.SplitSeq(header, l.separator) {
		label, value, found := strings.Cut(item, l.assign)
		switch {
		case !found:
		case label == l.signature:
			signatures = append(signatures, value)
		case l.timestamp != "" && label == l.timestamp:
			timestamp = value
			timestamps++
		}
	}
	return signatures, timestamp, l.timestamp == "" || timestamps == 1
}

// decodeAll decodes what can be decoded. The rest cannot be right, but must not spoil what is.
func decodeAll(texts []string, enc *encoding, size int) [][]byte {
	var decoded [][]byte
	for _, text := range texts {
		if b, err := enc.decode(text); err == nil && len(b) == size && len(text) == len(enc.encode(b)) {
			decoded = append(decoded, b)
		}
	}
	return decoded
}
