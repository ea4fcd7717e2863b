package render

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig/v3"
)

// functionTick counts the turns of loops; nobody but inspect calls it.
const functionTick = "caretakerTick"

// Functions are the names of the functions that templates may use beside those of text/template, sorted.
func Functions() []string {
	names := strings.Fields(`
		abbrev abbrevboth trunc trim upper lower title untitle substr repeat trimAll trimSuffix trimPrefix nospace initials
		swapcase snakecase camelcase kebabcase wrap wrapWith contains hasPrefix hasSuffix quote squote cat indent nindent
		replace plural sha1sum sha256sum sha512sum adler32sum toString atoi int64 int float64 toDecimal split splitList splitn
		toStrings until untilStep add1 add sub div mod mul add1f addf subf divf mulf biggest max min maxf minf ceil floor round
		join sortAlpha default empty coalesce all any compact fromJson toJson toPrettyJson toRawJson mustFromJson mustToJson
		mustToPrettyJson mustToRawJson ternary typeOf typeIs typeIsLike kindOf kindIs deepEqual base dir clean ext isAbs
		b64enc b64dec b32enc b32dec tuple list dict get hasKey pluck keys pick omit values append prepend first rest last initial
		reverse has concat dig semver semverCompare fail regexMatch regexFindAll regexFind regexReplaceAll
		regexReplaceAllLiteral regexSplit regexQuoteMeta urlParse urlJoin`)
	slices.Sort(names)

	return names
}

// functions are bounded by a budget: each is charged for what it is given and for what it makes.
func functions(b *budget) template.FuncMap {
	all := sprig.TxtFuncMap()
	// The order of maps is random: the same input must give the same output.
	all["keys"], all["values"] = keys, values

	bounded := template.FuncMap{functionTick: b.turn}

	for _, name := range Functions() {
		bounded[name] = b.bound(name, all[name])
	}

	for name, f := range map[string]any{
		"print": fmt.Sprint, "println": fmt.Sprintln, "printf": printf,
		"html": template.HTMLEscaper, "js": template.JSEscaper, "urlquery": template.URLQueryEscaper,
	} {
		bounded[name] = b.bound(name, f)
	}

	return bounded
}

// bound wraps a function.
func (b *budget) bound(name string, f any) any {
	function := reflect.ValueOf(f)

	return reflect.MakeFunc(function.Type(), func(arguments []reflect.Value) []reflect.Value {
		total := 0
		for _, argument := range arguments {
			total += size(argument, 0)
		}

		b.charge(total)
		b.charge(estimate(name, flat(arguments)))

		var results []reflect.Value
		if function.Type().IsVariadic() {
			results = function.CallSlice(arguments)
		} else {
			results = function.Call(arguments)
		}

		if len(results) > 0 {
			b.charge(size(results[0], 0))
		}

		return results
	}).Interface()
}

// estimate is the work of a function that makes more than it is given, known before it runs.
func estimate(name string, arguments []any) int {
	switch name {
	case "repeat", "indent", "nindent":
		// indent puts as much before every line.
		return product(abs(number(arguments, 0)), 1+len(text(arguments, 1)))
	case "until":
		return product(abs(number(arguments, 0)), 16)
	case "untilStep":
		return product(abs(number(arguments, 1))+abs(number(arguments, 0)), 16)
	case "replace", "join", "wrap", "wrapWith", "printf", "regexMatch", "regexFindAll", "regexFind", "regexReplaceAll",
		"regexReplaceAllLiteral", "regexSplit", "split", "splitList", "splitn":
		total := 1
		for _, argument := range arguments {
			total = product(total, max(1, len(fmt.Sprint(argument))))
		}

		return total
	default:
		return 0
	}
}

// flat are the arguments with the variadic ones spread out.
func flat(arguments []reflect.Value) []any {
	var all []any

	for _, argument := range arguments {
		if list, ok := reflect.TypeAssert[[]any](argument); ok && argument.Kind() == reflect.Slice {
			all = append(all, list...)
		} else {
			all = append(all, argument.Interface())
		}
	}

	return all
}

// number that an argument stands for, as sprig reads it; the largest for one that is not seen through.
func number(arguments []any, i int) int {
	if i >= len(arguments) {
		return 0
	}

	value := reflect.ValueOf(arguments[i])

	switch {
	case !value.IsValid():
		return 0
	case value.CanInt():
		return int(min(max(value.Int(), -math.MaxInt32), math.MaxInt32))
	case value.CanUint():
		return int(min(value.Uint(), math.MaxInt32))
	case value.CanFloat():
		return int(min(max(value.Float(), -math.MaxInt32), math.MaxInt32))
	case value.Kind() == reflect.Bool:
		return 1
	default:
		var n int
		if _, err := fmt.Sscan(fmt.Sprint(arguments[i]), &n); err != nil {
			return 0
		}

		return min(max(n, -math.MaxInt32), math.MaxInt32)
	}
}

func text(arguments []any, i int) string {
	if i >= len(arguments) {
		return ""
	}

	return fmt.Sprint(arguments[i])
}

// product does not run over.
func product(a, b int) int {
	if a > 0 && b > math.MaxInt32/a {
		return math.MaxInt32
	}

	return a * b
}

func abs(n int) int { return max(n, -n) }

// printf without widths that fill memory.
func printf(format string, arguments ...any) (string, error) {
	if regexp.MustCompile(`%[^a-zA-Z%]*(\*|[0-9]{4})`).MatchString(format) {
		return "", errors.New("a width of more than three digits, or '*'")
	}

	return fmt.Sprintf(format, arguments...), nil
}

// keys of maps, sorted.
func keys(dicts ...map[string]any) []string {
	var all []string
	for _, dict := range dicts {
		all = append(all, slices.Sorted(maps.Keys(dict))...)
	}

	return all
}

// values of a map, in the order of its keys.
func values(dict map[string]any) []any {
	all := make([]any, 0, len(dict))
	for _, key := range slices.Sorted(maps.Keys(dict)) {
		all = append(all, dict[key])
	}

	return all
}
