package anomaly

import "tcplife/track"

// SimultaneousOpen finds connections that both ends opened.
var SimultaneousOpen = &Rule{
	Name:     "simultaneous-open",
	Severity: Note,
	Ref:      "RFC 9293 §3.5",
	Doc: `opened by both ends at once

Both ends sent SYN, and the SYNs crossed (RFC 9293 Figure 7): one connection, and
no server. Peers behind NATs do that on purpose, to punch holes. Otherwise two
programs use fixed ports on both sides, or a program connected to a port of its
own host out of the ephemeral range, and got itself.`,
	Check: func(p *Pass) {
		c := p.Conn
		if c.Handshake() != track.Simultaneous {
			return
		}
		cli, srv := c.Client(), c.Server()
		first, _ := cli.SYNs()
		second, _ := srv.SYNs()
		p.Report(Finding{
			Time: first, Packets: frames(firstMove(cli), firstMove(srv)),
			Message: "both ends sent SYN, " + Dur(second.Sub(first)).String() + " apart",
		})
	},
}

// firstMove returns the frame of the end's first move, 0 if it made none.
func firstMove(e *track.End) uint64 {
	if t := e.Transitions(); len(t) > 0 {
		return t[0].Frame
	}
	return 0
}
