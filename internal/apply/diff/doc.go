// Package diff says whether a live object still is what was asked for.
//
// Two questions, because neither alone is enough. The hash of the desired object, kept in an annotation, tells that we
// want something else than before, removals included. Comparing field by field tells that somebody changed the live
// object by hand; fields that we do not set (defaults, what others add) are not looked at.
//
// It is pure.
package diff
