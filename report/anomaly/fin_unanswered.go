package anomaly

import (
	"fmt"
	"time"

	"tcplife/track"
)

// FinUnanswered finds ends whose FIN nobody acknowledges.
var FinUnanswered = &Rule{
	Name:     "fin-unanswered",
	Severity: Warn,
	Ref:      "RFC 9293 §3.6",
	Doc: `FIN sent again and again, and never acknowledged

An end closed, repeated its FIN, and nobody acknowledged it to the end of the
capture: it is stuck in FIN_WAIT_1, CLOSING or LAST_ACK. Its host gives up silently
after a minute or two (Linux: tcp_orphan_retries, 8 times). The peer has vanished,
or the path to it is broken in one direction, or a firewall has dropped its entry
at the first FIN and lets nothing more through: look whether the peer's side still
shows the connection (ss -tno), and at the timers for closing connections of what
lies between.

The rule is silent if the capture ends before the FIN was repeated and had time to be
answered, and where the peer's segments may have escaped the capture.`,
	Settings: []*Setting{finUnansweredAfter},
	Also:     Plain,
	Check:    checkFinUnanswered,
}

var finUnansweredAfter = span("after", 3*time.Second,
	"a FIN is repeated after 0.2 s to 1 s (RFC 6298) and then ever more slowly: three seconds are several chances to be answered")

// finAnswer is how long the last copy of a FIN has to be answered, if there were
// only two: the longest that hosts on one planet take, and some more.
const finAnswer = time.Second

func checkFinUnanswered(p *Pass) {
	c := p.Conn
	for _, e := range c.Ends() {
		s := e.State()
		if e.FIN() < 2 || s != track.FinWait1 && s != track.LastAck && s != track.Closing || e.Unacked() == 0 {
			continue
		}
		in, _, _ := e.Stay(s)
		fin := in
		if s == track.Closing {
			fin, _, _ = e.Stay(track.FinWait1)
		}
		waited := p.Now.Sub(fin.Time)
		switch {
		case waited < p.Duration(finUnansweredAfter), e.FIN() < 3 && p.Now.Sub(e.Sent()) < finAnswer:
			p.NotJudged(EndsSoon)
			continue
		case !p.Judged():
			return
		}
		peer := c.Peer(e)
		msg := fmt.Sprintf("in %v for %v, %d FINs, none acknowledged", s, Dur(p.Now.Sub(in.Time)), e.FIN())
		last, frame := peer.Sent(), peer.SentFrame()
		suspect := Network
		if last > fin.Time {
			msg += fmt.Sprintf("; the peer last sent %v after the first", Dur(last.Sub(fin.Time)))
			suspect = HostOf(c.Role(peer))
		} else {
			frame = 0
		}
		p.Reportf(e, suspect, fin.Time, frames(fin.Frame, e.SentFrame(), frame), "%s", msg)
	}
}
