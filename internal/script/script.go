// Package script reads, prints and plays connection scripts: one frame per line,
// with the state of both ends beside it. A user of it learns what a tracker
// believes after each frame.
//
//	# RFC 9293, Figure 12: normal close sequence, A first.
//	+1      FIN_WAIT_1   --> F. 1:1(0) ack 1                    --> ESTABLISHED
//	+.010   FIN_WAIT_2   <-- . 1:1(0) ack 2                     <-- CLOSE_WAIT
//	+240    FIN_WAIT_2       (2MSL)                                 CLOSE_WAIT
//	= A: FIN_WAIT_1@1 FIN_WAIT_2@2r
//
// Blank lines part scripts. A script begins with comments, each line with #, and
// with the endpoints where they are not [DefaultA] and [DefaultB]:
//
//	A 192.0.2.1:40001
//	B [2001:db8::2]:443
//
// A script of which the connection takes place many times says so, with the time
// from one to the next, and what each has one more of (A.addr, A.port, B.addr,
// B.port); initial sequence numbers are scattered, or at even steps (isn 64000):
//
//	repeat 150 +.01 A.port
//
// A script that begins with the line "and" belongs to one capture with the script
// before.
//
// A line is a frame. Input are its time and its middle column; what stands beside
// them is the answer, may be absent, and is written by the tests' -update.
//
//   - Time is in seconds: after the line before (+.2), before it (-.2: the clock
//     went back), or since the beginning of the clock (5).
//   - The arrow points away from the sender, A on the left. The second arrow may
//     be left out on input.
//   - A segment is written as tcpdump and packetdrill do: the control bits
//     FSRP.UEW (. is ACK) or none, then seq:end(len), then, each optional,
//     ack N, win N, <options>, {attributes}. Numbers count from the ISN of whoever
//     sent the octets, so that a SYN is 0:0(0); they can be negative, and a later
//     incarnation has large ones. SYN and FIN don't count in end and len. The ACK
//     bit and ack N come together. Without win the window is 64240.
//   - Options: mss 1460, wscale 7, sackOK, TS val 100 ecr 0, sack 5:10 20:30, tfo.
//   - Attributes: id 7 (IPv4 identification; else 0, which is none), ttl 63 (else
//     64), badsum (wrong checksum), offload (the sum of the pseudo-header only),
//     cut (captured up to the end of the fixed TCP header).
//   - "icmp host-unreachable quoting 0 from 203.0.113.1" is an ICMP error to the end
//     that the arrow points to, about its segment with that number; without from
//     it comes from the other end. The names are those of
//     [decode.ICMPName].
//   - A frame in parentheses belongs to no connection (it is UDP) and moves the
//     clock only. "(end of capture)" is the last line; its states are those that
//     stand when nothing more can come.
//   - A note after the states is part of the answer.
//
// Lines that begin with = end a script. They are an answer too, and not
// interpreted here; see the test that writes them.
package script

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"

	"tcplife/decode"
)

// The endpoints of a script that names none.
var (
	DefaultA = netip.MustParseAddrPort("192.0.2.1:40000")
	DefaultB = netip.MustParseAddrPort("198.51.100.2:443")
)

// EndOfCapture is the text of the line after which nothing more can come.
const EndOfCapture = "(end of capture)"

// A Script is the frames of one connection, or of several between the same
// endpoints.
type Script struct {
	Comment []string // lines, without the #
	A, B    netip.AddrPort
	Steps   []Step
	End     []string // lines that begin with =
	And     bool     // it is in one capture with the script before

	repeat *repeat
	origin *Script   // that it is a copy of
	isn    [2]uint32 // what is added to the initial sequence numbers of A and B
}

// A Step is one line of a script: one frame.
type Step struct {
	Comment []string
	Time    string        // as written
	At      time.Duration // since the beginning of the clock
	FromB   bool          // meaningless for a frame of no connection
	What    string        // the middle column
	A, B    string        // states after the step; "": absent
	Note    string

	seg  *segment
	icmp *icmp
}

// Ends reports whether the step is the end of the capture.
func (s *Step) Ends() bool { return s.What == EndOfCapture }

// Parse reads scripts. The error names the line.
func Parse(text string) ([]*Script, error) {
	var p parser
	for i, l := range strings.Split(text, "\n") {
		if err := p.line(strings.TrimSpace(l)); err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
	}
	return p.all, p.end()
}

// A parser is where Parse is.
type parser struct {
	all     []*Script
	s       *Script  // nil between scripts
	comment []string // lines that belong to what comes next
	clock   time.Duration
}

func (p *parser) line(l string) error {
	if l == "" {
		return p.end()
	}
	if p.s == nil {
		p.s = &Script{A: DefaultA, B: DefaultB}
		p.all = append(p.all, p.s)
	}
	s := p.s
	switch {
	case l[0] == '#':
		p.comment = append(p.comment, l[1:])
		return nil
	case l[0] == '=':
		s.End = append(s.End, strings.Join(strings.Fields(l), " "))
		return nil
	case len(s.End) > 0:
		return errors.New("frame after a line with =")
	case len(s.Steps) == 0:
		s.Comment, p.comment = append(s.Comment, p.comment...), nil
		if ok, err := s.head(l); ok {
			return err
		}
	case s.Steps[len(s.Steps)-1].Ends():
		return errors.New("frame after the end of the capture")
	}
	st, err := parseStep(l, p.clock)
	if err != nil {
		return err
	}
	st.Comment, p.comment, p.clock = p.comment, nil, st.At
	s.Steps = append(s.Steps, st)
	return s.check(&st)
}

// end ends a script, if one has begun.
func (p *parser) end() error {
	if len(p.comment) > 0 && len(p.s.Steps) > 0 {
		return errors.New("comment without a frame")
	}
	if p.s != nil {
		p.s.Comment = append(p.s.Comment, p.comment...)
	}
	p.s, p.comment, p.clock = nil, nil, 0
	return nil
}

// head takes a line that stands before the frames, if l is one.
func (s *Script) head(l string) (ok bool, err error) {
	switch f := strings.Fields(l); {
	case l[0] == 'A' || l[0] == 'B':
		return true, s.endpoint(l)
	case f[0] == "repeat":
		s.repeat, err = parseRepeat(f[1:])
		return true, err
	case l == "and":
		s.And = true
		return true, nil
	}
	return false, nil
}

func (s *Script) endpoint(l string) error {
	f := strings.Fields(l)
	if len(f) != 2 || len(f[0]) != 1 {
		return fmt.Errorf("not an endpoint: %q", l)
	}
	a, err := netip.ParseAddrPort(f[1])
	if err != nil {
		return err
	}
	if a.Addr().Zone() != "" || a.Addr().Is4In6() {
		return fmt.Errorf("not an address on the wire: %v", a.Addr())
	}
	if f[0] == "A" {
		s.A = a
	} else {
		s.B = a
	}
	return nil
}

// check refuses what the script's endpoints make impossible.
func (s *Script) check(st *Step) error {
	if s.A.Addr().Is4() != s.B.Addr().Is4() {
		return errors.New("one end has an IPv4 and the other an IPv6 address")
	}
	if s.A == s.B {
		return fmt.Errorf("both ends are %v", s.A)
	}
	if st.icmp != nil && st.icmp.from.IsValid() && st.icmp.from.Is4() != s.A.Addr().Is4() {
		return fmt.Errorf("%v has no route to the ends", st.icmp.from)
	}
	if st.icmp != nil {
		if _, _, ok := decode.ICMPCode(!s.A.Addr().Is4(), st.icmp.name); !ok {
			return fmt.Errorf("not the name of an ICMP error: %q", st.icmp.name)
		}
	}
	if st.seg != nil && st.seg.id != 0 && !s.A.Addr().Is4() {
		return errors.New("no identification in IPv6")
	}
	return nil
}

var (
	timeRE  = regexp.MustCompile(`^([+-]?)([0-9]{0,9})(?:\.([0-9]{1,9}))?$`)
	stateRE = regexp.MustCompile(`^[A-Z][A-Z_0-9]*$`)
)

func parseTime(s string, before time.Duration) (time.Duration, error) {
	m := timeRE.FindStringSubmatch(s)
	if m == nil || m[2]+m[3] == "" {
		return 0, fmt.Errorf("not a time: %q", s)
	}
	sec, _ := strconv.ParseInt("0"+m[2], 10, 64)
	ns, _ := strconv.ParseInt((m[3] + "000000000")[:9], 10, 64)
	d := time.Duration(sec)*time.Second + time.Duration(ns)
	switch m[1] {
	case "+":
		return before + d, nil
	case "-":
		return before - d, nil
	}
	return d, nil
}

func parseStep(l string, clock time.Duration) (Step, error) {
	var st Step
	var err error
	f := strings.Fields(l)
	st.Time = f[0]
	if st.At, err = parseTime(f[0], clock); err != nil {
		return st, err
	}
	f = f[1:]
	if len(f) > 0 && stateRE.MatchString(f[0]) {
		st.A, f = f[0], f[1:]
	}
	rest := strings.Join(f, " ")
	switch {
	case strings.HasPrefix(rest, "("):
		n := strings.Index(rest, ")")
		if n < 0 {
			return st, fmt.Errorf("parenthesis not closed: %q", rest)
		}
		st.What, rest = rest[:n+1], rest[n+1:]
	case strings.HasPrefix(rest, "--> "), strings.HasPrefix(rest, "<-- "):
		arrow := rest[:3]
		st.FromB = arrow == "<--"
		st.What, rest, _ = strings.Cut(rest[4:]+" ", " "+arrow+" ")
		st.What = strings.TrimSuffix(st.What, " ")
		if strings.HasPrefix(st.What, "icmp ") {
			st.icmp, err = parseICMP(st.What)
		} else {
			st.seg, err = parseSegment(st.What)
		}
	default:
		return st, fmt.Errorf("neither arrow nor parenthesis: %q", rest)
	}
	if f = strings.Fields(rest); len(f) > 0 && stateRE.MatchString(f[0]) {
		st.B, f = f[0], f[1:]
	}
	st.Note = strings.Join(f, " ")
	return st, err
}

// String prints the script in columns, which Parse reads back.
func (s *Script) String() string {
	var b strings.Builder
	comment := func(c []string) {
		for _, l := range c {
			fmt.Fprintf(&b, "#%s\n", l)
		}
	}
	comment(s.Comment)
	if s.And {
		b.WriteString("and\n")
	}
	if s.repeat != nil {
		b.WriteString(s.repeat.String() + "\n")
	}
	if s.A != DefaultA {
		fmt.Fprintf(&b, "A %v\n", s.A)
	}
	if s.B != DefaultB {
		fmt.Fprintf(&b, "B %v\n", s.B)
	}
	width := 34
	for i := range s.Steps {
		width = max(width, len(s.Steps[i].What))
	}
	for i := range s.Steps {
		st := &s.Steps[i]
		comment(st.Comment)
		arrow := "-->"
		switch {
		case st.What[0] == '(':
			arrow = "   "
		case st.FromB:
			arrow = "<--"
		}
		l := fmt.Sprintf("%-7s %-12s %s %-*s %s %-12s %s", st.Time, st.A, arrow, width, st.What, arrow, st.B, st.Note)
		b.WriteString(strings.TrimRight(l, " ") + "\n")
	}
	for _, l := range s.End {
		b.WriteString(l + "\n")
	}
	return b.String()
}

// Format prints scripts with blank lines between them.
func Format(all []*Script) string {
	text := make([]string, len(all))
	for i, s := range all {
		text[i] = s.String()
	}
	return strings.Join(text, "\n")
}
