package policy

import (
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// A reader takes a YAML document apart and collects what is wrong with it. The
// library's own decoding would say neither which key a wrong value belongs to nor
// on which line a setting stands.
type reader struct {
	name string
	errs []error
}

// maxErrors bounds how many mistakes are told at once.
const maxErrors = 10

// A place is a node and the keys that lead to it.
type place struct {
	ast.Node
	key  ast.Node // of it; nil where it has none
	path string
}

// position returns where the node begins, nil if that is not known.
func position(n ast.Node) *token.Position {
	switch m := n.(type) {
	case *ast.MappingNode: // its token is that of the first colon
		if len(m.Values) > 0 && !m.IsFlowStyle {
			return position(m.Values[0].Key)
		}
	case *ast.MappingValueNode:
		return position(m.Key)
	}
	if t := n.GetToken(); t != nil {
		return t.Position
	}
	return nil
}

// line returns the line that the node begins in, from 1.
func (p place) line() int {
	if at := position(p.Node); at != nil {
		return at.Line
	}
	return 0
}

// in returns the place below p.
func (p place) in(key string, n ast.Node) place {
	if p.path != "" && !strings.HasPrefix(key, "[") {
		key = "." + key
	}
	return place{Node: n, path: p.path + key}
}

// fail tells what is wrong at a place.
func (r *reader) fail(p place, format string, args ...any) {
	at := ""
	if pos := position(p.Node); pos != nil {
		at = fmt.Sprintf("%d:%d: ", pos.Line, pos.Column)
	}
	if p.path != "" {
		at += p.path + ": "
	}
	r.errs = append(r.errs, fmt.Errorf("%s:%s%s", r.name, at, fmt.Sprintf(format, args...)))
}

// unknown tells of a key that is not one of those there may be.
func (r *reader) unknown(p place, known ...string) {
	p.Node = p.key
	r.fail(p, "unknown key; there are %s", strings.Join(known, ", "))
}

// err returns what was collected.
func (r *reader) err() error {
	if n := len(r.errs); n > maxErrors {
		r.errs = append(r.errs[:maxErrors:maxErrors], fmt.Errorf("%s: and %d more mistakes", r.name, n-maxErrors))
	}
	return errors.Join(r.errs...)
}

// maxDepth is deeper than any policy is nested. The library's parser takes a time
// that grows with the square of the depth.
const maxDepth = 100

// tooDeep reports whether a document may be nested deeper than maxDepth: by brackets,
// wherever they stand, or by the dashes of a line.
func tooDeep(data []byte) bool {
	brackets, dashes := 0, 0
	for i, c := range data {
		switch c {
		case '[', '{':
			brackets++
		case ']', '}':
			brackets = max(brackets-1, 0)
		case '-':
			if dashes++; i+1 < len(data) && data[i+1] != ' ' {
				dashes = 0 // a word, or a ruler in a comment
			}
		case ' ', '\t':
		default:
			dashes = 0
		}
		if brackets > maxDepth || dashes > maxDepth {
			return true
		}
	}
	return false
}

// document returns the only document of a file, false if there is none.
func (r *reader) document(data []byte) (place, bool) {
	if tooDeep(data) {
		r.errs = append(r.errs, fmt.Errorf("%s: nested deeper than %d", r.name, maxDepth))
		return place{}, false
	}
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		var e yaml.Error
		if errors.As(err, &e) && e.GetToken() != nil {
			at := e.GetToken().Position
			err = fmt.Errorf("%s:%d:%d: %s", r.name, at.Line, at.Column, e.GetMessage())
		} else {
			err = fmt.Errorf("%s: %w", r.name, err)
		}
		r.errs = append(r.errs, err)
		return place{}, false
	}
	var docs []ast.Node
	for _, d := range file.Docs {
		if d.Body != nil {
			docs = append(docs, d.Body)
		}
	}
	switch len(docs) {
	case 1:
		return place{Node: docs[0]}, true
	case 0:
		r.errs = append(r.errs, fmt.Errorf("%s: empty; tcplife policy init writes a policy from a good capture", r.name))
	default:
		r.errs = append(r.errs, fmt.Errorf("%s: several documents; a policy is one", r.name))
	}
	return place{}, false
}

// entries calls each for every key of a mapping.
func (r *reader) entries(p place, each func(key string, value place)) {
	switch n := p.Node.(type) {
	case *ast.MappingNode:
		for _, v := range n.Values {
			r.entry(p, v, each)
		}
	case *ast.MappingValueNode:
		r.entry(p, n, each)
	default:
		r.fail(p, "want keys with values, not %s", kindOf(p.Node))
	}
}

func (r *reader) entry(p place, v *ast.MappingValueNode, each func(string, place)) {
	key, ok := scalarText(v.Key)
	if !ok {
		r.fail(place{Node: v.Key, path: p.path}, "want a plain key, not %s", kindOf(v.Key))
		return
	}
	value := p.in(key, v.Value)
	value.key = v.Key
	each(key, value)
}

// elements calls each for every element of a sequence; a single value is one of one.
func (r *reader) elements(p place, each func(place)) {
	n, ok := p.Node.(*ast.SequenceNode)
	if !ok {
		each(p)
		return
	}
	for i, v := range n.Values {
		each(p.in(fmt.Sprintf("[%d]", i), v))
	}
}

// text returns a scalar as it was written; "", and a mistake told, if it is none.
func (r *reader) text(p place) (string, bool) {
	s, ok := scalarText(p.Node)
	if !ok {
		r.fail(p, "want a value, not %s", kindOf(p.Node))
	}
	return s, ok
}

// scalar reads the scalar at p into to.
func scalar[T any](r *reader, p place, to *T, parse func(string) (T, error)) {
	s, ok := r.text(p)
	if !ok {
		return
	}
	v, err := parse(s)
	if err != nil {
		r.fail(p, "%v", err)
		return
	}
	*to = v
}

// list reads the scalar, or the sequence of them, at p.
func list[T any](r *reader, p place, to *[]T, parse func(string) (T, error)) {
	if n, ok := p.Node.(*ast.SequenceNode); ok && len(n.Values) == 0 {
		r.fail(p, "empty list")
	}
	r.elements(p, func(p place) {
		var v T
		before := len(r.errs)
		if scalar(r, p, &v, parse); len(r.errs) == before {
			*to = append(*to, v)
		}
	})
}

// scalarText returns the text of a scalar.
func scalarText(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, true
	}
	return "", false
}

// kindOf says what a node is.
func kindOf(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "keys with values"
	case *ast.SequenceNode:
		return "a list"
	case *ast.NullNode, nil:
		return "nothing"
	case *ast.AliasNode, *ast.AnchorNode, *ast.MergeKeyNode:
		return "an alias"
	case *ast.TagNode:
		return "a tag"
	}
	return "a value"
}
