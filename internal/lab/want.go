package main

import (
	"bufio"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
)

// A want is what the kernels of both hosts say of one connection, in the
// notation of testdata/pcaps/README.md.
type want struct {
	Client, Server netip.AddrPort
	EitherWay      bool // nothing in the capture tells the client from the server
	Optional       bool // a tracker may have no record of it
	Notes          []string
	Ends           [2]pattern // of client and server
	ClosedFirst    string     // "" if not compared
}

// A pattern is the states of one end in order. A state with a trailing "?" may
// be missing; the pattern "*" fits everything.
type pattern []string

// fits reports whether the states are ones that the pattern allows.
func (p pattern) fits(states []string) bool {
	if len(p) == 1 && p[0] == "*" {
		return true
	}
	if len(p) == 0 {
		return len(states) == 0
	}
	s, optional := strings.CutSuffix(p[0], "?")
	if len(states) > 0 && states[0] == s && p[1:].fits(states[1:]) {
		return true
	}
	return optional && p[1:].fits(states)
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
func normalise(states []string) []string {
	var out []string
	for _, s := range states {
		if s == "LISTEN" {
			s = "CLOSED"
		}
		switch {
		case len(out) == 0 && (s == "CLOSED" || s == "UNKNOWN"):
		case len(out) > 0 && out[len(out)-1] == s:
		default:
			out = append(out, s)
		}
	}
	return out
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

// A got is what a tracker says of one connection.
type got struct {
	Client, Server netip.AddrPort
	Ends           [2][]string
	ClosedFirst    string
}

// compare returns what a tracker's connections, in order of first frame, say
// otherwise than the kernels.
func compare(ws []*want, gs []*got) []string {
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
		ends, first := g.Ends, g.ClosedFirst
		if g.Client != w.Client {
			if !w.EitherWay {
				addf("%v > %v: client and server exchanged", w.Client, w.Server)
			}
			ends[0], ends[1] = ends[1], ends[0]
			switch first {
			case "client":
				first = "server"
			case "server":
				first = "client"
			}
		}
		for r, name := range [...]string{"client", "server"} {
			if s := normalise(ends[r]); !w.Ends[r].fits(s) {
				addf("%v > %v: %s\n\tkernel  %v\n\ttracker %v", w.Client, w.Server, name, w.Ends[r], pattern(s))
			}
		}
		if w.ClosedFirst != "" && first != w.ClosedFirst {
			addf("%v > %v: closed first\n\tkernel  %s\n\ttracker %s", w.Client, w.Server, w.ClosedFirst, first)
		}
	}
	for _, g := range gs {
		addf("%v > %v: the kernels had no such connection\n\tclient %v\n\tserver %v",
			g.Client, g.Server, pattern(g.Ends[0]), pattern(g.Ends[1]))
	}
	return diffs
}
