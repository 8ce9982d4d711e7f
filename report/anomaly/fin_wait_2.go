package anomaly

import "tcplife/track"

// FinWait2 finds ends whose peer does not close.
var FinWait2 = &Rule{
	Name:     "fin-wait-2",
	Severity: Note,
	Ref:      "RFC 9293 §3.6.1",
	Doc: `end waits in FIN_WAIT_2 for its peer to close

The end sent FIN, the peer acknowledged it, and then sent neither data nor its own
FIN for a minute or more. It is the other face of close-wait, which is told instead
where both hold: the fault is the peer's program, which does not close its socket.
If the end's program called close(), its host forgets the connection after a while
(Linux: tcp_fin_timeout, a minute) and answers what comes later with RST; if it
called shutdown(), it waits for ever.

The rule is silent while the peer still sends, and where its FIN may have escaped
the capture.`,
	Settings: []*Setting{closeWaitAfter}, // the same limit: raising it must not turn one into the other
	Also:     Plain,
	Check:    checkFinWait2,
}

func checkFinWait2(p *Pass) {
	c := p.Conn
	for r, e := range c.Ends() {
		if !p.mayStay(track.Role(r), track.FinWait2, p.Duration(closeWaitAfter)) {
			continue
		}
		in, left, out := e.Stay(track.FinWait2)
		if in.To != track.FinWait2 {
			continue
		}
		peer := c.Peer(e)
		until, then := p.Now, ""
		if left {
			until, then = out.Time, ", then "+out.To.String()
		}
		held := until.Sub(max(in.Time, peer.Data()))
		switch {
		case held < p.Duration(closeWaitAfter):
			continue // close-wait says if that is because the capture ends
		case !p.Judged():
			return
		}
		p.Reportf(e, AppOf(1-c.Role(e)), in.Time, frames(in.Frame, peer.DataFrame(), out.Frame),
			"in FIN_WAIT_2, the peer silent for %v%s", Dur(held), then)
	}
}
