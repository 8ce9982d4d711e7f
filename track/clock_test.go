package track

import (
	"strings"
	"testing"
)

// closed is a connection that A closes: it is in TIME_WAIT from 1.022 s on, and 10 s
// later still.
const closed = `
0       --> S 0:0(0)
+.010   <-- S. 0:0(0) ack 1
+.001   --> . 1:1(0) ack 1
+1      --> F. 1:1(0) ack 1
+.010   <-- F. 1:1(0) ack 2
+.001   --> . 2:2(0) ack 2
+10     (udp)
`

// TestClockSetBack holds that TIME_WAIT lasts as long as ever where the capture's
// clock is set back, and that a frame out of order sets it back no more than many do.
func TestClockSetBack(t *testing.T) {
	ticks := func(n int, each string) string { return strings.Repeat(each+" (udp)\n", n) }
	for _, tt := range []struct {
		name, then, want string
	}{
		{"not", "+49.9 (udp)", "TIME_WAIT"},
		{"not, and TIME_WAIT over", "+50 (udp)", "CLOSED"},
		// From the 65th frame on the clock goes on, 50 s before TIME_WAIT is over.
		{"an hour", "-3600 (udp)\n" + ticks(stepFrames, "+.1") + "+49.9 (udp)", "TIME_WAIT"},
		{"an hour, and TIME_WAIT over", "-3600 (udp)\n" + ticks(stepFrames, "+.1") + "+50 (udp)", "CLOSED"},
		{"twice", "-3600 (udp)\n" + ticks(stepFrames, "+.1") + "-3600 (udp)\n" + ticks(stepFrames, "+.1") + "+49.9 (udp)", "TIME_WAIT"},
		{"twice, and TIME_WAIT over", "-3600 (udp)\n" + ticks(stepFrames, "+.1") + "-3600 (udp)\n" + ticks(stepFrames, "+.1") + "+50 (udp)", "CLOSED"},
		// Frames of an hour ago, and the clock as it was.
		{"for few frames", "-3600 (udp)\n" + ticks(stepFrames-1, "+.1") + "+3643.6 (udp)\n", "TIME_WAIT"},
		{"for few frames, and TIME_WAIT over", "-3600 (udp)\n" + ticks(stepFrames-1, "+.1") + "+3643.7 (udp)\n", "CLOSED"},
		{"for few frames, twice", "-3600 (udp)\n" + ticks(stepFrames-1, "+.1") + "+3593.7 (udp)\n-3600 (udp)\n" + ticks(stepFrames-1, "+.1") + "+3643.6 (udp)", "TIME_WAIT"},
		// Half a second is no step, however many frames are late.
		{"by little", "-.5 (udp)\n" + ticks(2*stepFrames, "+0") + "+50.4 (udp)", "TIME_WAIT"},
		{"by little, and TIME_WAIT over", "-.5 (udp)\n" + ticks(2*stepFrames, "+0") + "+50.5 (udp)", "CLOSED"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := parse(t, closed[1:]+tt.then)[0]
			answer(s, isns[0][0], isns[0][1])
			if last := s.Steps[len(s.Steps)-1]; last.A != tt.want {
				t.Errorf("%s, want %s:\n%s", last.A, tt.want, s)
			}
		})
	}
	// TIME_WAIT begins by the clock as it goes on, not as it was set.
	for _, tt := range []struct{ then, want string }{{"+59.9", "TIME_WAIT"}, {"+60", "CLOSED"}} {
		s := parse(t, closed[1:]+"+90 (udp)\n-3600 (udp)\n"+ticks(stepFrames, "+.1")+`
+1      --> S 1000000:1000000(0)
+.010   <-- S. 0:0(0) ack 1000001
+.001   --> . 1000001:1000001(0) ack 1
+1      --> F. 1000001:1000001(0) ack 1
+.010   <-- F. 1:1(0) ack 1000002
+.001   --> . 1000002:1000002(0) ack 2
`[1:]+tt.then+" (udp)")[0]
		answer(s, isns[0][0], isns[0][1])
		if last := s.Steps[len(s.Steps)-1]; last.A != tt.want {
			t.Errorf("%s later %s, want %s:\n%s", tt.then, last.A, tt.want, s)
		}
	}
	// The move has the time of the clock as it was set.
	s := parse(t, closed[1:]+"-3600 (udp)\n"+ticks(stepFrames, "+.1")+"+55 (udp)\n")[0]
	answer(s, isns[0][0], isns[0][1])
	if want := "CLOSED@73t+-3532.578"; !strings.Contains(s.End[0], want) {
		t.Errorf("%q, want %s", s.End[0], want)
	}
}
