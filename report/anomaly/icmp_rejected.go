package anomaly

import (
	"fmt"
	"strings"

	"tcplife/track"
)

// ICMPRejected finds connections that an ICMP error stopped.
var ICMPRejected = &Rule{
	Name:     "icmp-rejected",
	Severity: Warn,
	Ref:      "RFC 9293 §3.9.2.2",
	Doc: `stopped by an ICMP error

An ICMP error quotes a segment of the connection, and after it nothing came from
the end that the segment was for. The message tells the error and who sent it.
Port-unreachable from the server: nothing listens, and its firewall says so.
Prohibited: a firewall on the way rejects. Host- or net-unreachable from a router:
the host is down, or there is no route. Too-big (fragmentation needed),
and then the same segment again: the path takes smaller packets, and the sender
does not learn that (look for firewalls that drop ICMP on the way to it). Look at
who sent the error first.

An error that the connection survives changes nothing (RFC 5927), and the rule is
silent: so do those that a forger sends.`,
	Explains: []string{"syn-unanswered", "half-open-handshake", "peer-dead", "fin-unanswered"},
	Check:    checkICMPRejected,
}

func checkICMPRejected(p *Pass) {
	c := p.Conn
	n, ok := c.ICMP()
	if !ok {
		return
	}
	e := c.Ends()[n.Of]
	peer := c.Peer(e)
	switch {
	case peer.Sent() > n.Time, n.SYN && e.Acked():
		return // it went on
	case !n.SYN && e.Unacked() == 0:
		return // nothing was lost
	case c.OneSided():
		p.NotJudged(OneSided)
		return
	}
	suspect := Network
	switch {
	case n.From == peer.Addr():
		suspect = HostOf(c.Role(peer))
	case strings.Contains(n.Name(), "prohibited"):
		suspect = Middlebox
	}
	quoted := "a segment"
	if n.SYN {
		quoted = "SYN"
		if n.Of == track.Server {
			quoted = "SYN,ACK"
		}
	}
	msg := fmt.Sprintf("%s from %v quotes %s of the %v", n.Name(), n.From.IP(), quoted, n.Of)
	if n.N > 1 {
		msg = fmt.Sprintf("%d ICMP errors, the last %s", n.N, msg)
	}
	if !n.SYN {
		msg += fmt.Sprintf(", %d octets unacknowledged", e.Unacked())
	}
	p.Report(Finding{
		Side: SideOf(n.Of), Suspect: suspect, Time: n.Time,
		Packets: frames(n.First, n.Frame), Message: msg,
	})
}
