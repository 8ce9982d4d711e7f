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
//     it comes from the other end. The names are in [ICMP].
//   - A frame in parentheses belongs to no connection (it is UDP) and moves the
//     clock only. "(end of capture)" is the last line; its states are those that
//     stand when nothing more can come.
//   - A note after the states is part of the answer.
//
// Lines that begin with = end a script. They are an answer too, and not
// interpreted here; see the test that writes them.
package script

import (
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

// A segment is a segment with relative numbers.
type segment struct {
	flags              decode.Flags
	seq, ack           int64
	len, wnd, mss      int64
	id, ttl            int64
	opts               decode.Opts
	scale              int64
	val, ecr           int64
	sack               [][2]int64
	badsum, offl, trim bool
}

type icmp struct {
	name string
	seq  int64
	from netip.Addr // the zero Addr: the other end
}

// ICMP names the errors that a script can hold, with type and code of ICMP and
// of ICMPv6.
var ICMP = map[string]struct{ V4, V6 [2]uint8 }{
	"net-unreachable":  {[2]uint8{3, 0}, [2]uint8{1, 0}},
	"host-unreachable": {[2]uint8{3, 1}, [2]uint8{1, 3}},
	"port-unreachable": {[2]uint8{3, 3}, [2]uint8{1, 4}},
	"too-big":          {[2]uint8{3, 4}, [2]uint8{2, 0}},
	"prohibited":       {[2]uint8{3, 13}, [2]uint8{1, 1}},
	"time-exceeded":    {[2]uint8{11, 0}, [2]uint8{3, 0}},
}

// Parse reads scripts. The error names the line.
func Parse(text string) ([]*Script, error) {
	var (
		all     []*Script
		s       *Script
		comment []string
		clock   time.Duration
	)
	end := func(line int) error {
		if s != nil && len(comment) > 0 {
			if len(s.Steps) > 0 {
				return fmt.Errorf("line %d: comment without a frame", line)
			}
			s.Comment = comment
		}
		s, comment, clock = nil, nil, 0
		return nil
	}
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		l = strings.TrimSpace(l)
		if l == "" {
			if err := end(i); err != nil {
				return nil, err
			}
			continue
		}
		if s == nil {
			s = &Script{A: DefaultA, B: DefaultB}
			all = append(all, s)
		}
		err := func() error {
			if c, ok := strings.CutPrefix(l, "#"); ok {
				comment = append(comment, c)
				return nil
			}
			if strings.HasPrefix(l, "=") {
				s.End = append(s.End, strings.Join(strings.Fields(l), " "))
				return nil
			}
			if len(s.End) > 0 {
				return fmt.Errorf("frame after a line with =")
			}
			if len(s.Steps) == 0 {
				s.Comment, comment = append(s.Comment, comment...), nil
				if l[0] == 'A' || l[0] == 'B' {
					return s.endpoint(l)
				}
			} else if s.Steps[len(s.Steps)-1].Ends() {
				return fmt.Errorf("frame after the end of the capture")
			}
			st, err := parseStep(l, clock)
			if err != nil {
				return err
			}
			if err := s.check(&st); err != nil {
				return err
			}
			st.Comment, comment = comment, nil
			clock = st.At
			s.Steps = append(s.Steps, st)
			return nil
		}()
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
	}
	return all, end(len(lines))
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
		return fmt.Errorf("one end has an IPv4 and the other an IPv6 address")
	}
	if s.A == s.B {
		return fmt.Errorf("both ends are %v", s.A)
	}
	if st.icmp != nil && st.icmp.from.IsValid() && st.icmp.from.Is4() != s.A.Addr().Is4() {
		return fmt.Errorf("%v has no route to the ends", st.icmp.from)
	}
	if st.seg != nil && st.seg.id != 0 && !s.A.Addr().Is4() {
		return fmt.Errorf("no identification in IPv6")
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
			if st.icmp, err = parseICMP(st.What); err == nil {
				st.What = st.icmp.String()
			}
		} else if st.seg, err = parseSegment(st.What); err == nil {
			st.What = st.seg.String()
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

var segmentRE = regexp.MustCompile(`^(none|[FSRP.UEW]+) (-?\d+):(-?\d+)\((\d+)\)(?: ack (-?\d+))?(?: win (\d+))?(?: <([^>]*)>)?(?: \{([^}]*)\})?$`)

const flagLetters = "FSRP.UEW" // in the order of the bits, and of tcpdump

// maxRelative keeps sums of relative numbers far from overflow.
const maxRelative = 1 << 40

func parseSegment(text string) (*segment, error) {
	m := segmentRE.FindStringSubmatch(text)
	if m == nil {
		return nil, fmt.Errorf("not a segment: %q", text)
	}
	g := &segment{wnd: 64240, ttl: 64}
	var err error
	num := func(to *int64, s string, lo, hi int64) {
		n, e := strconv.ParseInt(s, 10, 64)
		if err == nil && (e != nil || n < lo || n > hi) {
			err = fmt.Errorf("not between %d and %d: %q", lo, hi, s)
		}
		*to = n
	}
	if m[1] != "none" {
		for _, c := range m[1] {
			g.flags |= 1 << strings.IndexRune(flagLetters, c)
		}
	}
	var end int64
	num(&g.seq, m[2], -maxRelative, maxRelative)
	num(&end, m[3], -maxRelative, maxRelative)
	num(&g.len, m[4], 0, 65535-20-60)
	if err == nil && end != g.seq+g.len {
		return nil, fmt.Errorf("%d + %d is not %d", g.seq, g.len, end)
	}
	if (m[5] != "") != g.flags.Has(decode.ACK) {
		return nil, fmt.Errorf("the flag . and ack go together: %q", text)
	}
	if m[5] != "" {
		num(&g.ack, m[5], -maxRelative, maxRelative)
	}
	if m[6] != "" {
		num(&g.wnd, m[6], 0, 65535)
	}
	for _, o := range strings.FieldsFunc(m[7], func(r rune) bool { return r == ',' }) {
		f := strings.Fields(o)
		switch {
		case len(f) == 2 && f[0] == "mss":
			g.opts |= decode.OptMSS
			num(&g.mss, f[1], 0, 65535)
		case len(f) == 2 && f[0] == "wscale":
			g.opts |= decode.OptScale
			num(&g.scale, f[1], 0, 255)
		case len(f) == 1 && f[0] == "sackOK":
			g.opts |= decode.OptSACKPermitted
		case len(f) == 5 && f[0] == "TS" && f[1] == "val" && f[3] == "ecr":
			g.opts |= decode.OptTimestamps
			num(&g.val, f[2], 0, 1<<32-1)
			num(&g.ecr, f[4], 0, 1<<32-1)
		case len(f) >= 2 && f[0] == "sack" && len(g.sack) == 0:
			for _, b := range f[1:] {
				var lr [2]int64
				l, r, _ := strings.Cut(b, ":")
				num(&lr[0], l, -maxRelative, maxRelative)
				num(&lr[1], r, -maxRelative, maxRelative)
				g.sack = append(g.sack, lr)
			}
		case len(f) == 1 && f[0] == "tfo":
			g.opts |= decode.OptFastOpen
		default:
			return nil, fmt.Errorf("not an option: %q", o)
		}
	}
	f := strings.Fields(m[8])
	for len(f) > 0 {
		switch {
		case len(f) > 1 && f[0] == "id":
			num(&g.id, f[1], 0, 65535)
			f = f[1:]
		case len(f) > 1 && f[0] == "ttl":
			num(&g.ttl, f[1], 0, 255)
			f = f[1:]
		case f[0] == "badsum":
			g.badsum = true
		case f[0] == "offload":
			g.offl = true
		case f[0] == "cut":
			g.trim = true
		default:
			return nil, fmt.Errorf("not an attribute: %q", f[0])
		}
		f = f[1:]
	}
	if err == nil && g.optLen() > 40 {
		err = fmt.Errorf("options of %d octets", g.optLen())
	}
	if err == nil && g.badsum && g.offl {
		err = fmt.Errorf("two checksums: %q", text)
	}
	return g, err
}

// optLen returns the octets of the options on the wire, without padding.
func (g *segment) optLen() int {
	n := 0
	for o, l := range map[decode.Opts]int{
		decode.OptMSS: 4, decode.OptScale: 3, decode.OptSACKPermitted: 2, decode.OptTimestamps: 10,
		decode.OptFastOpen: 2 + len(cookie),
	} {
		if g.opts.Has(o) {
			n += l
		}
	}
	if len(g.sack) > 0 {
		n += 2 + 8*len(g.sack)
	}
	return n
}

func (g *segment) String() string {
	var b strings.Builder
	for i, c := range flagLetters {
		if g.flags.Has(1 << i) {
			b.WriteRune(c)
		}
	}
	if g.flags == 0 {
		b.WriteString("none")
	}
	fmt.Fprintf(&b, " %d:%d(%d)", g.seq, g.seq+g.len, g.len)
	if g.flags.Has(decode.ACK) {
		fmt.Fprintf(&b, " ack %d", g.ack)
	}
	if g.wnd != 64240 {
		fmt.Fprintf(&b, " win %d", g.wnd)
	}
	var o []string
	if g.opts.Has(decode.OptMSS) {
		o = append(o, fmt.Sprint("mss ", g.mss))
	}
	if g.opts.Has(decode.OptScale) {
		o = append(o, fmt.Sprint("wscale ", g.scale))
	}
	if g.opts.Has(decode.OptSACKPermitted) {
		o = append(o, "sackOK")
	}
	if g.opts.Has(decode.OptTimestamps) {
		o = append(o, fmt.Sprintf("TS val %d ecr %d", g.val, g.ecr))
	}
	if len(g.sack) > 0 {
		s := "sack"
		for _, b := range g.sack {
			s += fmt.Sprintf(" %d:%d", b[0], b[1])
		}
		o = append(o, s)
	}
	if g.opts.Has(decode.OptFastOpen) {
		o = append(o, "tfo")
	}
	if o != nil {
		fmt.Fprintf(&b, " <%s>", strings.Join(o, ","))
	}
	var a []string
	if g.id != 0 {
		a = append(a, fmt.Sprint("id ", g.id))
	}
	if g.ttl != 64 {
		a = append(a, fmt.Sprint("ttl ", g.ttl))
	}
	if g.badsum {
		a = append(a, "badsum")
	}
	if g.offl {
		a = append(a, "offload")
	}
	if g.trim {
		a = append(a, "cut")
	}
	if a != nil {
		fmt.Fprintf(&b, " {%s}", strings.Join(a, " "))
	}
	return b.String()
}

var icmpRE = regexp.MustCompile(`^icmp (\S+) quoting (-?[0-9]{1,12})(?: from (\S+))?$`)

func parseICMP(text string) (*icmp, error) {
	m := icmpRE.FindStringSubmatch(text)
	if m == nil {
		return nil, fmt.Errorf("not an ICMP error: %q", text)
	}
	if _, ok := ICMP[m[1]]; !ok {
		return nil, fmt.Errorf("not the name of an ICMP error: %q", m[1])
	}
	seq, _ := strconv.ParseInt(m[2], 10, 64)
	e := &icmp{name: m[1], seq: seq}
	if m[3] != "" {
		var err error
		if e.from, err = netip.ParseAddr(m[3]); err != nil {
			return nil, err
		}
		if e.from.Zone() != "" || e.from.Is4In6() {
			return nil, fmt.Errorf("not an address on the wire: %v", e.from)
		}
	}
	return e, nil
}

func (e *icmp) String() string {
	s := fmt.Sprintf("icmp %s quoting %d", e.name, e.seq)
	if e.from.IsValid() {
		s += " from " + e.from.String()
	}
	return s
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
