package anomaly

import (
	"fmt"
	"time"
)

// ZeroWindowStall finds receivers that made their peer wait.
var ZeroWindowStall = &Rule{
	Name:     "zero-window-stall",
	Severity: Warn,
	Ref:      "RFC 9293 §3.8.6.1",
	Doc: `receive window closed, and the peer waits

An end said that its receive buffer is full, and kept its window closed while its
peer had something to send: it probed, or sent as soon as the window was open. The
program at that end does not read: it is busy, blocked on something else, or
stopped. The network is not at fault. Look at what the program did at the time
told, before enlarging any buffer.

Short stalls are how flow control works, and a closed window when nothing is to be
sent hurts nobody: the rule is silent.`,
	Settings: []*Setting{zeroWindowAfter},
	Check:    checkZeroWindowStall,
}

var zeroWindowAfter = span("after", 3*time.Second,
	"a program that reads at all reads sooner; users notice a pause of that length")

func checkZeroWindowStall(p *Pass) {
	for _, e := range p.Conn.Ends() {
		z := e.ZeroWindow(p.Now)
		if z.Times == 0 || z.Longest < p.Duration(zeroWindowAfter) {
			continue
		}
		msg := fmt.Sprintf("window closed for %v", Dur(z.Longest))
		if z.Times > 1 {
			msg += fmt.Sprintf(", the longest of %d times, %v in all", z.Times, Dur(z.Total))
		}
		switch z.Probes {
		case 0:
		case 1:
			msg += ", 1 probe"
		default:
			msg += fmt.Sprintf(", %d probes", z.Probes)
		}
		to := z.ToFrame
		if to == 0 {
			msg += ", and still is"
			to = e.SentFrame()
		}
		r := p.Conn.Role(e)
		p.Report(Finding{Side: SideOf(r), Suspect: AppOf(r), Time: z.From, Packets: frames(z.FromFrame, to), Message: msg, Weight: int64(z.Longest)})
	}
}
