package anomaly

import "tcplife/track"

// SYNData finds payload on a SYN without Fast Open.
var SYNData = &Rule{
	Name:     "syn-data",
	Severity: Note,
	Ref:      "RFC 9293 §3.10.7.2",
	Doc: `payload on a SYN

A SYN carries payload and does not ask for Fast Open (RFC 7413). A server has to
keep it until the handshake is complete, or drop it and have it sent again: no
common client sends any. It is how some floods are made to cost bandwidth, how
scanners and covert channels speak, and what is left of T/TCP. Look at the source,
and at how many others send the same.

Payload on a SYN with the Fast Open option is as it should be, and so is what the
SYN,ACK acknowledges (hosts that have agreed on Fast Open without it): the rule is
silent.`,
	Check: func(p *Pass) {
		if d := p.Conn.SYNData(); d.Octets > 0 {
			p.Reportf(p.Conn.Ends()[track.Client], ClientHost, d.Time, frames(d.Frame),
				"%d octets on the SYN, no Fast Open option", d.Octets)
		}
	},
}
