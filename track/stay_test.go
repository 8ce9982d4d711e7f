package track

import (
	"testing"

	"tcplife/decode"
)

// TestStays: what is told of the states that an end was in is what its transitions
// tell, after each segment of every script.
func TestStays(t *testing.T) {
	met, left := 0, 0
	for name, text := range scriptFiles(t) {
		check := func(c *Conn) {
			for _, e := range c.Ends() {
				been, all := e.Been(), e.Transitions()
				want := States(0).Add(e.State())
				if len(all) > 0 {
					want = want.Add(all[0].From)
				}
				for s := range numStates {
					var in, out Transition
					for _, m := range all {
						want = want.Add(m.To)
						if m.To == s {
							in = m
						}
						if m.From == s {
							out = m
						}
					}
					gotIn, gotLeft, gotOut := e.Stay(s)
					if gotIn != in || gotOut != out || gotLeft != (out != Transition{}) {
						t.Errorf("%s: connection %d: in %v from %v to %v (%v), want %v to %v, of %v", name, c.ID, s, gotIn, gotOut, gotLeft, in, out, all)
					}
					if in != (Transition{}) {
						met++
					}
					if gotLeft {
						left++
					}
				}
				if been != want {
					t.Errorf("%s: connection %d: was in %v, want %v", name, c.ID, been.List(), want.List())
				}
			}
		}
		for _, s := range parse(t, text) {
			tr := New(Config{})
			tr.Observe = func(c *Conn, _ *decode.Segment, _ Notes) { check(c) }
			tr.Done = check
			for _, e := range s.Events(0, 0) {
				switch {
				case e.Segment != nil:
					tr.Segment(e.Segment)
				case e.ICMP != nil:
					tr.ICMP(e.ICMP)
				default:
					tr.Tick(e.Time, e.Frame)
				}
			}
			tr.Finish()
		}
	}
	if met == 0 || left == 0 {
		t.Error("nothing was tested")
	}
}
