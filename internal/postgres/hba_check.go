package postgres

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// LineProblem is one thing wrong with a line of pg_hba or pg_ident.
type LineProblem struct {
	// Line counts the manifest's entries from 1.
	Line int
	Text string
	// Message says what is wrong and what to do.
	Message string
}

// String is one line for a condition or an event.
func (p LineProblem) String() string {
	return fmt.Sprintf("line %d (%s): %s", p.Line, p.Text, p.Message)
}

// ValidateHBA checks postgresql.pg_hba of the manifest, since a server refuses the whole
// file for one bad line. Major 0 takes what any supported major takes.
func ValidateHBA(major int, rules []string) []LineProblem {
	return checkLines(rules, func(fields []hbaField) error { return checkHBARule(major, fields) })
}

// ValidateIdent checks postgresql.pg_ident of the manifest.
func ValidateIdent(lines []string) []LineProblem {
	return checkLines(lines, checkIdentLine)
}

func checkLines(lines []string, check func([]hbaField) error) []LineProblem {
	var problems []LineProblem
	for i, line := range lines {
		fields, err := splitHBALine(line)
		if err == nil && len(fields) > 0 {
			err = check(fields)
		}
		if err != nil {
			problems = append(problems, LineProblem{Line: i + 1, Text: line, Message: err.Error()})
		}
	}
	return problems
}

func checkIdentLine(fields []hbaField) error {
	if err := refuseInclude(fields); err != nil {
		return err
	}
	if len(fields) != 3 {
		return fmt.Errorf("has %d fields: want map name, system user and database user", len(fields))
	}
	if fields[0][0].text == LocalMap {
		return fmt.Errorf("the map %s lets the instance itself in: use another name", LocalMap)
	}
	return nil
}

// checkHBARule holds the grammar: type database user [address [mask]] method [option…].
func checkHBARule(major int, fields []hbaField) error {
	if err := refuseInclude(fields); err != nil {
		return err
	}
	kind := fields[0][0].text
	if !slices.Contains(hbaTypes(), kind) || len(fields[0]) > 1 {
		return fmt.Errorf("%q is not a connection type: use %s", kind, strings.Join(hbaTypes(), ", "))
	}
	rule := hbaRule{kind: kind, major: major}
	fixedFields := 4
	if kind != "local" {
		fixedFields = 5
	}
	if len(fields) < fixedFields {
		return fmt.Errorf("has %d fields, a %s rule needs %s", len(fields), kind, rule.shape())
	}
	if err := refuseFiles(fields[1], fields[2]); err != nil {
		return err
	}
	rest := fields[3:]
	if kind != "local" {
		used, err := checkAddress(fields[3:])
		if err != nil {
			return err
		}
		rest = fields[3+used:]
	}
	if len(rest) == 0 {
		return fmt.Errorf("has no method: a %s rule needs %s", kind, rule.shape())
	}
	if len(rest[0]) > 1 {
		return errors.New("has more than one method: write a rule for each")
	}
	rule.method = rest[0][0].text
	if err := rule.checkMethod(); err != nil {
		return err
	}
	return rule.checkOptions(rest[1:])
}

func hbaTypes() []string {
	return []string{"local", "host", "hostssl", "hostnossl", "hostgssenc", "hostnogssenc"}
}

// refuseInclude keeps out directives that read the pod's files.
func refuseInclude(fields []hbaField) error {
	if word := fields[0][0]; strings.HasPrefix(word.text, "include") && !word.quoted {
		return fmt.Errorf("%s reads a file of the pod: write its lines here instead", word.text)
	}
	return nil
}

// refuseFiles keeps out lists of names in files, "@file".
func refuseFiles(fields ...hbaField) error {
	for _, token := range slices.Concat(fields...) {
		if !token.quoted && strings.HasPrefix(token.text, "@") {
			return fmt.Errorf("%s reads a file of the pod: write the names here, with commas between", token.text)
		}
	}
	return nil
}

// checkAddress reads the address column, and the mask's where there is one; it says how many.
func checkAddress(fields []hbaField) (int, error) {
	if len(fields[0]) > 1 {
		return 0, errors.New("has more than one address: write a rule for each")
	}
	token := fields[0][0]
	text := token.text
	if token.is("all") || token.is("samehost") || token.is("samenet") {
		return 1, nil
	}
	if strings.Contains(text, "/") {
		if _, err := netip.ParsePrefix(text); err != nil {
			return 0, fmt.Errorf("%q is not an address range: want one like 10.0.0.0/8 or fd00::/8", text)
		}
		return 1, nil
	}
	if address, err := netip.ParseAddr(text); err == nil {
		return 2, checkMask(address, fields[1:])
	}
	if strings.Trim(text, "0123456789.") == "" || strings.Contains(text, ":") {
		return 0, fmt.Errorf("%q is not an address: want one like 10.1.2.3/32", text)
	}
	for i := range len(text) {
		if !isAlphanumeric(text[i]) && strings.IndexByte(".-_", text[i]) < 0 {
			return 0, fmt.Errorf("%q is neither an address nor a host name: use all, 10.0.0.0/8 or .example.org", text)
		}
	}
	return 1, nil
}

// checkMask needs a mask of the same family after an address without a length.
func checkMask(address netip.Addr, rest []hbaField) error {
	if len(rest) > 0 && len(rest[0]) == 1 {
		if mask, err := netip.ParseAddr(rest[0][0].text); err == nil && mask.Is4() == address.Is4() {
			return nil
		}
	}
	return fmt.Errorf("%s has no length: write %s/%d for this address alone", address, address, address.BitLen())
}
