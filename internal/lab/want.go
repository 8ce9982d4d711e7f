package main

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"tcplife/track"
)

// A want is what the kernels of both hosts say of one connection, in the
// notation of testdata/pcaps/README.md.
type want struct {
	Client, Server netip.AddrPort
	EitherWay      bool // nothing in the capture tells the client from the server
	Optional       bool // a tracker may have no record of it
	Notes          []string
	Ends           [2]pattern // of client and server
	At             [2][]when  // of each state; nil: not compared
	Within         time.Duration
	ClosedFirst    string // "" if not compared
}

// A when is the time of a transition since the first frame of the capture, or
// never if it is not compared.
type when time.Duration

const never = when(math.MinInt64)

func (w when) String() string {
	if w == never {
		return "-"
	}
	ms := time.Duration(w).Round(time.Millisecond) // no -0.000
	return strconv.FormatFloat(ms.Seconds(), 'f', 3, 64)
}

func parseWhen(s string) (when, error) {
	if s == "-" {
		return never, nil
	}
	f, err := strconv.ParseFloat(s, 64)
	return when(f * float64(time.Second)), err
}

// A move is a state, when an end entered it, and what told the tracker.
type move struct {
	state string
	at    when
	frame uint64
	basis track.Basis
}

// A pattern is the states of one end in order. A state with a trailing "?" may
// be missing; the pattern "*" fits everything.
type pattern []string

// fit returns which element of the pattern each state is, if the states are ones
// that the pattern allows.
func (p pattern) fit(states []string) ([]int, bool) {
	if len(p) == 1 && p[0] == "*" {
		return nil, true
	}
	return p.fitFrom(0, states)
}

func (p pattern) fitFrom(i int, states []string) ([]int, bool) {
	if i == len(p) {
		return nil, len(states) == 0
	}
	s, optional := strings.CutSuffix(p[i], "?")
	if len(states) > 0 && states[0] == s {
		if rest, ok := p.fitFrom(i+1, states[1:]); ok {
			return append([]int{i}, rest...), true
		}
	}
	if optional {
		return p.fitFrom(i+1, states)
	}
	return nil, false
}

func (p pattern) String() string {
	if len(p) == 0 {
		return "-"
	}
	return strings.Join(p, " ")
}

// normalise brings a sequence of states to the form that patterns are written
// in: what came before the first active state is left out, LISTEN is CLOSED,
// and no state comes twice in a row.
func normalise(moves []move) []move {
	var out []move
	for _, m := range moves {
		if m.state == "LISTEN" {
			m.state = "CLOSED"
		}
		switch {
		case len(out) == 0 && (m.state == "CLOSED" || m.state == "UNKNOWN"):
		case len(out) > 0 && out[len(out)-1].state == m.state:
		default:
			out = append(out, m)
		}
	}
	return out
}

func states(moves []move) []string {
	var s []string
	for _, m := range moves {
		s = append(s, m.state)
	}
	return s
}

func (w *want) write(b *strings.Builder) {
	for _, n := range w.Notes {
		fmt.Fprintf(b, "# %s\n", n)
	}
	word, arrow := "connection", ">"
	if w.Optional {
		word += "?"
	}
	if w.EitherWay {
		arrow = "<>"
	}
	fmt.Fprintf(b, "%s %v %s %v\n", word, w.Client, arrow, w.Server)
	fmt.Fprintf(b, "client %v\n", w.Ends[0])
	fmt.Fprintf(b, "server %v\n", w.Ends[1])
	for r, name := range [...]string{"client-at", "server-at"} {
		if w.At[r] != nil {
			fmt.Fprintf(b, "%s %s\n", name, strings.Trim(fmt.Sprint(w.At[r]), "[]"))
		}
	}
	if w.At[0] != nil || w.At[1] != nil {
		fmt.Fprintf(b, "within %v\n", w.Within)
	}
	if w.ClosedFirst != "" {
		fmt.Fprintf(b, "closed-first %s\n", w.ClosedFirst)
	}
}

// parseWants reads a .want file.
func parseWants(r io.Reader) ([]*want, error) {
	var ws []*want
	var w *want
	sc := bufio.NewScanner(r)
	for n := 1; sc.Scan(); n++ {
		f := strings.Fields(sc.Text())
		if len(f) == 0 || f[0] == "#" {
			continue
		}
		bad := fmt.Errorf("line %d: %q", n, sc.Text())
		switch {
		case strings.HasPrefix(f[0], "connection") && len(f) == 4:
			c, err1 := netip.ParseAddrPort(f[1])
			s, err2 := netip.ParseAddrPort(f[3])
			if err1 != nil || err2 != nil {
				return nil, bad
			}
			w = &want{Client: c, Server: s, EitherWay: f[2] == "<>", Optional: f[0] == "connection?"}
			ws = append(ws, w)
		case w == nil || len(f) < 2:
			return nil, bad
		case f[0] == "client" || f[0] == "server":
			p := pattern(f[1:])
			if slices.Equal(p, pattern{"-"}) {
				p = nil
			}
			w.Ends[role(f[0])] = p
		case f[0] == "client-at" || f[0] == "server-at":
			r := role(strings.TrimSuffix(f[0], "-at"))
			if len(f) != 1+len(w.Ends[r]) {
				return nil, bad
			}
			for _, s := range f[1:] {
				t, err := parseWhen(s)
				if err != nil {
					return nil, bad
				}
				w.At[r] = append(w.At[r], t)
			}
		case f[0] == "within":
			d, err := time.ParseDuration(f[1])
			if err != nil {
				return nil, bad
			}
			w.Within = d
		case f[0] == "closed-first":
			w.ClosedFirst = f[1]
		default:
			return nil, bad
		}
	}
	return ws, sc.Err()
}

func role(s string) int {
	if s == "server" {
		return 1
	}
	return 0
}

// compare returns what a tracker's connections, in order of first frame, say
// otherwise than the kernels.
func compare(ws []*want, gs []*got) []string { return compareBut(ws, gs, nil) }

// compareBut leaves out what excuse, if not nil, accepts of the states of an end
// that the kernel's pattern does not fit.
func compareBut(ws []*want, gs []*got, excuse func(w *want, role int, moves []move, mayBe []string) bool) []string {
	var diffs []string
	addf := func(format string, args ...any) { diffs = append(diffs, fmt.Sprintf(format, args...)) }
	for _, w := range ws {
		i := slices.IndexFunc(gs, func(g *got) bool {
			return g.Client == w.Client && g.Server == w.Server ||
				g.Client == w.Server && g.Server == w.Client
		})
		if i < 0 {
			if !w.Optional {
				addf("%v > %v: no such connection", w.Client, w.Server)
			}
			continue
		}
		g := gs[i]
		gs = slices.Delete(slices.Clone(gs), i, i+1)
		ends, mayBe, first := g.Ends, g.MayBe, g.ClosedFirst
		if g.Client != w.Client {
			if !w.EitherWay {
				addf("%v > %v: client and server exchanged", w.Client, w.Server)
			}
			ends[0], ends[1] = ends[1], ends[0]
			mayBe[0], mayBe[1] = mayBe[1], mayBe[0]
			switch first {
			case "client":
				first = "server"
			case "server":
				first = "client"
			}
		}
		for r, name := range [...]string{"client", "server"} {
			moves := normalise(ends[r])
			at, ok := w.Ends[r].fit(states(moves))
			if !ok && excuse != nil && excuse(w, r, moves, mayBe[r]) {
				continue
			}
			if !ok {
				addf("%v > %v: %s\n\tkernel  %v\n\ttracker %v", w.Client, w.Server, name, w.Ends[r], pattern(states(moves)))
				continue
			}
			for i, m := range moves {
				if w.At[r] == nil || w.At[r][at[i]] == never {
					continue
				}
				if k := w.At[r][at[i]]; time.Duration(m.at-k).Abs() > w.Within {
					addf("%v > %v: %s enters %s\n\tkernel  %v\n\ttracker %v", w.Client, w.Server, name, m.state, k, m.at)
				}
			}
		}
		if w.ClosedFirst != "" && first != w.ClosedFirst {
			addf("%v > %v: closed first\n\tkernel  %s\n\ttracker %s", w.Client, w.Server, w.ClosedFirst, first)
		}
	}
	for _, g := range gs {
		addf("%v > %v: the kernels had no such connection\n\tclient %v\n\tserver %v",
			g.Client, g.Server, pattern(states(g.Ends[0])), pattern(states(g.Ends[1])))
	}
	return diffs
}
