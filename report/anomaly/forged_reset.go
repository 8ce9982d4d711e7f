package anomaly

import (
	"fmt"

	"tcplife/track"
)

// ForgedReset finds RSTs that their supposed senders did not send.
var ForgedReset = &Rule{
	Name:     "forged-reset",
	Severity: Error,
	Ref:      "RFC 3360 §2",
	Doc: `RST that its supposed sender did not send

A RST carries the address and the next sequence number of one end, but that end
went on as if nothing had happened; or the RST has come another number of hops
than everything else that the end sent, or other RSTs lie ahead of it in the
window, as of somebody who guesses what is in flight. So a third party on the path
made it: an intrusion prevention system, a filter, a load balancer that has given
up on the connection, or an attacker who can see the traffic. Compare the TTL and
the IP ID of the RST with its neighbours', and capture at both ends: the end that
did not send it will not show it.

Some load balancers answer with RST in their servers' name by design. The rule is
silent where the two directions of the path can't be compared.`,
	Explains: []string{"reset-by-client", "reset-by-server", "time-wait-killed", "half-open-peer", "peer-dead", "fin-unanswered"},
	Check:    checkForgedReset,
}

func checkForgedReset(p *Pass) {
	c := p.Conn
	rst, ok := c.Reset()
	for _, r := range c.Refuted() {
		if !p.Judged() {
			break
		}
		p.Report(Finding{
			Side: SideOf(r.By), Suspect: Middlebox, Time: r.Time, Packets: frames(r.Frame, r.WentOn),
			Message: fmt.Sprintf("%s in the name of the %v, %s", kind(&r.Reset), r.By, MadeBy(&r.Reset)),
		})
		ok = ok && rst.Frame != r.Frame
	}
	if !ok || rst.Stateless || !synchronized(rst.State[0]) || !synchronized(rst.State[1]) {
		return
	}
	if m, _ := rst.Maker(); m != track.Middlebox && m != track.Forger {
		return
	}
	msg := fmt.Sprintf("%s in the name of the %v, %s", kind(&rst), rst.By, MadeBy(&rst))
	for r, n := range rst.Unacked {
		if n > 0 {
			msg += fmt.Sprintf(", %s unacknowledged", octets(n, track.Role(r)))
		}
	}
	p.Report(Finding{
		Side: SideOf(rst.By), Suspect: Middlebox, Time: rst.Time,
		Packets: frames(rst.Frame), Message: msg,
	})
}
