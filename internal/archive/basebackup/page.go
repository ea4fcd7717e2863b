package basebackup

import (
	"encoding/binary"

	"github.com/caretaker-dev/caretaker/internal/postgres"
)

// PostgreSQL's page checksum (storage/checksum_impl.h): 32 interleaved FNV-1a-like sums over the page's words, mixed with the
// block number. The header's own checksum counts as zero.
const (
	fnvPrime      = 16777619
	checksumLanes = 32

	pageHeaderBytes = 24
	checksumAt      = 8
	upperAt         = 14
)

func checksumSeeds() [checksumLanes]uint32 {
	return [checksumLanes]uint32{
		0x5B1F36E9, 0xB8525960, 0x02AB50AA, 0x1DE66D2A, 0x79FF467A, 0x9BB9F8A3, 0x217E7CD2, 0x83E13D2C,
		0xF8D4474F, 0xE39EB970, 0x42C6AE16, 0x993216FA, 0x7B093B5D, 0x98DAFF3C, 0xF718902A, 0x0B1C9CDB,
		0xE58F764B, 0x187636BC, 0x5D7B3BB1, 0xE73DE7DE, 0x92BEC979, 0xCCA6C0B2, 0x304A0979, 0x85AA43D4,
		0x783125BB, 0x6CA8EAA2, 0xE407EAC6, 0x4B5CFC3E, 0x9FBF8C76, 0x15CA20BE, 0xF2CA9FD3, 0x959BD756,
	}
}

// pageChecksum of a whole page, whose number is counted from the start of the relation's fork.
func pageChecksum(page []byte, block uint32) uint16 {
	sums := checksumSeeds()

	// The first row holds the checksum itself, in the lower half of the third word.
	for lane := range sums {
		word := binary.LittleEndian.Uint32(page[4*lane:])
		if lane == checksumAt/4 {
			word &= 0xFFFF0000
		}

		mixed := sums[lane] ^ word
		sums[lane] = mixed*fnvPrime ^ mixed>>17
	}

	for row := page[4*checksumLanes:]; len(row) >= 4*checksumLanes; row = row[4*checksumLanes:] {
		words := row[: 4*checksumLanes : 4*checksumLanes]
		for lane := range sums {
			mixed := sums[lane] ^ binary.LittleEndian.Uint32(words[4*lane:4*lane+4])
			sums[lane] = mixed*fnvPrime ^ mixed>>17
		}
	}

	result := uint32(0)

	for _, mixed := range sums {
		// Two rounds of zeroes at the end.
		mixed = mixed*fnvPrime ^ mixed>>17
		mixed = mixed*fnvPrime ^ mixed>>17
		result ^= mixed
	}

	result ^= block

	return uint16(result%65535 + 1)
}

func pageLSN(page []byte) postgres.LSN {
	return postgres.LSN(binary.LittleEndian.Uint32(page))<<32 | postgres.LSN(binary.LittleEndian.Uint32(page[4:]))
}

// isNewPage: it was added and never used; such a page has no checksum. It must be zero throughout.
func isNewPage(page []byte) bool {
	return binary.LittleEndian.Uint16(page[upperAt:]) == 0
}

func isZero(page []byte) bool {
	for len(page) >= 8 {
		if binary.LittleEndian.Uint64(page) != 0 {
			return false
		}

		page = page[8:]
	}

	return true
}

// isPageGood says whether a page's checksum is right.
func isPageGood(page []byte, block uint32) bool {
	if isNewPage(page) {
		return isZero(page)
	}

	return binary.LittleEndian.Uint16(page[checksumAt:]) == pageChecksum(page, block)
}
