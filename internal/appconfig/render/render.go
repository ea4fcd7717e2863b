package render

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/template"
)

// Input of a rendering.
type Input struct {
	Environment, Application, Namespace string
	// Values are templates by key; they see each other as .Config. Files are templates that see the Values.
	Values, Files map[string]string
	// Secrets are what templates see as .Secrets.
	Secrets map[string]string
	// Expired says that the time for it is up; nil for no such limit.
	Expired func() bool
}

// Output of a rendering: keys that were made with a secret, and the others.
type Output struct{ Plain, Secret map[string]string }

// Error says where a template is wrong.
type Error struct {
	// Field of the spec, such as spec.config.URL.
	Field string
	// Line and Column count from 1; 0 where it is not about a place.
	Line, Column int
	Message      string
}

// Error names the field and the place.
func (e *Error) Error() string {
	if e.Line == 0 {
		return e.Field + ": " + e.Message
	}

	return fmt.Sprintf("%s: line %d, column %d: %s", e.Field, e.Line, e.Column, e.Message)
}

// data is what a template sees. It holds no secret in a field: printing it as a whole shows none.
type data struct {
	Environment, Application, Namespace string
	Config                              map[string]string

	secrets func() map[string]string
}

// Secrets that the spec names. A template that asks for them makes a secret.
func (d data) Secrets() map[string]string { return d.secrets() }

// String is the same everywhere: printing the whole must not depend on where things lie in memory.
func (d data) String() string { return d.Application + " in " + d.Environment }

// GoString is String.
func (d data) GoString() string { return d.String() }

// Render all templates. The error is an *Error.
func Render(in Input) (Output, error) {
	parsed, err := parseAll(in)
	if err != nil {
		return Output{}, err
	}

	order, err := sorted(parsed)
	if err != nil {
		return Output{}, err
	}

	r := &renderer{in: in, budget: newBudget(in.Expired), done: map[string]string{}, secret: map[string]bool{}}

	for _, key := range order {
		if err := r.render(parsed[key]); err != nil {
			return Output{}, err
		}
	}

	output := Output{Plain: map[string]string{}, Secret: map[string]string{}}

	for key, value := range r.done {
		if r.secret[key] {
			output.Secret[key] = value
		} else {
			output.Plain[key] = value
		}
	}

	return output, nil
}

func parseAll(in Input) (map[string]*source, error) {
	parsed := map[string]*source{}

	for _, group := range []struct {
		field string
		texts map[string]string
		file  bool
	}{{"spec.config", in.Values, false}, {"spec.templates", in.Files, true}} {
		for _, key := range slices.Sorted(maps.Keys(group.texts)) {
			s, err := parseOne(group.field+"."+key, key, group.texts[key])
			if err != nil {
				return nil, err
			}

			s.file = group.file
			parsed[key] = s
		}
	}

	return parsed, nil
}

type renderer struct {
	in     Input
	budget *budget
	done   map[string]string
	secret map[string]bool
}

// render one template, after all those that it depends on. It sees those only.
func (r *renderer) render(s *source) error {
	seen := data{
		Environment: r.in.Environment, Application: r.in.Application, Namespace: r.in.Namespace,
		Config: map[string]string{},
	}
	seen.secrets = func() map[string]string {
		r.secret[s.key] = true

		return r.in.Secrets
	}

	for _, key := range s.needs {
		seen.Config[key] = r.done[key]
		r.secret[s.key] = r.secret[s.key] || r.secret[key]
	}

	out := &limited{budget: r.budget}

	t, err := s.template.Clone()
	if err == nil {
		err = t.Funcs(functions(r.budget)).Execute(out, seen)
	}

	if err != nil {
		return located(s, err)
	}

	r.done[s.key] = out.String()

	return nil
}

// limited takes as much output as the budget allows.
type limited struct {
	buffer bytes.Buffer
	budget *budget
}

func (l *limited) Write(p []byte) (int, error) {
	if err := l.budget.output(len(p)); err != nil {
		return 0, err
	}

	return l.buffer.Write(p)
}

func (l *limited) String() string { return l.buffer.String() }

// source is one parsed template.
type source struct {
	field, key, text string
	file             bool
	template         *template.Template
	// needs are the values that it depends on.
	needs []string
	// all: it looks at .Config as a whole.
	all bool
}

func parseOne(field, key, text string) (*source, error) {
	t, err := template.New("t").Option("missingkey=error").Funcs(functions(newBudget(nil))).Parse(text)
	if err != nil {
		return nil, parseError(field, text, err)
	}

	s := &source{field: field, key: key, text: text, template: t}
	s.inspect()

	return s, nil
}

// sorted is an order in which every template comes after those that it needs, files last.
func sorted(parsed map[string]*source) ([]string, error) {
	addAll(parsed)

	var order []string

	state := map[string]int{} // 1: under way, 2: done

	var visit func(key string, path []string) error

	visit = func(key string, path []string) error {
		s := parsed[key]

		switch state[key] {
		case 2:
			return nil
		case 1:
			return &Error{Field: s.field, Message: "depends on itself: " + strings.Join(append(path, key), " → ") + "; break the circle"}
		}

		state[key] = 1

		slices.Sort(s.needs)

		for _, need := range s.needs {
			if other := parsed[need]; other == nil || other.file {
				return &Error{Field: s.field, Message: fmt.Sprintf("refers to .Config.%s, which is not in spec.config; correct the name, or add it", need)}
			}

			if err := visit(need, append(slices.Clone(path), key)); err != nil {
				return err
			}
		}

		state[key] = 2
		order = append(order, key)

		return nil
	}

	for _, key := range slices.Sorted(maps.Keys(parsed)) {
		if err := visit(key, nil); err != nil {
			return nil, err
		}
	}

	return order, nil
}

// addAll to the needs of templates that look at .Config as a whole: every other value.
func addAll(parsed map[string]*source) {
	for _, s := range parsed {
		if !s.all {
			continue
		}

		for key, other := range parsed {
			if key != s.key && !other.file && !slices.Contains(s.needs, key) {
				s.needs = append(s.needs, key)
			}
		}
	}
}
