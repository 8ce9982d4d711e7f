package report

import (
	"bytes"
	"strings"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/pkg/twwidth"
	"github.com/olekukonko/tablewriter/renderer"
	"github.com/olekukonko/tablewriter/tw"
)

// grid prints columns without rules. Every row is kept until render, and costs
// tens of microseconds: it is for lists of bounded length.
type grid struct {
	header []string
	align  []tw.Align
	rows   [][]string
}

// newGrid returns a grid with these columns. A header that begins with > is of a
// column of numbers, aligned to the right.
func newGrid(header ...string) *grid {
	g := &grid{}
	for _, h := range header {
		name, right := strings.CutPrefix(h, ">")
		align := tw.AlignLeft
		if right {
			align = tw.AlignRight
		}
		g.header = append(g.header, name)
		g.align = append(g.align, align)
	}
	return g
}

func (g *grid) row(cells ...string) { g.rows = append(g.rows, cells) }

// render writes the grid to out. Cells may hold several lines, and colours.
func (g *grid) render(out *bytes.Buffer) {
	var b bytes.Buffer
	t := tablewriter.NewTable(
		&b,
		tablewriter.WithRenderer(renderer.NewBlueprint(tw.Rendition{
			Borders:  tw.BorderNone,
			Settings: tw.Settings{Separators: tw.SeparatorsNone, Lines: tw.LinesNone},
		})),
		tablewriter.WithHeaderAutoFormat(tw.Off), // else _ becomes a space
		tablewriter.WithHeaderAlignmentConfig(tw.CellAlignment{PerColumn: g.align}),
		tablewriter.WithRowAlignmentConfig(tw.CellAlignment{PerColumn: g.align}),
		tablewriter.WithHeaderAutoWrap(tw.WrapNone),
		tablewriter.WithRowAutoWrap(tw.WrapNone),
		tablewriter.WithTrimSpace(tw.Off),
		tablewriter.WithPadding(tw.Padding{Right: "  ", Overwrite: true}),
	)
	t.Header(g.header)
	// Neither returns an error for slices of strings onto a bytes.Buffer.
	_ = t.Bulk(g.rows)
	_ = t.Render()
	for line := range strings.Lines(b.String()) {
		out.WriteString(trim(line) + "\n")
	}
}

// trim cuts the padding off the end of a line, also where a colour's end comes
// after it.
func trim(line string) string {
	const reset = "\x1b[0m"
	line = strings.TrimRight(line, " \n")
	if text, colored := strings.CutSuffix(line, reset); colored {
		text = strings.TrimRight(text, " ")
		return strings.TrimSuffix(text, reset) + reset
	}
	return line
}

// width returns the columns that render takes, colours aside.
func (g *grid) width() int {
	total := -2
	for i, h := range g.header {
		w := len(h)
		for _, r := range g.rows {
			for line := range strings.SplitSeq(r[i], "\n") {
				w = max(w, twwidth.Width(line))
			}
		}
		total += w + 2
	}
	return total
}
