package anomaly

import (
	"time"

	"tcplife/track"
)

// CloseWait finds ends that will probably never close.
var CloseWait = &Rule{
	Name:     "close-wait",
	Severity: Warn,
	Ref:      "RFC 9293 §3.6.1",
	Doc: `end lingers in CLOSE_WAIT

The peer sent FIN and this end acknowledged it, but then sent neither data nor
a FIN of its own for a minute or more, whether or not one came in the end. The
usual cause is a program that does not close its socket; every such connection
costs it a file descriptor. Look at the error and end-of-file paths of the
program, and count its sockets with ss -tn state close-wait.

A connection may be half-closed on purpose, to let a long answer finish. Then
this end is still sending, and the rule is silent. It is silent too where the
end's FIN may have escaped the capture: one-sided, or with gaps.`,
	Settings: []*Setting{closeWaitAfter},
	Explains: []string{"fin-wait-2"},
	Also:     Plain,
	Check:    checkCloseWait,
}

var closeWaitAfter = span("after", time.Minute,
	"Linux remembers the peer's half for a minute once its program has closed the socket (tcp_fin_timeout); "+
		"after that the connection can no longer end well")

func checkCloseWait(p *Pass) {
	c := p.Conn
	for r, e := range c.Ends() {
		if !p.mayStay(track.Role(r), track.CloseWait, p.Duration(closeWaitAfter)) {
			continue
		}
		in, left, out := e.Stay(track.CloseWait)
		if in.To != track.CloseWait {
			continue
		}
		until := p.Now
		if left {
			until = out.Time
		}
		quiet := until.Sub(max(in.Time, e.Data()))
		switch {
		case quiet < p.Duration(closeWaitAfter) && left:
			continue
		case quiet < p.Duration(closeWaitAfter):
			p.NotJudged(EndsSoon)
			continue
		case !p.Judged():
			return
		}
		then := ""
		if left {
			then = ", then " + out.To.String()
		}
		p.Reportf(e, AppOf(c.Role(e)), in.Time, frames(in.Frame, e.DataFrame(), out.Frame),
			"in CLOSE_WAIT, silent for %v%s", Dur(quiet), then).Weight = int64(quiet)
	}
}

// mayStay reports whether the end of that role may have been in a state for that
// long. It is quick where the whole of a plain connection did not last that long.
func (p *Pass) mayStay(r track.Role, s track.State, d time.Duration) bool {
	switch c := p.Conn; {
	case !p.been[r].Has(s):
		return false
	case c.Ends()[r].State() == s || !p.plain:
		return true
	default:
		return c.End().Sub(c.Start) >= d
	}
}
