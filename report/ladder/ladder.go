// Package ladder prints one connection segment by segment, with the states of both
// ends beside each: a user sees who did what, and what it did to the other.
package ladder

import (
	"bufio"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"tcplife/decode"
	"tcplife/decode/capture"
	"tcplife/internal/script"
	"tcplife/report"
	"tcplife/report/anomaly"
	"tcplife/track"
)

// MaxHeld is how many lines are held so that their columns are straight: more
// than are looked at together.
const MaxHeld = 1000

// A Ladder is the report.Sink that prints one connection. Observe and ICMP must be
// given its segments, as the tracker takes them.
type Ladder struct {
	Inputs *report.Inputs // that its frames are of; nil if there is one
	Found  bool           // the connection was printed

	want  uint64
	out   *bufio.Writer
	color bool
	err   error // out's

	script    script.Script // of the lines that are held; the head, until it is printed
	begun     bool          // a line was added
	timeWidth int           // columns so far
	whatWidth int           // likewise
	base      [2]origin
	last      capture.Time
	taken     int            // withdrawals told
	states    [2]track.State // of client and server in the last line
}

// New returns a Ladder of the connection with that ID, counted over the whole run.
func New(w io.Writer, conn uint64, color bool) *Ladder {
	return &Ladder{out: bufio.NewWriter(w), want: conn, color: color}
}

// Err returns the error of writing.
func (l *Ladder) Err() error { return l.err }

// origin is what an end's relative numbers count from.
type origin struct {
	seq   uint32
	at    int64 // the last relative number told: the next one is near it
	known bool
}

// Observe takes a segment of the wanted connection.
func (l *Ladder) Observe(id uint64, c *track.Conn, seg *decode.Segment, notes track.Notes) {
	if id != l.want {
		return
	}
	srv := c.Server()
	from := track.Client
	if seg.Src == srv.Addr() && seg.SrcPort == srv.Port() {
		from = track.Server
	}
	l.base[from].learn(c.Ends()[from], seg.Seq)
	if seg.Flags.Has(decode.ACK) {
		l.base[1-from].learn(c.Ends()[1-from], seg.Ack)
	}
	taken := c.Withdrawals()
	if len(taken) > l.taken {
		notes &^= track.NoteWithdrawn // told in full
	}
	say := notes.List()
	for _, w := range taken[min(l.taken, len(taken)):] {
		say = append(say, fmt.Sprintf("withdraws %v of frame %s", w.To, l.Inputs.Frame(w.Frame)))
	}
	l.taken = len(taken)
	if seg.Flags.Has(decode.SYN) {
		say = append(say, synOptions(seg)...)
	}
	if r, ok := c.Reset(); ok && r.Frame == seg.Frame {
		say = append(say, anomaly.MadeBy(&r))
	}
	if seg.Opts.Has(decode.OptSACK) {
		edge := l.base[1-from]
		say = append(say, fmt.Sprintf("SACK to %d", edge.relative(seg.SACKEdge)))
	}
	l.step(c, seg.Time, script.Step{
		FromB: from == track.Server,
		What:  segmentText(seg, &l.base[from], &l.base[1-from]),
		Note:  strings.TrimSuffix(fmt.Sprintf("%s %s", l.Inputs.Frame(seg.Frame), strings.Join(say, ", ")), " "),
	})
}

// ICMP takes an ICMP error that quotes a segment of the wanted connection.
func (l *Ladder) ICMP(id uint64, c *track.Conn, e *decode.ICMPError) {
	if id != l.want {
		return
	}
	ends := c.Ends()
	to := track.Client // who sent what is quoted
	if e.Src == ends[track.Server].Addr() && e.SrcPort == ends[track.Server].Port() {
		to = track.Server
	}
	l.base[to].learn(ends[to], e.Seq)
	what := fmt.Sprintf("icmp %s quoting %d", decode.ICMPName(e.V6, e.Type, e.Code), l.base[to].relative(e.Seq))
	if e.From != ends[1-to].Addr() {
		what += " from " + e.From.IP().String()
	}
	effect := "changes no state"
	if was := l.states[to]; was != ends[to].State() {
		effect = fmt.Sprintf("ends the %v's %v", to, was)
	}
	l.step(c, e.Time, script.Step{
		FromB: to == track.Client,
		What:  what,
		Note:  l.Inputs.Frame(e.Frame) + " " + effect,
	})
}

// learn sets the origin at the first number of the end that is seen. Without its
// SYN the numbers begin at 1, as they would after a SYN.
func (o *origin) learn(e *track.End, seq uint32) {
	if o.known {
		return
	}
	o.known = true
	if isn, ok := e.ISN(); ok {
		o.seq = isn
		return
	}
	o.seq = seq - 1
}

// step adds a line, with the states that the connection is in now. Its time is
// told as the time since the line before.
func (l *Ladder) step(c *track.Conn, at capture.Time, st script.Step) {
	l.states = [2]track.State{c.Client().State(), c.Server().State()}
	st.A, st.B = l.states[track.Client].String(), l.states[track.Server].String()
	if !l.begun {
		l.begun = true
		l.head(c)
		st.Time = "0"
	} else {
		st.Time = sinceText(at.Sub(l.last).Nanoseconds())
	}
	l.last = at
	l.script.Steps = append(l.script.Steps, st)
	if len(l.script.Steps) == MaxHeld {
		l.flush()
	}
}

// head sets what stands above the first line.
func (l *Ladder) head(c *track.Conn) {
	cli, srv := c.Client(), c.Server()
	l.script.A = netip.AddrPortFrom(cli.Addr().IP(), cli.Port())
	l.script.B = netip.AddrPortFrom(srv.Addr().IP(), srv.Port())
	l.script.Comment = []string{
		fmt.Sprintf(" %s, connection %d: %s", report.Printable(l.Inputs.Name(c.First)), l.want, c.Start.UTC().Format("2006-01-02 15:04:05.000000 UTC")),
		" A is the client, by " + map[track.RoleBasis]string{
			track.BySYN: "its SYN", track.BySYNACK: "the SYN,ACK sent to it",
			track.ByPort: "the port numbers", track.ByFirst: "being seen first",
		}[c.RoleBasis],
	}
}

// sinceText returns ns as the notation has time: "+1.5", "-.001". Nanoseconds are
// rounded to microseconds.
func sinceText(ns int64) string {
	sign := "+"
	if ns < 0 {
		sign, ns = "-", -ns
	}
	us := (ns + 500) / 1000
	if us == 0 {
		return sign + ".000"
	}
	s := fmt.Sprintf("%d.%06d", us/1e6, us%1e6)
	return sign + strings.TrimPrefix(strings.TrimSuffix(strings.TrimRight(s, "0"), "."), "0")
}

// Connection takes the finished connection, if it is the wanted one.
func (l *Ladder) Connection(c *report.Connection) error {
	if c.ID != l.want {
		return nil
	}
	l.Found = true
	step := script.Step{What: script.EndOfCapture}
	at, expired := c.Now, false
	for _, e := range c.Ends() {
		if t := e.Transitions(); len(t) > 0 && t[len(t)-1].Basis == track.Timer && (!expired || t[len(t)-1].Time > at) {
			at, expired = t[len(t)-1].Time, true
		}
	}
	switch {
	case expired:
		step.What = "(2MSL)"
	case c.EndReason == track.Reused:
		step.What = "(ports used again)"
	case c.EndReason == track.Evicted:
		step.What = "(record given up)"
	}
	var may []string
	for _, e := range c.Ends() {
		for _, s := range e.MayBe(c.Now).List() {
			may = append(may, fmt.Sprintf("%v may be %v", c.Role(e), s))
		}
	}
	step.Note = strings.Join(may, ", ")
	l.step(c.Conn, at, step)
	l.flush()
	for i := range c.Findings {
		f := &c.Findings[i]
		text := f.Message
		if f.Side != anomaly.NoSide {
			text = f.Side.String() + " " + text
		}
		l.paint(yellow, fmt.Sprintf("= %v %s: %s (frames %s)", f.Severity, f.Rule.Name, text, l.frames(f.Packets)))
	}
	if err := l.out.Flush(); err != nil {
		l.err = err
	}
	return l.err
}

func (l *Ladder) Finding(*report.Finding) error { return nil }
func (l *Ladder) Capture(*report.Capture) error { return nil }
func (l *Ladder) Summary(*report.Summary) error { return nil }
func (l *Ladder) Close() error                  { return nil }

// frames names frames as people read them.
func (l *Ladder) frames(frames []uint64) string {
	var names []string
	for _, f := range frames {
		names = append(names, l.Inputs.Frame(f))
	}
	return strings.Join(names, " ")
}

// flush prints the lines that are held. A line is in columns with those printed
// with it and, unless it is wider, with those before.
func (l *Ladder) flush() {
	for i := range l.script.Steps {
		st := &l.script.Steps[i]
		l.timeWidth = max(l.timeWidth, len(st.Time))
		l.whatWidth = max(l.whatWidth, len(st.What))
	}
	for i := range l.script.Steps {
		st := &l.script.Steps[i]
		st.Time = fmt.Sprintf("%-*s", l.timeWidth, st.Time)
		st.What = fmt.Sprintf("%-*s", l.whatWidth, st.What)
	}
	n := 0
	for line := range strings.Lines(l.script.String()) {
		color := ""
		if !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "A ") && !strings.HasPrefix(line, "B ") {
			color = paintOf(&l.script.Steps[n])
			n++
		}
		l.paint(color, strings.TrimSuffix(line, "\n"))
	}
	l.script = script.Script{A: script.DefaultA, B: script.DefaultB, Steps: l.script.Steps[:0]} // told, or need not be
}

// paint prints a line in a colour, if colours are wanted.
func (l *Ladder) paint(color, line string) {
	if l.color && color != "" {
		line = color + line + "\x1b[0m"
	}
	if _, err := l.out.WriteString(line + "\n"); err != nil {
		l.err = err
	}
}

const red, yellow, green, dim = "\x1b[31m", "\x1b[33m", "\x1b[32m", "\x1b[2m"

// paintOf returns the colour of a line: red for resets, yellow for what is
// noteworthy, green for SYN and FIN.
func paintOf(st *script.Step) string {
	flags, _, _ := strings.Cut(st.What, " ")
	_, noted, _ := strings.Cut(st.Note, " ")
	if strings.Contains(flags, "S") && !strings.Contains(noted, "retrans") {
		noted = "" // options
	}
	switch {
	case strings.HasPrefix(st.What, "("):
		return dim
	case strings.Contains(flags, "R"):
		return red
	case noted != "":
		return yellow
	case strings.ContainsAny(flags, "SF"):
		return green
	}
	return ""
}

// segmentText writes the segment in the notation of package script. Options are
// left to the notes: they would make every line as wide as the longest.
func segmentText(seg *decode.Segment, snd, rcv *origin) string {
	var b strings.Builder
	const letters = "FSRP.UEW" // in the order of the bits
	for i, c := range letters {
		if seg.Flags.Has(1 << i) {
			b.WriteRune(c)
		}
	}
	if seg.Flags == 0 {
		b.WriteString("none")
	}
	seq := snd.relative(seg.Seq)
	fmt.Fprintf(&b, " %d:%d(%d)", seq, seq+int64(seg.Len), seg.Len)
	if seg.Flags.Has(decode.ACK) {
		fmt.Fprintf(&b, " ack %d", rcv.relative(seg.Ack))
	}
	fmt.Fprintf(&b, " win %d", seg.Wnd)
	return b.String()
}

func synOptions(seg *decode.Segment) []string {
	var opts []string
	if seg.Opts.Has(decode.OptMSS) {
		opts = append(opts, fmt.Sprintf("mss %d", seg.MSS))
	}
	if seg.Opts.Has(decode.OptScale) {
		opts = append(opts, fmt.Sprintf("window scale %d", seg.Scale))
	}
	if seg.Opts.Has(decode.OptSACKPermitted) {
		opts = append(opts, "SACK permitted")
	}
	if seg.Opts.Has(decode.OptTimestamps) {
		opts = append(opts, "timestamps")
	}
	if seg.Opts.Has(decode.OptFastOpen) {
		opts = append(opts, "fast open")
	}
	return opts
}

// relative returns n counted from the origin, of all numbers that are n modulo
// 2^32 the one nearest to the last: numbers go on rising after 4 GiB.
func (o *origin) relative(n uint32) int64 {
	if !o.known {
		return int64(n)
	}
	o.at += int64(int32(n - o.seq - uint32(o.at)))
	return o.at
}
