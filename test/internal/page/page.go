package page

import (
	"bytes"
	"fmt"
	"os"
)

// WriteTable puts a table of Markdown in the place of the one that the page has between its marks: a line
// "<!-- NAME table: written by COMMAND -->" and a line "<!-- end of the NAME table -->".
func WriteTable(path, name, command, table string) error {
	begin := fmt.Sprintf("<!-- %s table: written by %s -->\n", name, command)
	end := fmt.Sprintf("<!-- end of the %s table -->\n", name)

	content, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("write table: %w", err)
	}

	before, rest, found := bytes.Cut(content, []byte(begin))
	_, after, ends := bytes.Cut(rest, []byte(end))

	if !found || !ends {
		return fmt.Errorf("write table: %s lacks the lines %q and %q", path, begin, end)
	}

	page := string(before) + begin + table + end + string(after)
	if err := os.WriteFile(path, []byte(page), 0o644); err != nil { //nolint:gosec // A page of the docs is for everybody.
		return fmt.Errorf("write table: %w", err)
	}

	return nil
}
