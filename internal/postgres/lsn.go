package postgres

import (
	"fmt"
	"strconv"
	"strings"
)

// LSN is a position in the WAL, in bytes. 0 is no valid position: "not known". Compare
// with <, ==, >.
type LSN uint64

// ParseLSN reads PostgreSQL's form, "16/B374D848".
func ParseLSN(text string) (LSN, error) {
	high, low, ok := strings.Cut(text, "/")
	if ok {
		h, errHigh := parseHex32(high)
		l, errLow := parseHex32(low)
		if errHigh == nil && errLow == nil {
			return LSN(h)<<32 | LSN(l), nil
		}
	}
	return 0, fmt.Errorf("%q is not an LSN: want two hexadecimal numbers like 16/B374D848", text)
}

// parseHex32 takes 1 to 8 hexadecimal digits and nothing else, no sign and no "0x".
func parseHex32(text string) (uint32, error) {
	if len(text) > 8 {
		return 0, strconv.ErrRange
	}
	n, err := strconv.ParseUint(text, 16, 32)
	return uint32(n), err
}

// String is PostgreSQL's form.
func (l LSN) String() string {
	return fmt.Sprintf("%X/%X", uint32(l>>32), uint32(l)) //nolint:gosec // the halves are meant
}

// Diff is l − from in bytes, as pg_wal_lsn_diff: negative when l is behind.
func (l LSN) Diff(from LSN) int64 {
	return int64(l - from) //nolint:gosec // wraps on purpose
}

// MarshalText makes an LSN readable in JSON.
func (l LSN) MarshalText() ([]byte, error) {
	return []byte(l.String()), nil
}

// UnmarshalText reads what MarshalText wrote.
func (l *LSN) UnmarshalText(text []byte) error {
	parsed, err := ParseLSN(string(text))
	if err != nil {
		return err
	}
	*l = parsed
	return nil
}
