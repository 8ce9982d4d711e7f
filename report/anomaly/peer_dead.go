package anomaly

import (
	"fmt"
	"time"

	"tcplife/track"
)

// PeerDead finds ends that sent again and again, and heard nothing.
var PeerDead = &Rule{
	Name:     "peer-dead",
	Severity: Error,
	Ref:      "RFC 9293 §3.8.3",
	Doc: `no answer to any retransmission

An end sent the same octets again and again, each time after a longer wait, and
from its peer came nothing of any kind, up to the end of the record. The peer's
host is down or gone from the network, or a firewall or NAT in between has
forgotten the connection and drops. Giving up is silent: on Linux after about 15
minutes (tcp_retries2). Look at whether other connections to that host go on: if
they do, it is a box in between.

The rule is silent as soon as the peer sends anything at all, and where only one
direction was captured, or the capture has gaps.`,
	Settings: []*Setting{peerDeadTries},
	Explains: []string{"never-closed", "fin-unanswered"},
	Check:    checkPeerDead,
}

var peerDeadTries = count("tries", 3, "three losses in a row, with doubling waits, are rare on any path that works")

func checkPeerDead(p *Pass) {
	for _, e := range p.Conn.Ends() {
		r := e.Repeats()
		if r.N == 0 || r.Kind == track.NoteKeepAlive && !closedWindow(p, p.Conn.Peer(e)) {
			continue
		}
		finOnly := e.DataFrame() == 0 || e.Unacked() <= 1 && e.FIN() > 0
		if finOnly || e.Unacked() == 0 && r.Kind == track.NoteRetransmission {
			continue
		}
		reportSilence(p, e, r, p.Count(peerDeadTries), true)
	}
}

// closedWindow reports whether the end's receive window is closed: what looks like
// a keep-alive is then a probe of it.
func closedWindow(p *Pass, e *track.End) bool {
	z := e.ZeroWindow(p.Now)
	return z.Times > 0 && z.ToFrame == 0
}

// reportSilence reports that the end's repetitions got no answer, if there are so
// many. Growing waits between them are demanded, if they are to grow.
func reportSilence(p *Pass, e *track.End, r track.Repeats, atLeast int, growing bool) {
	c := p.Conn
	first := r.First.Sub(r.Before)
	if r.N > 1 && gaveUp(c, e) {
		atLeast = min(atLeast, r.N) // so it thought itself
	}
	switch {
	case growing && r.Gap < first+first/4 && r.N > 1:
		return
	case r.N < atLeast && p.Now.Sub(r.Last) > 2*r.Gap:
		return // nor did it try again
	case r.N < atLeast:
		p.NotJudged(EndsSoon)
		return
	case p.Now.Sub(r.Last) < min(r.Gap, time.Second) && !gaveUp(c, e):
		p.NotJudged(EndsSoon) // an answer may be under way
		return
	case !p.Judged():
		return
	}
	what := map[track.Notes]string{
		track.NoteRetransmission: "retransmissions", track.NoteKeepAlive: "keep-alive probes", track.NoteZeroWindowProbe: "window probes",
	}[r.Kind]
	peer := c.Role(c.Peer(e))
	msg := fmt.Sprintf("%d %s in %v, nothing from the %v", r.N, what, Dur(r.Last.Sub(r.First)), peer)
	if r.N > 1 {
		msg += fmt.Sprintf(", the last after %v", Dur(r.Gap))
	}
	if n := e.Unacked(); n > 0 && r.Kind != track.NoteKeepAlive {
		msg += fmt.Sprintf(", %d octets unacknowledged", n)
	}
	shown := frames(r.FirstFrame, r.LastFrame)
	if rst, ok := c.Reset(); ok && gaveUp(c, e) && rst.Time >= r.Last {
		msg += ", then RST"
		shown = append(shown, rst.Frame)
	}
	p.Report(Finding{Side: SideOf(peer), Suspect: HostOf(peer), Time: r.First, Packets: shown, Message: msg, Weight: int64(r.Last.Sub(r.First))})
}

// gaveUp reports whether the end broke the connection off.
func gaveUp(c *track.Conn, e *track.End) bool {
	rst, ok := c.Reset()
	return ok && rst.By == c.Role(e) && e.State() == track.Closed
}
