package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"tcplife/decode"
	"tcplife/decode/capture"
	"tcplife/internal/script"
	"tcplife/report"
	"tcplife/report/anomaly"
	"tcplife/track"
)

// told keeps what a teller tells.
type told struct {
	report.Sink
	byEnd    map[*track.End][]report.Transition
	findings []report.Finding
}

func (s *told) Transition(t *report.Transition) error {
	e := t.Conn.Ends()[t.Role]
	s.byEnd[e] = append(s.byEnd[e], *t)
	return nil
}

func (s *told) Finding(f *report.Finding) error {
	s.findings = append(s.findings, *f)
	return nil
}

// TestTellTransitions: whoever follows the transitions that are told knows the
// states of both ends after each segment, and what was not withdrawn is what the
// record has.
func TestTellTransitions(t *testing.T) {
	files, err := filepath.Glob("../../track/testdata/*.tcp")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	withdrawn := 0
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		scripts, err := script.Parse(string(text))
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range scripts {
			sink := &told{}
			tell := newTeller(sink, report.NewInputs([]string{"eth0"}))
			tell.transitions = sink
			tr := track.New(track.Config{})
			states := map[uint64][2]track.State{}
			counts := map[uint64][2]int{}
			closed := map[uint64][2]uint64{} // the frames that showed it
			contradicted := map[uint64]bool{}
			look := func(c *track.Conn, first bool) {
				sink.byEnd = map[*track.End][]report.Transition{}
				tell.moved(c.ID, c, first)
				st, n := states[c.ID], counts[c.ID]
				for i, e := range c.Ends() {
					for _, m := range sink.byEnd[e] {
						again := m.To == track.Closed && st[i] != track.Closed && closed[m.Conn.ID][i] == m.Frame
						if st[i] = m.To; !again {
							n[i]++
						}
						if m.To == track.Closed {
							at := closed[m.Conn.ID]
							at[i] = m.Frame
							closed[m.Conn.ID] = at
						}
						if m.Withdrawn {
							contradicted[c.ID] = true
							withdrawn++
						}
					}
					if len(e.Transitions()) > 0 && st[i] != e.State() {
						t.Errorf("%s: %s: connection %d: the %v is in %v, and %v was told", name, s.Comment, c.ID, track.Role(i), e.State(), st[i])
					}
				}
				states[c.ID], counts[c.ID] = st, n
			}
			tr.Observe = func(c *track.Conn, seg *decode.Segment, _ track.Notes) { look(c, seg.Frame == c.First) }
			tr.ObserveICMP = func(c *track.Conn, _ *decode.ICMPError) { look(c, false) }
			tr.Done = func(c *track.Conn) {
				look(c, false)
				for i, e := range c.Ends() {
					if n, want := counts[c.ID][i], len(e.Transitions()); n != want && !contradicted[c.ID] {
						t.Errorf("%s: %s: connection %d: %d moves of the %v were told, it made %d", name, s.Comment, c.ID, n, track.Role(i), want)
					}
				}
				tell.forget(c.ID)
			}
			for _, e := range s.Events(1, 2) {
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
			if len(tell.ends) > 0 {
				t.Errorf("%s: %d connections were not forgotten", name, len(tell.ends))
			}
		}
	}
	if withdrawn == 0 {
		t.Error("nothing was withdrawn")
	}
}

// TestTellFindings: a finding is told once, as long as its connection lasts.
func TestTellFindings(t *testing.T) {
	sink := &told{}
	tell := newTeller(sink, report.NewInputs([]string{"eth0"}))
	tell.findings = true
	stuck := []anomaly.Finding{{Rule: anomaly.CloseWait, Side: anomaly.ServerSide}}
	both := append(slices.Clone(stuck), anomaly.Finding{Rule: anomaly.CloseWait, Side: anomaly.ClientSide})
	scripts, err := script.Parse("0 --> S 0:0(0)\n")
	if err != nil {
		t.Fatal(err)
	}
	tr := track.New(track.Config{})
	tr.Done = func(c *track.Conn) {
		tell.about(1, c, stuck)
		tell.about(1, c, stuck)
		tell.about(1, c, both)
		tell.about(2, c, stuck)
		tell.forget(1)
		tell.about(1, c, stuck)
	}
	tr.Segment(scripts[0].Events(1, 2)[0].Segment)
	tr.Finish()
	many := []anomaly.Finding{{Rule: anomaly.CloseWait, Port: 80}}
	tell.aboutMany(many)
	tell.aboutMany(many)
	tell.aboutMany([]anomaly.Finding{{Rule: anomaly.CloseWait, Port: 81}})
	var got []uint64
	for _, f := range sink.findings {
		got = append(got, append(f.Conns, 0)[0])
	}
	if want := []uint64{1, 1, 2, 1, 0, 0}; !slices.Equal(got, want) {
		t.Errorf("told of connections %v, want %v", got, want)
	}
}

// TestIsDue: a clock that was set back does not put work off.
func TestIsDue(t *testing.T) {
	for _, tt := range []struct {
		due, now time.Duration
		want     bool
	}{
		{100 * time.Second, 99 * time.Second, false},
		{100 * time.Second, 100 * time.Second, true},
		{100 * time.Second, time.Hour, true},
		{time.Hour, 59*time.Minute + 40*time.Second, false},
		{time.Hour, time.Minute, true},
	} {
		if got := isDue(capture.Time(tt.due), capture.Time(tt.now)); got != tt.want {
			t.Errorf("due at %v: %v at %v", tt.due, got, tt.now)
		}
	}
}
