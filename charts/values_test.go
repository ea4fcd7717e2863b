package charts_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

const reference = "../docs/reference/values.md"

var update = flag.Bool("update", false, "write docs/reference/values.md")

// TestValuesReference keeps the page of the chart's values in step with the comments in values.yaml.
func TestValuesReference(t *testing.T) {
	content, err := os.ReadFile("caretaker/values.yaml")
	if err != nil {
		t.Fatal(err)
	}

	var document yaml.Node
	if err := yaml.Unmarshal(content, &document); err != nil {
		t.Fatal(err)
	}

	page := &strings.Builder{}
	page.WriteString(`# Values of the chart

Generated from the comments in ` + "`charts/caretaker/values.yaml`" + ` by ` + "`make generate`" + `. An unknown value, or one of another type, is refused by
` + "`helm install`" + ` with its name.

| value | default | meaning |
|---|---|---|
`)
	rows(t, page, "", document.Content[0])

	if *update {
		if err := os.WriteFile(reference, []byte(page.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	existing, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}

	if diff := cmp.Diff(page.String(), string(existing)); diff != "" {
		t.Errorf("%s is not up to date; run make generate (-want +got):\n%s", reference, diff)
	}
}

// rows are one line for each value that has a comment; those without one must be groups.
func rows(t *testing.T, page *strings.Builder, prefix string, mapping *yaml.Node) {
	t.Helper()

	for i := 0; i < len(mapping.Content); i += 2 {
		key, value := mapping.Content[i], mapping.Content[i+1]
		name := prefix + key.Value
		comment := strings.TrimSpace(strings.ReplaceAll(strings.ReplaceAll(key.HeadComment, "# ", ""), "\n", " "))

		// The file's own comment is separated from the first key by an empty line.
		if paragraphs := strings.Split(key.HeadComment, "\n\n"); len(paragraphs) > 1 {
			comment = strings.TrimPrefix(paragraphs[len(paragraphs)-1], "# ")
		}

		if comment == "" {
			if value.Kind != yaml.MappingNode || len(value.Content) == 0 {
				t.Errorf("%s has no comment", name)
			}

			rows(t, page, name+".", value)

			continue
		}

		fmt.Fprintf(page, "| `%s` | %s | %s |\n", name, defaultOf(t, value), strings.ReplaceAll(comment, "|", "\\|"))
	}
}

func defaultOf(t *testing.T, value *yaml.Node) string {
	t.Helper()

	if value.Kind == yaml.ScalarNode && value.Value == "" {
		return ""
	}

	value.Style |= yaml.FlowStyle

	for _, child := range value.Content {
		child.Style |= yaml.FlowStyle
	}

	text, err := yaml.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}

	return "`" + strings.TrimSpace(string(text)) + "`"
}
