package render_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/caretaker-dev/caretaker/internal/appconfig/render"
)

func input(values map[string]string) render.Input {
	return render.Input{
		Environment: "prod", Application: "shop", Namespace: "apps", Values: values,
		Secrets: map[string]string{"password": "s3cret"},
	}
}

func TestWhatTemplatesSee(t *testing.T) {
	t.Parallel()

	in := input(map[string]string{
		"PLAIN":    "as it is",
		"HOST":     "{{ .Application }}.{{ .Namespace }}.svc",
		"URL":      "http://{{ .Config.HOST }}:{{ .Config.PORT }}",
		"PORT":     `{{ if eq .Environment "prod" }}443{{ else }}8080{{ end }}`,
		"INDEXED":  `{{ index .Config "PORT" }}`,
		"SPRIG":    `{{ list "b" "a" | sortAlpha | join "," | upper | quote }}`,
		"ESCAPED":  `{{ "{{" }} not a template }}`,
		"EMPTY":    "",
		"PASSWORD": "{{ .Secrets.password }}",
		"DSN":      "app:{{ .Config.PASSWORD }}@{{ .Config.HOST }}",
	})
	in.Files = map[string]string{"all.env": `{{ range $key, $value := .Config }}{{ if ne $key "X" }}{{ $key }};{{ end }}{{ end }}`, "app.conf": "listen {{ .Config.PORT }};\n"}

	got, err := render.Render(in)
	if err != nil {
		t.Fatal(err)
	}

	want := render.Output{
		Plain: map[string]string{
			"PLAIN": "as it is", "HOST": "shop.apps.svc", "URL": "http://shop.apps.svc:443", "PORT": "443", "INDEXED": "443",
			"SPRIG": `"A,B"`, "ESCAPED": "{{ not a template }}", "EMPTY": "", "app.conf": "listen 443;\n",
		},
		// What is made with a secret, or with what was made with one, is secret.
		Secret: map[string]string{
			"PASSWORD": "s3cret", "DSN": "app:s3cret@shop.apps.svc",
			"all.env": "DSN;EMPTY;ESCAPED;HOST;INDEXED;PASSWORD;PLAIN;PORT;SPRIG;URL;",
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
}

// Printing everything that a template is given must not carry a secret into what is not secret.
func TestNothingSecretLeaks(t *testing.T) {
	t.Parallel()

	for _, template := range []string{"{{ . }}", `{{ printf "%#v" . }}`, "{{ toJson . }}", "{{ print $ }}"} {
		got, err := render.Render(input(map[string]string{"A": template}))
		if err == nil && strings.Contains(got.Plain["A"], "s3cret") {
			t.Errorf("%s gives %q", template, got.Plain["A"])
		}
	}
}

func TestErrorsTellThePlace(t *testing.T) {
	t.Parallel()

	for name, tc := range map[string]struct{ template, want string }{
		"missing value":    {"a\n  {{ .Config.NOPE }}", "spec.config.A: refers to .Config.NOPE, which is not in spec.config; correct the name, or add it"},
		"missing secret":   {"a\n  {{ .Secrets.nope }}", `spec.config.A: line 2, column 14: map has no entry for key "nope"`},
		"unknown function": {"one\ntwo {{ upper .Application }} {{ getenv \"HOME\" }}", "spec.config.A: line 2, column 30: function \"getenv\" not defined"},
		"sprig's env":      {`{{ env "HOME" }}`, `spec.config.A: line 1, column 1: function "env" not defined`},
		"no end":           {"{{ if true }}\nx", "the template ends too early: an {{ end }} is missing"},
		"bad syntax":       {"x\ny {{ .Application }\n", "spec.config.A: line 2, column 3"},
		"fail":             {`{{ fail "LOG_LEVEL must be set" }}`, "spec.config.A: line 1, column 4: LOG_LEVEL must be set"},
		"itself":           {"{{ .Config.A }}", "spec.config.A: depends on itself: A → A; break the circle"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			_, err := render.Render(input(map[string]string{"A": tc.template}))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error is %v\nwant one with %s", err, tc.want)
			}

			if _, ok := errors.AsType[*render.Error](err); !ok {
				t.Errorf("error is a %T", err)
			}
		})
	}
}

// Whatever a template does, it comes to an end, and soon.
func TestRunawaysEnd(t *testing.T) {
	t.Parallel()

	for name, template := range map[string]string{
		"a loop over a number":     "{{ range 1000000000 }}{{ end }}",
		"loops in loops":           "{{ range 10000 }}{{ range 10000 }}{{ range 10000 }}{{ end }}{{ end }}{{ end }}",
		"a list without end":       "{{ range until 2000000000 }}{{ end }}",
		"recursion":                `{{ define "a" }}{{ template "a" . }}{{ end }}{{ template "a" . }}`,
		"doubling":                 `{{ $x := "ab" }}{{ range 64 }}{{ $x = print $x $x }}{{ end }}`,
		"repeat":                   `{{ repeat 2000000000 "x" }}`,
		"repeat of a text":         `{{ repeat (atoi "2000000000") "x" }}`,
		"indent":                   `{{ indent 2000000000 "x" }}`,
		"replace":                  `{{ $x := repeat 60000 "a" }}{{ replace "a" $x $x }}`,
		"a wide number":            `{{ printf "%2000000000d" 1 }}`,
		"a width by argument":      `{{ printf "%*d" 2000000000 1 }}`,
		"output":                   `{{ range 90000 }}0123456789012345678901234567890123456789{{ end }}`,
		"lists in lists":           `{{ $x := list }}{{ range 90000 }}{{ $x = list $x }}{{ end }}{{ $x }}`,
		"a regular expression":     `{{ $x := repeat 60000 "a" }}{{ regexReplaceAll "a" $x $x }}`,
		"much work in a loop":      `{{ $x := repeat 1000000 "a" }}{{ range 90000 }}{{ $y := upper $x }}{{ end }}`,
		"joining":                  `{{ $x := repeat 60000 "a" }}{{ until 60000 | join $x }}`,
		"a loop that breaks early": `{{ range 1000000000 }}{{ if false }}{{ break }}{{ end }}{{ end }}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			_, err := render.Render(input(map[string]string{"A": template}))
			if err == nil {
				t.Error("it ended well")
			} else {
				t.Log(err)
			}
		})
	}
}

func TestTheDeadlineEndsALoop(t *testing.T) {
	t.Parallel()

	asked := 0
	in := input(map[string]string{"A": "\n {{ range 1000 }}{{ end }}"})
	in.Expired = func() bool {
		asked++

		return asked > 10
	}

	if _, err := render.Render(in); err == nil || err.Error() != "spec.config.A: line 2, column 11: rendering takes too long" {
		t.Errorf("error is %v", err)
	}
}

func TestTheSameInputGivesTheSameOutput(t *testing.T) {
	t.Parallel()

	in := input(map[string]string{"A": `{{ $d := dict "a" 1 "b" 2 "c" 3 "d" 4 }}{{ keys $d }}{{ values $d }}`})

	for range 50 {
		got, err := render.Render(in)
		if err != nil || got.Plain["A"] != "[a b c d][1 2 3 4]" {
			t.Fatalf("%q, %v", got.Plain["A"], err)
		}
	}
}

func FuzzRender(f *testing.F) {
	for _, seed := range []string{"{{ .Config.B }}", "{{ range 3 }}{{ . }}{{ end }}", `{{ define "x" }}{{ end }}{{ template "x" }}`, "{{", "{{ index .Config `B` }}"} {
		f.Add(seed)
	}

	f.Fuzz(func(t *testing.T, template string) {
		got, err := render.Render(input(map[string]string{"A": template, "B": "b"}))
		if err == nil && strings.Contains(got.Plain["A"], "s3cret") {
			t.Errorf("%q leaks a secret", template)
		}
	})
}
