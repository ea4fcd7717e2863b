package render

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
	"text/template"
)

// place is the line and column of a byte of a text, both from 1.
func place(text string, position int) (line, column int) {
	before := text[:min(position, len(text))]
	line = 1 + strings.Count(before, "\n")
	column = 1 + len(before) - (strings.LastIndex(before, "\n") + 1)

	return line, column
}

// executionPlace is how text/template tells where an execution failed; columns count from 0 there.
func executionPlace() *regexp.Regexp {
	return regexp.MustCompile(`^template: [^:]*:(\d+):(\d+): executing "[^"]*" at <(?s:.*?)>: ((?s).*)$`)
}

// parsePlace is how it tells where parsing failed.
func parsePlace() *regexp.Regexp {
	return regexp.MustCompile(`^template: [^:]*:(\d+): ((?s).*)$`)
}

// located turns an error of an execution into one with a place.
func located(s *source, err error) *Error {
	if limit, ok := errors.AsType[*limitError](err); ok {
		return &Error{Field: s.field, Line: limit.line, Column: limit.column, Message: limit.message}
	}

	found := executionPlace().FindStringSubmatch(err.Error())
	if found == nil {
		return &Error{Field: s.field, Message: err.Error()}
	}

	line, _ := strconv.Atoi(found[1])
	column, _ := strconv.Atoi(found[2])

	return &Error{Field: s.field, Line: line, Column: column + 1, Message: told(found[3])}
}

// told is a message without Go's own words.
func told(message string) string {
	if _, after, found := strings.Cut(message, "error calling fail: "); found {
		return after
	}

	return strings.TrimPrefix(message, "template: ")
}

// parseError finds the column, which the parser does not tell: that of the first action that breaks what comes before it.
func parseError(field, text string, err error) *Error {
	found := parsePlace().FindStringSubmatch(err.Error())
	if found == nil {
		return &Error{Field: field, Message: err.Error()}
	}

	line, _ := strconv.Atoi(found[1])
	position := culprit(text, found[2])

	if at, column := place(text, position); position >= 0 && at <= line {
		return &Error{Field: field, Line: at, Column: column, Message: explained(found[2])}
	}

	return &Error{Field: field, Line: line, Column: 1, Message: explained(found[2])}
}

// culprit is where the action begins that the text fails with; -1 if it cannot be told.
func culprit(text, message string) int {
	start := 0

	for {
		begin := strings.Index(text[start:], "{{")
		if begin < 0 {
			return -1
		}

		begin += start

		length := strings.Index(text[begin:], "}}")
		if length < 0 {
			return begin
		}

		end := begin + length + len("}}")

		_, err := template.New("t").Funcs(functions(newBudget(nil))).Parse(text[:end])
		if err != nil && strings.HasSuffix(err.Error(), message) {
			return begin
		}

		start = end
	}
}

// explained adds what to do to what the parser says.
func explained(message string) string {
	switch {
	case strings.Contains(message, "function ") && strings.Contains(message, "not defined"):
		return message + "; see the functions in docs/how-to/appconfig.md (none reaches the environment, files, the network, the clock or randomness)"
	case message == "unexpected EOF":
		return "the template ends too early: an {{ end }} is missing"
	default:
		return message
	}
}
