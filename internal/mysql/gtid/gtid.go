// Package gtid compares sets of MySQL's global transaction identifiers: who has all transactions that another has. It is
// pure.
package gtid

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Set is intervals of transaction numbers by source, which is a server's UUID, with a tag where there is one.
type Set map[string][]Interval

// Interval of numbers, both ends included.
type Interval struct{ First, Last int64 }

// Parse reads a set as MySQL writes it: "uuid:1-5:7,uuid:tag:1-3". An empty text is an empty set.
func Parse(text string) (Set, error) {
	set := Set{}

	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}

		fields := strings.Split(part, ":")
		source := strings.ToLower(strings.TrimSpace(fields[0]))
		key := source

		for _, field := range fields[1:] {
			field = strings.TrimSpace(field)

			interval, ok := parseInterval(field)
			if !ok {
				if field == "" || field[0] >= '0' && field[0] <= '9' {
					return nil, fmt.Errorf("%q is no interval of transactions", field)
				}

				key = source + ":" + field

				continue
			}

			set[key] = append(set[key], interval)
		}
	}

	for key := range set {
		set[key] = merge(set[key])
	}

	return set, nil
}

func parseInterval(text string) (Interval, bool) {
	first, last, isRange := strings.Cut(text, "-")

	from, err := strconv.ParseInt(first, 10, 64)
	if err != nil {
		return Interval{}, false
	}

	if !isRange {
		return Interval{from, from}, true
	}

	to, err := strconv.ParseInt(last, 10, 64)

	return Interval{from, to}, err == nil && to >= from
}

func merge(intervals []Interval) []Interval {
	slices.SortFunc(intervals, func(a, b Interval) int { return cmp.Compare(a.First, b.First) })

	merged := intervals[:1]
	for _, next := range intervals[1:] {
		if last := &merged[len(merged)-1]; next.First <= last.Last+1 {
			last.Last = max(last.Last, next.Last)
		} else {
			merged = append(merged, next)
		}
	}

	return merged
}

// Contains says whether every transaction of other is in s.
func (s Set) Contains(other Set) bool {
	for source, intervals := range other {
		for _, wanted := range intervals {
			if !slices.ContainsFunc(s[source], func(have Interval) bool { return have.First <= wanted.First && wanted.Last <= have.Last }) {
				return false
			}
		}
	}

	return true
}
