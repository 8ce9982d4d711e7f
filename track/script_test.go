package track

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tcplife/decode"
	"tcplife/internal/script"
)

var update = flag.Bool("update", false, "rewrite the scripts' states; read the diff before committing it")

// isns are the initial sequence numbers of A and B that every script is played
// with. The last two pairs wrap within the handshake.
var isns = [][2]uint32{{1000, 2_000_000_000}, {1<<32 - 1, 1<<32 - 1}, {1 << 31, 1<<32 - 2}}

// The answer to a script is, beside each line, the states of A and B in the
// connection that the line was counted in: as the tracker believes once the line
// has been seen. Notes follow, #2 before them in the second connection.
//
// The lines at its end tell, for each connection, what the tracker believes of
// A's and B's whole life when it is over: the states with the frames that show
// them, and the basis where the end was not seen to act: r received, t timer, with
// the time on the script's clock, since no frame need be captured then.
// Behind "or" are other states that the end may be in. A third line has how the
// handshake and the teardown went, who closed first and why the record ended,
// then what else is out of the ordinary.

// A player is a tracker's audience during one script.
type player struct {
	s     *script.Script
	t     *Tracker
	conns []*life
	now   *life // the connection that the frame was counted in; nil: the newest
	notes map[uint64]Notes
}

// A life is one connection in the answer.
type life struct {
	id     uint64
	states [2]State // of A and B
	end    []string // lines of the end of the script
}

// answer plays the script and writes the states, the notes and the end into it.
func answer(s *script.Script, isnA, isnB uint32) {
	p := &player{s: s, t: New(Config{}), notes: map[uint64]Notes{}}
	p.t.Done = func(c *Conn) {
		l := p.life(c)
		l.states = p.states(c)
		l.end = p.end(c)
	}
	var frame uint64
	p.t.Observe = func(c *Conn, seg *decode.Segment, n Notes) {
		p.notes[seg.Frame] |= n
		if l := p.life(c); seg.Frame == frame {
			p.now = l
		}
	}
	for _, e := range s.Events(isnA, isnB) {
		frame, p.now = e.Frame, nil
		switch {
		case e.Segment != nil:
			p.t.Segment(e.Segment)
		case e.ICMP != nil:
			p.t.ICMP(e.ICMP)
		default:
			p.t.Tick(e.Time, e.Frame)
		}
		if e.Step.Ends() {
			p.t.Finish()
			p.now = nil
		}
		p.t.Each(func(c *Conn) { p.life(c).states = p.states(c) })
		p.write(e.Step)
	}
	if n := len(s.Steps); n > 0 && !s.Steps[n-1].Ends() {
		p.t.Finish()
	}
	s.End = nil
	for i, l := range p.conns {
		for _, line := range l.end {
			if i > 0 {
				line = fmt.Sprint(i+1, " ", line)
			}
			s.End = append(s.End, "= "+line)
		}
	}
	for i := range s.Steps {
		n := p.notes[uint64(i+1)]
		s.Steps[i].Note = strings.TrimSpace(s.Steps[i].Note + " " + n.String())
	}
}

func (p *player) life(c *Conn) *life {
	for _, l := range p.conns {
		if l.id == c.ID {
			return l
		}
	}
	l := &life{id: c.ID}
	p.conns = append(p.conns, l)
	return l
}

// write sets the states beside a line, and the number of their connection if it
// is not the first.
func (p *player) write(st *script.Step) {
	st.A, st.B, st.Note = "", "", ""
	l := p.now
	if l == nil {
		if len(p.conns) == 0 {
			return
		}
		l = p.conns[len(p.conns)-1]
	}
	st.A, st.B = l.states[0].String(), l.states[1].String()
	if l != p.conns[0] {
		for i := range p.conns {
			if p.conns[i] == l {
				st.Note = fmt.Sprint("#", i+1)
			}
		}
	}
}

// ends returns A's and B's end.
func (p *player) ends(c *Conn) [2]*End {
	a, b := c.Client(), c.Server()
	if a.Addr() != decode.Addr(p.s.A.Addr().As16()) || a.Port() != p.s.A.Port() {
		a, b = b, a
	}
	return [2]*End{a, b}
}

func (p *player) states(c *Conn) [2]State {
	e := p.ends(c)
	return [2]State{e[0].State(), e[1].State()}
}

func (p *player) end(c *Conn) []string {
	var lines []string
	ends := p.ends(c)
	name := func(e *End) string {
		if e == ends[0] {
			return "A"
		}
		return "B"
	}
	for _, e := range ends {
		l := name(e) + ":"
		for _, t := range e.Transitions() {
			l += fmt.Sprintf(" %v@%d%s", t.To, t.Frame, [...]string{"", "r", "t"}[t.Basis])
			if t.Basis == Timer {
				l += fmt.Sprintf("+%.3f", t.Time.Sub(script.Epoch).Seconds())
			}
		}
		for _, s := range e.MayBe(p.t.Now()).List() {
			l += fmt.Sprint(" or ", s)
		}
		lines = append(lines, l)
	}
	facts := []string{c.Handshake().String(), c.Teardown().String()}
	switch c.ClosedFirst() {
	case ClientFirst:
		facts = append(facts, name(c.Client())+" closed first")
	case ServerFirst:
		facts = append(facts, name(c.Server())+" closed first")
	case BothFirst:
		facts = append(facts, "both closed first")
	}
	facts = append(facts, c.EndReason.String())
	if c.RoleBasis != BySYN {
		facts = append(facts, fmt.Sprintf("%s is client by %v", name(c.Client()), c.RoleBasis))
	} else if c.Client() != ends[0] {
		facts = append(facts, "B is client")
	}
	for _, e := range ends {
		if w := e.ClosedWith(); w != NoCloser {
			facts = append(facts, fmt.Sprint(name(e), " by ", w))
		}
	}
	if c.Midstream {
		facts = append(facts, "midstream")
	}
	if c.OneSided() {
		facts = append(facts, "one-sided")
	}
	for _, n := range []struct {
		count int
		of    string
	}{{c.withdrawn, "withdrawn"}, {c.Gaps(), "gaps"}, {c.Duplicates(), "duplicates"}} {
		if n.count > 0 {
			facts = append(facts, fmt.Sprint(n.count, " ", n.of))
		}
	}
	return append(lines, strings.Join(facts, ", "))
}

// parse reads the scripts of a file, which are known to be well-formed but for
// the file's author.
func parse(t *testing.T, text string) []*script.Script {
	t.Helper()
	all, err := script.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func scriptFiles(t *testing.T) map[string]string {
	t.Helper()
	names, err := filepath.Glob("testdata/*.tcp")
	if err != nil || len(names) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	files := map[string]string{}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = string(text)
	}
	return files
}

func TestScripts(t *testing.T) {
	for name, want := range scriptFiles(t) {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".tcp"), func(t *testing.T) {
			for i, isn := range isns {
				all := parse(t, want)
				for _, s := range all {
					answer(s, isn[0], isn[1])
				}
				got := script.Format(all)
				if *update && i == 0 && got != want {
					if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
						t.Fatal(err)
					}
					want = got
				}
				if d := cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")); d != "" {
					t.Errorf("with ISNs %v (-want +got):\n%s", isn, d)
				}
			}
		})
	}
}

// TestEveryArrow removes each arrow of Figure 5 in turn: some script must tell
// the difference.
func TestEveryArrow(t *testing.T) {
	files := scriptFiles(t)
	play := func(text string) string {
		all := parse(t, text)
		for _, s := range all {
			answer(s, isns[0][0], isns[0][1])
		}
		return script.Format(all)
	}
	whole := map[string]string{}
	for name, text := range files {
		whole[name] = play(text)
	}
	for s := range next {
		for m, to := range next[s] {
			if to == 0 {
				continue
			}
			next[s][m] = 0
			noticed := false
			for name, text := range files {
				if noticed = play(text) != whole[name]; noticed {
					break
				}
			}
			next[s][m] = to
			if !noticed {
				t.Errorf("no script takes the arrow from %v to %v", State(s), to)
			}
		}
	}
}

// margins returns the states beside every line of a script that was played.
func margins(s *script.Script) [][2]string {
	var m [][2]string
	for i := range s.Steps {
		m = append(m, [2]string{s.Steps[i].A, s.Steps[i].B})
	}
	return m
}

// each plays every script as it is, and hands it to f with a copy that is not
// yet played.
func each(t *testing.T, f func(t *testing.T, played, fresh *script.Script)) {
	for name, text := range scriptFiles(t) {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".tcp"), func(t *testing.T) {
			all, fresh := parse(t, text), parse(t, text)
			for i, s := range all {
				answer(s, isns[1][0], isns[1][1])
				f(t, s, fresh[i])
			}
		})
	}
}

// TestMirrored holds that nothing depends on which end is which: where A and B
// change places, so do their states.
func TestMirrored(t *testing.T) {
	each(t, func(t *testing.T, played, s *script.Script) {
		for i := range s.Steps {
			s.Steps[i].FromB = !s.Steps[i].FromB
		}
		answer(s, isns[1][0], isns[1][1])
		want := margins(played)
		for i := range want {
			want[i][0], want[i][1] = want[i][1], want[i][0]
		}
		if d := cmp.Diff(want, margins(s)); d != "" {
			t.Errorf("(-want +got):\n%s%s", d, s)
		}
	})
}

// TestDoubled holds that a capture which has every frame twice, as at a mirror
// port that sees it come and go, tells the same.
func TestDoubled(t *testing.T) {
	each(t, func(t *testing.T, played, s *script.Script) {
		var double []script.Step
		for i, st := range s.Steps {
			double = append(double, st)
			if st.Ends() {
				break
			}
			st.At += time.Millisecond
			if i+1 < len(s.Steps) {
				st.At = min(st.At, s.Steps[i+1].At)
			}
			double = append(double, st)
		}
		s.Steps = double
		answer(s, isns[1][0], isns[1][1])
		var got [][2]string
		for i, m := range margins(s) {
			if i%2 == 0 {
				got = append(got, m)
			}
		}
		if d := cmp.Diff(margins(played), got); d != "" {
			t.Errorf("(-want +got):\n%s%s", d, s)
		}
	})
}

// TestBeheaded holds that a capture which begins late ends in the same states,
// if it has both FINs.
func TestBeheaded(t *testing.T) {
	each(t, func(t *testing.T, played, _ *script.Script) {
		last := orderly(played)
		for cut := 1; cut <= last; cut++ {
			s := parse(t, played.String())[0]
			s.Steps = s.Steps[cut:]
			answer(s, isns[1][0], isns[1][1])
			want, got := played.Steps[len(played.Steps)-1], s.Steps[len(s.Steps)-1]
			if got.A != want.A || got.B != want.B {
				t.Errorf("without the first %d frames: %s, %s:\n%s", cut, got.A, got.B, s)
			}
		}
	})
}

// orderly returns how many frames of a script come before both FINs, if it is
// one connection that was closed by them and nothing was taken back; else 0. A SYN
// behind them is told from a new connection's by the first frame alone.
func orderly(s *script.Script) int {
	if len(s.End) != 3 || !strings.Contains(s.End[2], ", fin,") || strings.Contains(s.End[2], "withdrawn") {
		return 0
	}
	first, fin := len(s.Steps), [2]bool{}
	for i, st := range s.Steps {
		flags, _, _ := strings.Cut(st.What, " ")
		if strings.Contains(flags, "S") && first < i {
			return 0
		}
		if strings.Contains(flags, "F") {
			first = min(first, i)
			fin[0] = fin[0] || !st.FromB
			fin[1] = fin[1] || st.FromB
		}
	}
	if !fin[0] || !fin[1] {
		return 0
	}
	return first
}

// TestShuffled holds that the numbers order events, and not the capture: two
// segments that crossed, or that the network reordered, leave both ends in the same
// states whichever of them is captured first. But one that waits is decided by what is
// captured behind it, and of an end that is never seen only the order of its peer's
// ACKs tells.
func TestShuffled(t *testing.T) {
	pairs := 0
	each(t, func(t *testing.T, played, _ *script.Script) {
		events := played.Events(isns[1][0], isns[1][1])
		for i := range max(len(events)-1, 0) {
			if a, b := events[i].Segment, events[i+1].Segment; a == nil || b == nil || !crossed(a, b) && !reordered(a, b) {
				continue
			}
			var both [2]*script.Script
			for j := range both {
				s := parse(t, played.String())[0]
				one, two := &s.Steps[i], &s.Steps[i+1]
				if j == 1 {
					*one, *two = *two, *one
				}
				one.At, one.Time = events[i].Step.At, events[i].Step.Time
				two.At, two.Time = one.At+100*time.Microsecond, "+.0001" // less than any round trip
				answer(s, isns[1][0], isns[1][1])
				both[j] = s
			}
			if waits(both[0]) != waits(both[1]) || strings.Contains(played.String(), "one-sided") {
				continue
			}
			pairs++
			if d := cmp.Diff(finals(both[0]), finals(both[1])); d != "" {
				t.Errorf("frames %d and %d (-as they are +swapped):\n%s\n%s\n%s", i+1, i+2, d, both[0], both[1])
			}
		}
	})
	if pairs < 100 {
		t.Errorf("%d pairs of segments that may be swapped", pairs)
	}
}

// finals returns the last state of each end of each connection of a script that was
// played.
func finals(s *script.Script) []string {
	var all []string
	for _, l := range s.End {
		if life, _, _ := strings.Cut(l, " or "); strings.Contains(l, ":") {
			f := strings.Fields(life)
			state, _, _ := strings.Cut(f[len(f)-1], "@")
			all = append(all, state)
		}
	}
	return all
}

// waits returns how many segments of a script that was played waited.
func waits(s *script.Script) int { return strings.Count(s.String(), NoteWaits.String()) }

// crossed reports whether two segments of opposite ends may have passed each
// other: neither acknowledges the other's octets. One without ACK, a SYN or a RST,
// may be the answer to the other all the same.
func crossed(a, b *decode.Segment) bool {
	return a.Src != b.Src && a.Flags.Has(decode.ACK) && b.Flags.Has(decode.ACK) && !after(b.Ack, a.Seq) && !after(a.Ack, b.Seq)
}

// reordered reports whether the network may have reordered two segments of one
// end: data or ACKs.
func reordered(a, b *decode.Segment) bool {
	return a.Src == b.Src && !(a.Flags | b.Flags).Any(decode.SYN|decode.FIN|decode.RST)
}
