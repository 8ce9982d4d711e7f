package report

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"tcplife/report/anomaly"
	"tcplife/track"
)

// overview is the Sink for people who want the totals only. The table begins
// with it.
type overview struct {
	w        io.Writer
	opts     Options
	color    palette
	captures []string // the first of them, described
	out      bytes.Buffer
	full     bool // states and servers too
}

const (
	maxCapturesTold = 5  // more are counted
	maxGroupsTold   = 10 // of findings, the worst
	maxServersTold  = 10 // the busiest
)

func newSummaryOnly(w io.Writer, o Options) Sink {
	return &overview{w: w, opts: o, color: newPalette(o.Color), full: true}
}

func (s *overview) Connection(*Connection) error { return nil }
func (s *overview) Finding(*Finding) error       { return nil }

func (s *overview) Capture(c *Capture) error {
	if len(s.captures) < maxCapturesTold {
		s.captures = append(s.captures, describe(c))
	}
	return nil
}

func describe(c *Capture) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", Printable(c.Name), c.Format)
	if len(c.LinkTypes) > 0 {
		b.WriteString(" " + strings.Join(c.LinkTypes, "+"))
	}
	if c.Compression != "" {
		b.WriteString(" in " + c.Compression)
	}
	fmt.Fprintf(&b, ", %s", count(c.Packets, "packet"))
	if c.Packets > 0 {
		fmt.Fprintf(&b, ", %s, %s", octets(c.Bytes)+"B", interval(c.First.UTC(), c.Last.UTC()))
	}
	if c.Filtered > 0 {
		fmt.Fprintf(&b, "; %s filtered out", digits(c.Filtered))
	}
	for i, k := range c.Skipped {
		sep := ", "
		if i == 0 {
			sep = "; not TCP: "
		}
		fmt.Fprintf(&b, "%s%s %s", sep, digits(k.Packets), k.Reason)
	}
	if c.Truncated {
		b.WriteString("; cut short")
	}
	return b.String()
}

// interval returns the two times and what lies between them.
func interval(from, to time.Time) string {
	const day, clock = "2006-01-02", "15:04:05"
	end := to.Format(clock)
	if from.Format(day) != to.Format(day) {
		end = to.Format(day + " " + clock)
	}
	return fmt.Sprintf("%s to %s UTC (%s)", from.Format(day+" "+clock), end, short(to.Sub(from)))
}

func (s *overview) Summary(m *Summary) error {
	s.totals(m)
	s.findings(m)
	if s.opts.Verbose {
		s.notJudged(m)
	}
	if s.full {
		s.states(m)
		s.servers(m)
	}
	return nil
}

func (s *overview) Close() error {
	_, err := s.w.Write(s.out.Bytes())
	s.out.Reset()
	return err
}

func (s *overview) totals(m *Summary) {
	for _, c := range s.captures {
		s.wrap("", "  ", c)
	}
	if m.Captures > 1 {
		line := fmt.Sprintf("%s, %s, %sB", count(m.Captures, "capture"), count(m.Packets, "packet"), octets(m.Bytes))
		if m.Packets > 0 {
			line += ", " + interval(m.First.UTC(), m.Last.UTC())
		}
		s.wrap("", "  ", line)
	}
	line := count(m.Connections, "connection")
	if m.LeftOut > 0 {
		line = fmt.Sprintf("%s of %s shown", digits(m.Connections), count(m.Connections+m.LeftOut, "connection"))
	}
	sep := ": "
	for o, n := range m.Outcomes {
		if n > 0 {
			line += fmt.Sprintf("%s%s %s", sep, digits(n), Outcome(o).told())
			sep = ", "
		}
	}
	s.wrap(s.color.bold, "  ", line)
	for _, n := range notes(&m.flaws, m.Packets, m.captured) {
		s.wrap("", "  ", n)
	}
}

func (o Outcome) told() string {
	if o == HalfOpen {
		return "half-open handshake" // with its noun: style.md's "half-open peer" is another
	}
	return strings.ReplaceAll(o.String(), "-by-", " by ")
}

func (s *overview) findings(m *Summary) {
	groups, rest := m.Groups()
	if len(groups) == 0 {
		s.wrap(s.color.bold, "", "no findings")
		return
	}
	s.wrap(s.color.bold, "", count(m.Findings(), "finding")+":")
	for _, g := range groups[min(len(groups), maxGroupsTold):] {
		rest += g.Count
	}
	for _, g := range groups[:min(len(groups), maxGroupsTold)] {
		where := ""
		if g.Addr != (Group{}).Addr {
			where = " at " + Endpoint(g.Addr, g.Port)
			if g.Several && g.Port == 0 {
				where = " at " + g.Addr.IP().String()
			}
		}
		line := fmt.Sprintf("  %-5v %s%s: ", g.Worst, g.Rule.Name, where)
		switch {
		case !g.Several:
			line += count(g.Count, "connection")
		case g.Count > 1:
			line += count(g.Count, "finding")
		default:
			line += g.Rule.Title()
		}
		if g.Suspect != anomaly.NoSuspect {
			line += ", look at " + g.Suspect.String()
		}
		switch g.Worst {
		case anomaly.Error:
			s.wrap(s.color.red, "        ", line)
		case anomaly.Warn:
			s.wrap(s.color.yellow, "        ", line)
		default:
			s.wrap("", "        ", line)
		}
		for _, x := range g.Examples {
			line := "        "
			if x.Conn != 0 && !g.Several {
				line += fmt.Sprintf("#%d ", x.Conn)
			}
			line += x.Message
			if x.Frame != 0 {
				line += fmt.Sprintf(" (frame %s)", x.Inputs.Frame(x.Frame))
			}
			s.wrap("", "          ", line)
		}
		if x := g.Examples; s.opts.Explain != nil && len(x) > 0 && x[0].Conn != 0 {
			// Not broken into lines, which could not be pasted.
			s.out.WriteString("        " + s.color.dim + s.opts.Explain(x[0].Conn) + s.color.reset + "\n")
		}
	}
	if rest > 0 {
		s.wrap("", "", fmt.Sprintf("  and %s of other rules or servers", count(rest, "finding")))
	}
}

func (s *overview) notJudged(m *Summary) {
	list := m.NotJudged()
	if len(list) == 0 {
		s.wrap("", "", "every rule could be judged")
		return
	}
	s.wrap(s.color.bold, "", "not judged:")
	for _, u := range list {
		s.wrap("", "    ", fmt.Sprintf("  %s: %s, %s", u.Rule.Name, count(u.Connections, "connection"), u.Why))
	}
}

func (s *overview) states(m *Summary) {
	if m.Connections == 0 {
		return
	}
	fmt.Fprintln(&s.out)
	t := newGrid("STATE AT THE END", ">CLIENTS", ">SERVERS")
	for st := range numStates {
		c, v := m.States[track.Client][st], m.States[track.Server][st]
		if c+v > 0 {
			t.row(st.String(), digits(c), digits(v))
		}
	}
	t.render(&s.out)
}

func (s *overview) servers(m *Summary) {
	servers, rest := m.Servers()
	if len(servers) == 0 {
		return
	}
	for _, v := range servers[min(len(servers), maxServersTold):] {
		rest += v.Connections
	}
	fmt.Fprintln(&s.out)
	t := newGrid("SERVER", ">CONNECTIONS", ">BYTES", "ENDED", ">FINDINGS")
	for _, v := range servers[:min(len(servers), maxServersTold)] {
		t.row(Endpoint(v.Addr, v.Port), digits(v.Connections), octets(v.Bytes), v.mostly(), digits(v.Findings))
	}
	t.render(&s.out)
	if rest > 0 {
		fmt.Fprintf(&s.out, "and %s to other servers\n", count(rest, "connection"))
	}
}

// mostly tells how most of the server's connections ended.
func (v *Server) mostly() string {
	most := slices.Index(v.Outcomes[:], slices.Max(v.Outcomes[:]))
	told := Outcome(most).told()
	if n := v.Outcomes[most]; n < v.Connections {
		return fmt.Sprintf("%s %s", digits(n), told)
	}
	return told
}

// wrap writes text in the given colour, with line breaks at spaces where it is
// wider than the terminal; what follows a break is indented by hang.
func (s *overview) wrap(color, hang, text string) {
	if color != "" {
		s.out.WriteString(color)
	}
	width := s.opts.Width
	for width > len(hang)+20 && utf8.RuneCountInString(text) > width {
		r := []rune(text)
		at := width
		for at > len(hang) && r[at] != ' ' {
			at--
		}
		if at <= len(hang) {
			break // one word: the terminal may break it
		}
		s.out.WriteString(strings.TrimRight(string(r[:at]), " ") + "\n")
		text = hang + string(r[at+1:])
	}
	s.out.WriteString(text)
	if color != "" {
		s.out.WriteString(s.color.reset)
	}
	s.out.WriteByte('\n')
}
