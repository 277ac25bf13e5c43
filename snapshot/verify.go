package snapshot

import "io"

// Info is what a verified snapshot contains.
type Info struct {
	FormatVersion uint16
	Bytes         int64 // the whole file
	Sections      []SectionInfo
}

// SectionInfo is what a section contains. Bytes is the sum of its records' lengths, the format's own bytes left out.
type SectionInfo struct {
	ID      SectionID
	Version uint16
	Records uint64
	Bytes   uint64
}

// Verify reads all of r and returns what is in it. If it returns nil, a [Reader] reads the same bytes to the end
// without an error. Info is zero otherwise; the errors are those of [NewReader] and [Reader].
func Verify(r io.Reader) (Info, error) {
	sr, err := NewReader(r)
	if err != nil {
		return Info{}, err
	}
	info := Info{FormatVersion: sr.version}
	for {
		section, err := sr.Next()
		if err == io.EOF {
			info.Bytes = sr.offset
			return info, nil
		}
		if err != nil {
			return Info{}, err
		}
		counted, err := countRecords(sr, section)
		if err != nil {
			return Info{}, err
		}
		info.Sections = append(info.Sections, counted)
	}
}

// countRecords reads the section that sr is at to its end.
func countRecords(sr *Reader, s Section) (SectionInfo, error) {
	info := SectionInfo{ID: s.ID, Version: s.Version}
	for {
		record, err := sr.Record()
		if err == io.EOF {
			return info, nil
		}
		if err != nil {
			return info, err
		}
		info.Records++
		info.Bytes += uint64(len(record))
	}
}
