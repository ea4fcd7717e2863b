package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// row is a line of the table: objects of one kind that belong to one kind.
type row struct{ owner, kind string }

// results of all changes.
type results struct {
	took map[row]map[change][]time.Duration
}

func newResults() *results { return &results{took: map[row]map[change][]time.Duration{}} }

func (r *results) add(object *owned, how change, took time.Duration) {
	key := row{owner: object.owner, kind: object.live.GetKind()}
	if r.took[key] == nil {
		r.took[key] = map[change][]time.Duration{}
	}

	r.took[key][how] = append(r.took[key][how], took)
}

func (r *results) rows() []row {
	return slices.SortedFunc(maps.Keys(r.took), func(a, b row) int {
		return cmp.Or(cmp.Compare(a.owner, b.owner), cmp.Compare(a.kind, b.kind))
	})
}

// table in Markdown.
func (r *results) table() string {
	var b strings.Builder

	b.WriteString("| of | what | edited: median, worst | deleted: median, worst |\n|---|---|---|---|\n")

	for _, key := range r.rows() {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", key.owner, key.kind, summary(r.took[key][edit]), summary(r.took[key][remove]))
	}

	return b.String()
}

func summary(took []time.Duration) string {
	if len(took) == 0 {
		return "–"
	}

	slices.Sort(took)

	worst := took[len(took)-1]
	if worst >= patience {
		return fmt.Sprintf("**not put right** within %.0f s", patience.Seconds())
	}

	text := fmt.Sprintf("%.2f s, %.2f s (%d)", took[len(took)/2].Seconds(), worst.Seconds(), len(took))
	if worst > limit {
		text += " **missed**"
	}

	return text
}

// missed names what took longer than promised.
func (r *results) missed() error {
	var wrong []error

	for _, key := range r.rows() {
		for _, how := range []change{edit, remove} {
			if took := r.took[key][how]; len(took) > 0 && slices.Max(took) > limit {
				wrong = append(wrong, fmt.Errorf("%s of a %s, %s: %.1f s until it was right again, promised are %.0f s",
					key.kind, key.owner, how, slices.Max(took).Seconds(), limit.Seconds()))
			}
		}
	}

	return errors.Join(wrong...)
}
