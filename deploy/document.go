package deploy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// largest is how much YAML is read, in bytes.
const largest = 32 << 20

// A document is one of a stream.
type document struct {
	raw  []byte     // as it was written, its "---" included
	root *yaml.Node // nil if there is nothing but comments
}

// split reads a stream. Joined again, the raw texts are the stream.
func split(stream []byte) ([]document, error) {
	if len(stream) > largest {
		return nil, fmt.Errorf("there are more than %d MiB", largest>>20)
	}
	var docs []document
	start, line, at := 0, 1, 1 // at: the line on which the document starts
	for pos := 0; pos < len(stream); {
		end := len(stream)
		if i := bytes.IndexByte(stream[pos:], '\n'); i >= 0 {
			end = pos + i + 1
		}
		if pos > start && separator(stream[pos:end]) {
			d, err := parse(stream[start:pos], at)
			if err != nil {
				return nil, err
			}
			docs, start, at = append(docs, d), pos, line
		}
		pos, line = end, line+1
	}
	d, err := parse(stream[start:], at)
	return append(docs, d), err
}

// separator says whether a line begins a document.
func separator(line []byte) bool {
	rest, ok := bytes.CutPrefix(line, []byte("---"))
	return ok && (len(rest) == 0 || strings.ContainsRune(" \t\r\n", rune(rest[0])))
}

func parse(raw []byte, at int) (document, error) {
	d := document{raw: raw}
	if blank(raw) {
		return d, nil
	}
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	var doc, more yaml.Node
	err := dec.Decode(&doc)
	if errors.Is(err, io.EOF) {
		return d, nil
	}
	if err != nil {
		return d, fmt.Errorf("what begins on line %d is not YAML: %s", at, lineOf.ReplaceAllStringFunc(strings.TrimPrefix(err.Error(), "yaml: "), func(line string) string {
			n, _ := strconv.Atoi(strings.TrimPrefix(line, "line "))
			return "line " + strconv.Itoa(n+at-1)
		}))
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		return d, fmt.Errorf("what begins on line %d is more than one document: begin each with ---", at)
	}
	root := doc.Content[0]
	if root.Kind == yaml.ScalarNode && root.Tag == "!!null" {
		return d, nil
	}
	if root.Kind != yaml.MappingNode || word(root, "kind") == "" || word(root, "apiVersion") == "" {
		return d, fmt.Errorf("what begins on line %d is no object of Kubernetes: it has no apiVersion and kind", at)
	}
	d.root = &doc
	shift(&doc, at-1)
	return d, nil
}

var lineOf = regexp.MustCompile(`^line \d+`)

// shift makes the lines of a document those of the stream.
func shift(n *yaml.Node, lines int) {
	n.Line += lines
	for _, c := range n.Content {
		shift(c, lines)
	}
}

// blank says whether there is nothing but comments, directives and separators.
func blank(raw []byte) bool {
	for line := range bytes.Lines(raw) {
		line = bytes.TrimSpace(line)
		if len(line) > 0 && line[0] != '#' && line[0] != '%' && !bytes.Equal(line, []byte("---")) && !bytes.Equal(line, []byte("...")) {
			return false
		}
	}
	return true
}

// write is the text of a changed document, in the manner of the text before:
// how lists are indented, and what ended the document before it.
func (d document) write() ([]byte, error) {
	var out bytes.Buffer
	if first, _, _ := bytes.Cut(d.raw, []byte("\n")); separator(first) {
		out.WriteString("---\n")
	}
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if compact(d.root) {
		enc.CompactSeqIndent()
	}
	if err := enc.Encode(d.root); err != nil {
		return nil, fmt.Errorf("write YAML: %w", err)
	}
	return out.Bytes(), enc.Close()
}

// compact says whether the first list of a mapping stands in the column of its
// key.
func compact(n *yaml.Node) bool {
	for i, c := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 1 && c.Kind == yaml.SequenceNode && c.Style&yaml.FlowStyle == 0 && len(c.Content) > 0 && c.Line > n.Content[i-1].Line {
			return c.Column == n.Content[i-1].Column
		}
		if found := compact(c); found {
			return true
		}
	}
	return false
}
