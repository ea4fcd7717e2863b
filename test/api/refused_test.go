package api

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/caretaker-dev/caretaker/test/internal/apiserver"
)

var update = flag.Bool("update", false, "write docs/reference/refused-input.md anew")

const (
	refusedTable = "testdata/refused.yaml"
	refusedPage  = "../../docs/reference/refused-input.md"
)

// The places where input is refused.
const (
	whereSchema    = "schema"
	whereCEL       = "CEL"
	whereReconcile = "reconcile"
)

type refusals struct {
	Manifest json.RawMessage  `json:"manifest"`
	Sections []refusalSection `json:"sections"`
}

type refusalSection struct {
	Title    string          `json:"title"`
	Manifest json.RawMessage `json:"manifest"`
	Rows     []refusal       `json:"rows"`
}

type refusal struct {
	Input   string            `json:"input"`
	Given   []json.RawMessage `json:"given"`
	Create  json.RawMessage   `json:"create"`
	Update  json.RawMessage   `json:"update"`
	Where   string            `json:"where"`
	Reason  string            `json:"reason"`
	Message string            `json:"message"`

	manifest json.RawMessage
}

// object is the row's manifest with patches in a namespace.
func (r refusal) object(t *testing.T, namespace string, patches ...json.RawMessage) *unstructured.Unstructured {
	t.Helper()

	manifest := []byte(r.manifest)

	for _, patch := range patches {
		if patch == nil {
			continue
		}

		var err error
		if manifest, err = jsonpatch.MergePatch(manifest, patch); err != nil {
			t.Fatalf("patch manifest: %v", err)
		}
	}

	object := &unstructured.Unstructured{}
	if err := json.Unmarshal(manifest, &object.Object); err != nil {
		t.Fatalf("decode manifest: %v", err)
	}

	object.SetNamespace(namespace)

	return object
}

// matches compares a message with the row's, in which * stands for anything.
func (r refusal) matches(message string) bool {
	pattern := strings.ReplaceAll(regexp.QuoteMeta(r.Message), `\*`, `.*`)

	return regexp.MustCompile(`(?s)` + pattern).MatchString(message)
}

func readRefusals(t *testing.T) refusals {
	t.Helper()

	content, err := os.ReadFile(refusedTable)
	if err != nil {
		t.Fatalf("read table: %v", err)
	}

	var table refusals
	if err := yaml.UnmarshalStrict(content, &table); err != nil {
		t.Fatalf("read table: %v", err)
	}

	for i := range table.Sections {
		section := &table.Sections[i]
		if section.Manifest == nil {
			section.Manifest = table.Manifest
		}

		for j := range section.Rows {
			section.Rows[j].manifest = section.Manifest
		}
	}

	return table
}

// TestRefusedByAPIServer sends every row that the API server itself must refuse.
func TestRefusedByAPIServer(t *testing.T) {
	server := suite.Server(t)
	ns := server.Namespace(t)

	for _, section := range readRefusals(t).Sections {
		for _, row := range section.Rows {
			if row.Where == whereReconcile {
				continue
			}

			t.Run(section.Title+"/"+row.Input, func(t *testing.T) {
				message := refusedMessage(t, server, ns, row)
				if !row.matches(message) {
					t.Errorf("refused with another message\n got: %s\nwant: %s", message, row.Message)
				}
			})
		}
	}
}

// refusedMessage sends a row and returns what the API server says against it.
func refusedMessage(t *testing.T, server *apiserver.Server, ns string, row refusal) string {
	t.Helper()

	ctx := t.Context()
	strict := client.WithFieldValidation(server.Client, "Strict")
	object := row.object(t, ns, row.Create)

	err := strict.Create(ctx, object)
	if row.Update == nil {
		if err == nil {
			_ = server.Client.Delete(ctx, object)
			t.Fatal("the API server took it")
		}

		return err.Error()
	}

	if err != nil {
		t.Fatalf("create what is to be changed: %v", err)
	}

	defer func() {
		if err := server.Client.Delete(ctx, object); err != nil {
			t.Errorf("delete: %v", err)
		}
	}()

	changed := row.object(t, ns, row.Create, row.Update)
	changed.SetResourceVersion(object.GetResourceVersion())

	if err = strict.Update(ctx, changed); err == nil {
		t.Fatal("the API server took the change")
	}

	return err.Error()
}

// TestRefusedIsComplete demands a row for every CEL rule of our own CRDs.
func TestRefusedIsComplete(t *testing.T) {
	crds, err := apiserver.CRDs(t.Context())
	if err != nil {
		t.Fatal(err)
	}

	var tested []string

	for _, section := range readRefusals(t).Sections {
		for _, row := range section.Rows {
			tested = append(tested, row.Message)
		}
	}

	for _, crd := range crds {
		for _, version := range crd.Spec.Versions {
			for _, message := range ruleMessages(*version.Schema.OpenAPIV3Schema) {
				if !slices.Contains(tested, message) {
					t.Errorf("%s: no row for the rule %q", crd.Name, message)
				}
			}
		}
	}
}

// ruleMessages are the messages of all CEL rules below a schema.
func ruleMessages(schema apiextensionsv1.JSONSchemaProps) []string {
	var messages []string

	for _, rule := range schema.XValidations {
		messages = append(messages, rule.Message)
	}

	for _, property := range schema.Properties {
		messages = append(messages, ruleMessages(property)...)
	}

	if schema.Items != nil && schema.Items.Schema != nil {
		messages = append(messages, ruleMessages(*schema.Items.Schema)...)
	}

	if schema.AdditionalProperties != nil && schema.AdditionalProperties.Schema != nil {
		messages = append(messages, ruleMessages(*schema.AdditionalProperties.Schema)...)
	}

	return messages
}

// TestRefusedPage compares the reference page with the table.
func TestRefusedPage(t *testing.T) {
	want := renderRefusals(readRefusals(t))

	if *update {
		if err := os.WriteFile(refusedPage, want, 0o644); err != nil {
			t.Fatalf("write page: %v", err)
		}

		return
	}

	got, err := os.ReadFile(refusedPage)
	if err != nil {
		t.Fatalf("read page: %v", err)
	}

	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what %s gives; run: go test ./test/api -run TestRefusedPage -update", refusedPage, refusedTable)
	}
}

func renderRefusals(table refusals) []byte {
	var page bytes.Buffer

	page.WriteString(`# What is refused

<!-- Generated from test/api/testdata/refused.yaml by: go test ./test/api -run TestRefusedPage -update -->

Input that cannot work is refused as early as it can be seen, and before anything changes:

- **schema** and **CEL**: the API server refuses it; ` + "`kubectl apply`" + ` fails with the message, nothing is stored.
- **reconcile**: the operator refuses it, since it depends on more than the manifest (the PostgreSQL version, Secrets,
  what exists). What was there before goes on as it was; the condition ` + "`Stalled`" + ` is True with the reason and the message, and goes
  away once the input is corrected.

No webhook is involved. Every row is tested; ` + "`*`" + ` stands for parts that vary.
`)

	for _, section := range table.Sections {
		fmt.Fprintf(&page, "\n## %s\n\n| input | refused by | message |\n|---|---|---|\n", section.Title)

		for _, row := range section.Rows {
			where := row.Where
			if row.Reason != "" {
				where += ": `" + row.Reason + "`"
			}

			fmt.Fprintf(&page, "| %s | %s | %s |\n", cell(row.Input), where, code(row.Message))
		}
	}

	return page.Bytes()
}

// cell is text as it appears in a cell of a Markdown table.
func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "*", `\*`, "<", `\<`, "_", `\_`, "[", `\[`).Replace(strings.TrimSpace(text))
}

// code is a code span in a cell of a Markdown table.
func code(text string) string {
	return "`" + strings.ReplaceAll(strings.TrimSpace(text), "|", `\|`) + "`"
}
