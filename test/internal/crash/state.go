package crash

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// volatile metadata differs between two runs that do the same.
func volatile() []string {
	return []string{"uid", "resourceVersion", "creationTimestamp", "managedFields", "generation", "namespace", "selfLink"}
}

// Normalise turns objects into YAML without what differs between two runs that do the same: identities, times,
// addresses, and the contents of Secrets. Occurrences of an object's UID become the object's name; the given words, such
// as the namespace, become what they stand for. The keys are kind/name.
func Normalise(objects []*unstructured.Unstructured, words map[string]string) (map[string]string, error) {
	words = maps.Clone(words)
	if words == nil {
		words = map[string]string{}
	}

	for _, object := range objects {
		if uid := string(object.GetUID()); uid != "" {
			words[uid] = "<uid of " + key(object) + ">"
		}
	}

	scrub := scrubber{words: words, replacements: replacements()}
	state := make(map[string]string, len(objects))

	for _, object := range objects {
		content := object.DeepCopy()
		name := key(object)

		for _, field := range volatile() {
			unstructured.RemoveNestedField(content.Object, "metadata", field)
		}

		if object.GetKind() == "Service" {
			unstructured.RemoveNestedField(content.Object, "spec", "clusterIP")
			unstructured.RemoveNestedField(content.Object, "spec", "clusterIPs")
		}

		if object.GetKind() == "Secret" {
			hideSecret(content)
		}

		encoded, err := yaml.Marshal(scrub.value(content.Object))
		if err != nil {
			return nil, fmt.Errorf("encode %s: %w", name, err)
		}

		state[name] = string(encoded)
	}

	return state, nil
}

func key(object *unstructured.Unstructured) string { return object.GetKind() + "/" + object.GetName() }

// hideSecret keeps a Secret's keys only.
func hideSecret(secret *unstructured.Unstructured) {
	data, _, _ := unstructured.NestedMap(secret.Object, "data")
	hidden := make(map[string]any, len(data))

	for _, name := range slices.Sorted(maps.Keys(data)) {
		hidden[name] = "<hidden>"
	}

	secret.Object["data"] = hidden
}

type replacement struct {
	pattern *regexp.Regexp
	with    string
}

func replacements() []replacement {
	return []replacement{
		{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`), "<time>"},
		{regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`), "<uid of what is gone>"},
		{regexp.MustCompile(`kube-api-access-[a-z0-9]{5}`), "kube-api-access"},
		{regexp.MustCompile(`(?s)-----BEGIN ([A-Z ]+)-----.*-----END [A-Z ]+-----\n?`), "<$1>"},
	}
}

type scrubber struct {
	words        map[string]string
	replacements []replacement
}

func (s scrubber) value(value any) any {
	switch value := value.(type) {
	case map[string]any:
		for name, inner := range value {
			// A hash of contents that are random here, such as certificates.
			if strings.HasSuffix(name, "-hash") {
				value[name] = "<hash>"

				continue
			}

			value[name] = s.value(inner)
		}

		return value
	case []any:
		for i, inner := range value {
			value[i] = s.value(inner)
		}

		return value
	case string:
		for _, word := range slices.Sorted(maps.Keys(s.words)) {
			value = strings.ReplaceAll(value, word, s.words[word])
		}

		for _, r := range s.replacements {
			value = r.pattern.ReplaceAllString(value, r.with)
		}

		return value
	default:
		return value
	}
}
