package postgres

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// unit is a unit of measure: its name as PostgreSQL writes it (case matters), and its size
// in bytes or microseconds.
type unit struct {
	name string
	size float64
}

func memoryUnits() []unit {
	return []unit{
		{"TB", 1 << 40}, {"GB", 1 << 30}, {"MB", 1 << 20}, {"kB", 1 << 10}, {"B", 1},
	}
}

func timeUnits() []unit {
	return []unit{
		{"d", 86400e6}, {"h", 3600e6}, {"min", 60e6}, {"s", 1e6}, {"ms", 1e3}, {"us", 1},
	}
}

// unitsFor gives the units that may follow a value of a parameter with that base unit, the
// largest first, and the size of the base unit.
func unitsFor(base string) (all []unit, size float64) {
	if base == "" {
		return nil, 1
	}
	factor, name := 1.0, base
	if digits := leadingDigits(base); digits != "" {
		factor, _ = strconv.ParseFloat(digits, 64)
		name = base[len(digits):]
	}
	for _, units := range [][]unit{memoryUnits(), timeUnits()} {
		for _, u := range units {
			if u.name == name {
				return units, u.size * factor
			}
		}
	}
	return nil, 1
}

// parseBool takes what PostgreSQL takes: on, off, 1, 0, and any beginning of true, false,
// yes and no, in any case.
func parseBool(text string) (value, ok bool) {
	text = strings.ToLower(text)
	switch {
	case text == "":
		return false, false
	case text == "1", text == "on", strings.HasPrefix("true", text), strings.HasPrefix("yes", text):
		return true, true
	case text == "0", text == "of", text == "off", strings.HasPrefix("false", text), strings.HasPrefix("no", text):
		return false, true
	default:
		return false, false
	}
}

var (
	errNotNumber = errors.New("not a number")
	errNoUnit    = errors.New("takes no unit")
	errBadUnit   = errors.New("unknown unit")
)

// parseQuantity reads a number, with or without a unit, and gives it in the base unit,
// unrounded but for PostgreSQL's rule that a fraction of a unit ("30.1GB") is rounded to a
// whole number of the next smaller one.
func parseQuantity(text, base string) (float64, error) {
	text = strings.TrimLeft(text, " \t\n\v\f\r")
	length := numberLength(text)
	value, err := parseNumber(text[:length])
	if err != nil {
		return 0, err
	}
	name := strings.Trim(text[length:], " \t\n\v\f\r")
	if name == "" {
		return value, nil
	}
	units, baseSize := unitsFor(base)
	if units == nil {
		return 0, errNoUnit
	}
	for i, u := range units {
		if u.name != name {
			continue
		}
		if i+1 < len(units) {
			next := units[i+1].size
			return math.RoundToEven(value*u.size/next) * next / baseSize, nil
		}
		return value * u.size / baseSize, nil
	}
	return 0, errBadUnit
}

// parseNumber takes C's notation: decimal, with fraction and exponent, hexadecimal (0x1F)
// and octal (017).
func parseNumber(text string) (float64, error) {
	digits := strings.TrimLeft(text, "+-")
	octalOrHex := len(digits) > 1 && digits[0] == '0' && !strings.ContainsAny(digits, ".eE")
	if octalOrHex || strings.HasPrefix(strings.ToLower(digits), "0x") {
		if n, err := strconv.ParseInt(strings.TrimPrefix(text, "+"), 0, 64); err == nil && !strings.Contains(text, "_") {
			return float64(n), nil
		}
		return 0, errNotNumber
	}
	value, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(value) || math.IsInf(value, 0) {
		return 0, errNotNumber
	}
	return value, nil
}

// numberLength is how many bytes at the start of text are a number.
func numberLength(text string) int {
	i := 0
	if i < len(text) && (text[i] == '+' || text[i] == '-') {
		i++
	}
	if rest := strings.ToLower(text[i:]); strings.HasPrefix(rest, "0x") {
		return i + 2 + len(rest[2:]) - len(strings.TrimLeft(rest[2:], "0123456789abcdef"))
	}
	i += len(leadingDigits(text[i:]))
	if i < len(text) && text[i] == '.' {
		i++
		i += len(leadingDigits(text[i:]))
	}
	if i < len(text) && (text[i] == 'e' || text[i] == 'E') {
		j := i + 1
		if j < len(text) && (text[j] == '+' || text[j] == '-') {
			j++
		}
		if n := len(leadingDigits(text[j:])); n > 0 {
			i = j + n
		}
	}
	return i
}

// number reads a value of an integer or real parameter, in its base unit.
func (p Parameter) number(value string) (float64, error) {
	number, err := parseQuantity(value, p.Unit)
	if p.Type == "integer" {
		number = math.RoundToEven(number)
	}
	return number, err
}

// checkValue says what is wrong with a value of the parameter; "" when nothing is.
func (p Parameter) checkValue(value string) string {
	switch p.Type {
	case "bool":
		if _, ok := parseBool(value); !ok {
			return fmt.Sprintf("%q is not a boolean: use on or off", value)
		}
	case "enum":
		if !p.takesEnum(value) {
			return fmt.Sprintf("%q is not one of its values: use %s", value, strings.Join(p.Values(), ", "))
		}
	case "integer", "real":
		number, err := p.number(value)
		return p.checkNumber(value, number, err)
	}
	return ""
}

// takesEnum compares without case, and knows PostgreSQL's unlisted spellings.
func (p Parameter) takesEnum(value string) bool {
	values := p.Values()
	if slices.ContainsFunc(values, func(known string) bool { return strings.EqualFold(known, value) }) {
		return true
	}
	switch strings.ToLower(value) {
	case "true", "false", "yes", "no", "1", "0":
		return slices.Contains(values, "on") && slices.Contains(values, "off")
	case "debug":
		return slices.Contains(values, "debug2")
	default:
		return false
	}
}

func (p Parameter) checkNumber(value string, number float64, err error) string {
	units, _ := unitsFor(p.Unit)
	low, _ := strconv.ParseFloat(p.Min, 64)
	high, _ := strconv.ParseFloat(p.Max, 64)
	switch {
	case errors.Is(err, errNoUnit):
		return fmt.Sprintf("%q has a unit, but the parameter takes a plain number", value)
	case errors.Is(err, errBadUnit):
		return fmt.Sprintf("%q has an unknown unit: use %s (case matters)", value, unitNames(units))
	case err != nil && units != nil:
		return fmt.Sprintf("%q is not a number: use one with a unit (%s), or without for %s", value, unitNames(units), p.Unit)
	case err != nil:
		return fmt.Sprintf("%q is not a number", value)
	case number < low || number > high:
		return fmt.Sprintf("%q is out of range: use %s to %s", value, humanQuantity(low, p.Unit), humanQuantity(high, p.Unit))
	default:
		return ""
	}
}

func unitNames(units []unit) string {
	list := make([]string, len(units))
	for i, u := range units {
		list[len(units)-1-i] = u.name
	}
	return strings.Join(list, ", ")
}

// humanQuantity writes a bound in the largest unit that it fills, with at most one decimal,
// rounded down so that it is allowed itself: 2147483647 ms is "24.8d". Special values, 0 and
// below, stay as they are.
func humanQuantity(value float64, base string) string {
	units, size := unitsFor(base)
	for _, u := range units {
		if scaled := value * size / u.size; scaled >= 1 {
			return strconv.FormatFloat(math.Floor(scaled*10)/10, 'f', -1, 64) + u.name
		}
	}
	return strconv.FormatFloat(value, 'f', -1, 64)
}

// sameValue says whether two spellings are one value, for booleans, numbers and words.
func sameValue(a, b string) bool {
	if strings.EqualFold(a, b) {
		return true
	}
	x, okX := parseBool(a)
	y, okY := parseBool(b)
	if okX && okY {
		return x == y
	}
	m, errM := parseNumber(a)
	n, errN := parseNumber(b)
	return errM == nil && errN == nil && m == n
}
