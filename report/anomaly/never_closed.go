package anomaly

import (
	"time"

	"tcplife/track"
)

// NeverClosed finds connections that are idle and open.
var NeverClosed = &Rule{
	Name:     "never-closed",
	Severity: Note,
	Ref:      "RFC 9293 §3.6",
	Doc: `idle and never closed

The connection was established, nothing has passed for a long time, neither data
nor keep-alives, and neither end has closed it when the capture ends. A pool that
keeps it is harmless. If there are many, one end has forgotten them; and since
nobody sends keep-alives, neither end would notice that the other is gone, nor
that a firewall in between has dropped the connection.`,
	Settings: []*Setting{neverClosedAfter},
	Also:     Plain,
	Check:    checkNeverClosed,
}

var neverClosedAfter = span("after", 10*time.Minute,
	"longer than what programs keep unused connections for (75 s to 5 min by default), and than many firewalls do")

// joinedAfter is longer than captures of an idle connection last: what comes after
// such a time is of another capture, joined into one file with the first.
const joinedAfter = 7 * 24 * time.Hour

func checkNeverClosed(p *Pass) {
	c := p.Conn
	cli, srv := c.Client(), c.Server()
	if c.EndReason != track.CaptureEnd || cli.State() != track.Established || srv.State() != track.Established {
		return
	}
	last := max(cli.Sent(), srv.Sent())
	idle := p.Now.Sub(last)
	switch {
	case idle < p.Duration(neverClosedAfter):
		return
	case idle > joinedAfter:
		p.NotJudged(Gaps)
		return
	case !p.Judged():
		return
	}
	p.Report(Finding{
		Time: last, Packets: frames(c.Last()),
		Weight:  int64(idle),
		Message: "idle for " + Dur(idle).String() + ", neither FIN nor keep-alive",
	})
}
