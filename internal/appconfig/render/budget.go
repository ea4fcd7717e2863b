package render

import (
	"fmt"
	"reflect"
)

// What one rendering of an AppConfig may use.
const (
	// maxTurns of all loops together.
	maxTurns = 100_000
	// maxWork is the bytes that functions may read and make together.
	maxWork = 16 << 20
	// maxOutput is what a ConfigMap can hold.
	maxOutput = 1 << 20
	// maxDepth of lists in lists: printing them is recursive.
	maxDepth = 32
)

// budget is what is left for a rendering.
type budget struct {
	turns, work, out int
	expired          func() bool
}

func newBudget(expired func() bool) *budget {
	return &budget{turns: maxTurns, work: maxWork, out: maxOutput, expired: expired}
}

// limitError says that a template wants too much. Its place may not be known.
type limitError struct {
	line, column int
	message      string
}

func (e *limitError) Error() string { return e.message }

// turn counts one turn of the loop, or one use of the named template, at a place.
func (b *budget) turn(line, column int) (string, error) {
	b.turns--

	switch {
	case b.turns < 0:
		return "", &limitError{line, column, fmt.Sprintf("more than %d turns of loops; does it end?", maxTurns)}
	case b.expired != nil && b.expired():
		return "", &limitError{line, column, "rendering takes too long"}
	default:
		return "", nil
	}
}

// charge for the work of a function; it panics with what text/template turns into an error of that function.
func (b *budget) charge(bytes int) {
	if bytes < 0 || bytes > b.work {
		panic(&limitError{message: fmt.Sprintf("functions work on more than %d MiB of data", maxWork>>20)})
	}

	b.work -= bytes
}

// output takes what a template writes.
func (b *budget) output(bytes int) error {
	if bytes > b.out {
		return &limitError{message: fmt.Sprintf("the result is larger than %d MiB, which a ConfigMap cannot hold", maxOutput>>20)}
	}

	b.out -= bytes

	return nil
}

// size of a value in bytes, roughly. It panics for one that is nested too deeply.
func size(value reflect.Value, depth int) int {
	if depth > maxDepth {
		panic(&limitError{message: fmt.Sprintf("lists are nested more than %d deep", maxDepth)})
	}

	const item = 16

	switch value.Kind() { //nolint:exhaustive // the other kinds hold no values
	case reflect.String:
		return item + value.Len()
	case reflect.Interface, reflect.Pointer:
		if value.IsNil() {
			return item
		}

		return item + size(value.Elem(), depth+1)
	case reflect.Slice, reflect.Array:
		total := item
		for i := range value.Len() {
			total += size(value.Index(i), depth+1)
		}

		return total
	case reflect.Map:
		total := item
		for entries := value.MapRange(); entries.Next(); {
			total += size(entries.Key(), depth+1) + size(entries.Value(), depth+1)
		}

		return total
	default:
		return item
	}
}
