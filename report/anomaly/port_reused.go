package anomaly

import (
	"fmt"

	"tcplife/track"
)

// PortReused finds connections that took the ports of one that had just closed.
var PortReused = &Rule{
	Name:     "port-reused",
	Severity: Note,
	Ref:      "RFC 9293 §3.6.1",
	Doc: `ports used again within 2MSL

The client opened a connection from a port and to a port that another connection
between the same two hosts had used less than 2MSL before, and had closed in order.
If the old one is still in TIME_WAIT, the new SYN must have a larger sequence number
or a newer timestamp (RFC 6191); else TIME_WAIT refuses it with an ACK, and the
client loses a second or more. Clients do it when they run out of ports, when they
bind to a fixed one, and NAT gateways when many clients share one address: count
connections per second to that server, and look at the client's port range.

The rule is silent after a connection that was refused or reset: trying again from
the same port is then no hurry.`,
	Check: checkPortReused,
}

func checkPortReused(p *Pass) {
	u, ok := p.Conn.Reuse()
	if !ok || u.Teardown != track.ByFIN {
		return
	}
	msg := fmt.Sprintf("ports reused %v after the last segment of the connection before", Dur(u.Since))
	for r, s := range u.State {
		if s == track.TimeWait {
			msg += fmt.Sprintf(", the %v in TIME_WAIT", track.Role(r))
		}
	}
	switch {
	case u.Stamp:
		msg += "; newer timestamp"
	case u.Number:
		msg += "; larger sequence number"
	default:
		msg += "; neither larger sequence number nor newer timestamp"
	}
	if p.Conn.Handshake() != track.Complete {
		msg += fmt.Sprintf("; handshake %v", p.Conn.Handshake())
	}
	p.Report(Finding{
		Side: ClientSide, Suspect: ClientHost, Time: p.Conn.Start, Packets: frames(p.Conn.First), Message: msg,
	})
}
