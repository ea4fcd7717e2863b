package conditions

import "strings"

// columns is how long a message may be that is printed in a column.
const columns = 100

// brief is a message for a column: its first clauses, as far as they fit, and what it ends with in parentheses, such as
// "(2 of 3 instances ready)". What is left out is a remedy most often; Reconciling or Stalled has all of it.
func brief(message string) string {
	message = strings.Join(strings.Fields(message), " ")
	if len(message) <= columns {
		return message
	}

	body, tail := message, ""

	if i := strings.LastIndex(message, " ("); i > 0 && strings.HasSuffix(message, "ready)") {
		body, tail = message[:i], message[i:]
	}

	limit := max(columns-len(tail), columns/2)
	if len(body) <= limit {
		return body + tail
	}

	end := -1
	for _, separator := range []string{"; ", ". "} {
		end = max(end, strings.LastIndex(body[:limit], separator))
	}

	if end > 0 {
		return body[:end] + tail
	}

	// No clause ends there: the last whole word does.
	const ellipsis = "…"

	body = strings.ToValidUTF8(body[:limit-len(ellipsis)], "")
	if i := strings.LastIndex(body, " "); i > 0 {
		body = body[:i]
	}

	return strings.TrimRight(body, ",:;") + ellipsis + tail
}
