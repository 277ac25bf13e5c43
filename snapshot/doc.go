// Package snapshot is the file format in which a state is kept, shipped between nodes and backed up.
//
// It knows nothing of what it stores: a snapshot is a list of sections, each a list of opaque byte records. What it
// promises is that a reader gets back exactly what was written or an error. Any byte changed, any end cut off, anything
// appended and any block dropped, doubled, moved or taken from another snapshot is refused, in memory bounded by
// [MaxRecordBytes] whatever the input claims.
//
// Records are handed out as soon as their block is verified, before the rest of the file is: whoever must not act on a
// part calls [Verify] first, or waits for the io.EOF of [Reader.Next].
//
// # The format, byte by byte
//
// Version 1. All integers are unsigned and little-endian. A file is a file header and then blocks, nothing between or
// behind them.
//
// File header, 16 bytes; it keeps this form in every version:
//
//	 0  8  magic 89 53 59 4C 0D 0A 1A 0A: "SYL" between bytes that a transfer as text would break
//	 8  2  format version, 1
//	10  2  reserved, 0
//	12  4  checksum
//
// Block, 24 bytes and its payload:
//
//	 0  1  kind: 1 begin, 2 records, 3 end, 4 finish
//	 1  1  section id; 0 in a finish block
//	 2  2  section version; 0 in a finish block
//	 4  4  n, the length of the payload
//	 8  8  sequence number: the number of blocks before this one
//	16  4  checksum
//	20  n  payload
//	20+n 4 checksum
//
// Payload by kind:
//
//	begin    empty
//	records  one record or more, each a length of 4 bytes (at most 8 MiB) and that many bytes; at most 8 MiB + 4 in all
//	end      8 bytes: the number of records in the section
//	finish   16 bytes: the number of blocks before this one (8), the number of records in all sections (8)
//
// The order is (begin records* end)* finish. A section id occurs once. Blocks of a section repeat its id and version. A
// record never spans blocks. Writers close a block at about 256 KiB; a larger record has one of its own.
//
// # Checksums
//
// Every checksum is the CRC-32C (Castagnoli) of all bytes of the file before it, other checksums left out. So each
// vouches for its own block and for the blocks before it, and the last four bytes vouch for the whole file, all in one
// pass. A block is still checkable alone: the CRC continues from the checksum before it.
//
// Leaving checksums out is essential. The CRC of a message followed by its own CRC does not depend on the message, so a
// CRC over blocks that each carry their own would say nothing about what is in them.
//
// The checksum behind a block's header is checked before its length is believed, and the length is bounded as well:
// checksums detect accidents, they do not stop a forger, who can compute them. Only bounds do.
package snapshot
