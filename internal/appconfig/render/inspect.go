package render

import (
	"fmt"
	"slices"
	"text/template"
	"text/template/parse"
)

// inspect finds what a template depends on, and lets every loop and every named template count its turns.
func (s *source) inspect() {
	for _, t := range s.template.Templates() {
		if t.Tree == nil || t.Root == nil {
			continue
		}

		s.list(t.Root)
		s.count(t.Root, 0)
	}
}

// count puts a call of the counter in front of a list of nodes.
func (s *source) count(list *parse.ListNode, position parse.Pos) {
	line, column := place(s.text, int(position))
	call := fmt.Sprintf("{{ %s %d %d }}", functionTick, line, column)

	t := template.Must(template.New("tick").Funcs(functions(newBudget(nil))).Parse(call))
	list.Nodes = slices.Insert(list.Nodes, 0, t.Root.Nodes[0])
}

func (s *source) list(list *parse.ListNode) {
	if list == nil {
		return
	}

	for _, node := range list.Nodes {
		s.node(node)
	}
}

func (s *source) node(node parse.Node) {
	switch n := node.(type) {
	case *parse.ActionNode:
		s.pipe(n.Pipe)
	case *parse.TemplateNode:
		s.pipe(n.Pipe)
	case *parse.IfNode:
		s.branch(n.BranchNode)
	case *parse.WithNode:
		s.branch(n.BranchNode)
	case *parse.RangeNode:
		s.branch(n.BranchNode)
		s.count(n.List, n.Pos)
	}
}

func (s *source) branch(n parse.BranchNode) {
	s.pipe(n.Pipe)
	s.list(n.List)
	s.list(n.ElseList)
}

func (s *source) pipe(pipe *parse.PipeNode) {
	if pipe == nil {
		return
	}

	for _, command := range pipe.Cmds {
		if s.indexes(command.Args) {
			continue
		}

		for _, argument := range command.Args {
			s.argument(argument)
		}
	}
}

// indexes sees `index .Config "key"`, which depends on one value only.
func (s *source) indexes(arguments []parse.Node) bool {
	if len(arguments) != 3 {
		return false
	}

	name, isName := arguments[0].(*parse.IdentifierNode)
	key, isText := arguments[2].(*parse.StringNode)

	if !isName || !isText || name.Ident != "index" || !slices.Equal(path(arguments[1]), []string{"Config"}) {
		return false
	}

	s.need(key.Text)

	return true
}

func (s *source) argument(node parse.Node) {
	switch n := node.(type) {
	case *parse.PipeNode:
		s.pipe(n)
	case *parse.ChainNode:
		s.argument(n.Node)
	default:
		fields := path(node)

		switch {
		case len(fields) == 0 || fields[0] != "Config":
		case len(fields) == 1:
			s.all = true
		default:
			s.need(fields[1])
		}
	}
}

// path is the fields that a node goes through, from the template's data or from a variable.
func path(node parse.Node) []string {
	switch n := node.(type) {
	case *parse.FieldNode:
		return n.Ident
	case *parse.VariableNode:
		if n.Ident[0] == "$" {
			return n.Ident[1:]
		}
	}

	return nil
}

func (s *source) need(key string) {
	if !slices.Contains(s.needs, key) {
		s.needs = append(s.needs, key)
	}
}
