package postgres

import (
	"errors"
	"strings"
)

// hbaToken is one word of pg_hba or pg_ident. A quoted one is never a keyword.
type hbaToken struct {
	text   string
	quoted bool
}

// is says whether the token is that keyword.
func (t hbaToken) is(keyword string) bool {
	return !t.quoted && t.text == keyword
}

// hbaField is one column: a list of tokens with commas between.
type hbaField []hbaToken

var (
	errOpenQuote    = errors.New("a double quote is not closed: add one")
	errContinuation = errors.New("ends with a backslash: write the rule in one line")
	errLineEnd      = errors.New("holds a line end: write one rule in each entry")
)

// splitHBALine splits a line as PostgreSQL does: white space between fields, commas between
// the tokens of one, double quotes around what is neither, # before a comment.
func splitHBALine(line string) ([]hbaField, error) {
	if strings.ContainsAny(line, "\n\r\x00") {
		return nil, errLineEnd
	}
	if strings.HasSuffix(line, `\`) {
		return nil, errContinuation
	}
	lexer := hbaLexer{rest: line}
	var fields []hbaField
	for {
		field, err := lexer.field()
		if err != nil || len(field) == 0 {
			return fields, err
		}
		fields = append(fields, field)
	}
}

type hbaLexer struct{ rest string }

// field reads tokens as long as a comma follows, after or before white space.
func (l *hbaLexer) field() (hbaField, error) {
	var field hbaField
	for {
		l.rest = strings.TrimLeft(l.rest, " \t,")
		if l.rest == "" || l.rest[0] == '#' {
			return field, nil
		}
		token, err := l.token()
		if err != nil {
			return nil, err
		}
		field = append(field, token)
		if !strings.HasPrefix(l.rest, ",") {
			return field, nil
		}
	}
}

// token reads one; quotes may begin anywhere in it, and "" in quotes is one quote.
func (l *hbaLexer) token() (hbaToken, error) {
	var text strings.Builder
	token, open := hbaToken{}, false
	i := 0
	for ; i < len(l.rest); i++ {
		c := l.rest[i]
		switch {
		case c == '"' && open && i+1 < len(l.rest) && l.rest[i+1] == '"':
			text.WriteByte(c)
			i++
		case c == '"':
			open = !open
			token.quoted = token.quoted || i == 0
		case !open && strings.IndexByte(" \t,#", c) >= 0:
			l.rest = l.rest[i:]
			token.text = text.String()
			return token, nil
		default:
			text.WriteByte(c)
		}
	}
	l.rest, token.text = "", text.String()
	if open {
		return hbaToken{}, errOpenQuote
	}
	return token, nil
}
