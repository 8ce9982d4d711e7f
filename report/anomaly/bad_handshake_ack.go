package anomaly

import (
	"fmt"

	"tcplife/track"
)

// BadHandshakeAck finds acknowledgments in the handshake of what was never sent.
var BadHandshakeAck = &Rule{
	Name:     "bad-handshake-ack",
	Severity: Warn,
	Ref:      "RFC 9293 §3.10.7.3",
	Doc: `handshake acknowledges what was never sent

A SYN,ACK, or the client's answer to it, acknowledges a number that its peer has
not sent. The peer answers with RST, and waits on for the right one. A box that
translates sequence numbers, or a SYN proxy, has lost count; two hosts answer for
one address; an old SYN,ACK comes late; or somebody guesses. Some servers of Valve
and Tencent, and scanners' traps, answer so on purpose. Compare the TTL and the MAC
addresses of the frames told.`,
	Check: checkBadHandshakeAck,
}

func checkBadHandshakeAck(p *Pass) {
	c := p.Conn
	b := c.BadAck()
	if b.Frame == 0 || b.Answered == 0 && c.Handshake() != track.Complete {
		return // nothing shows that it was wrong, rather than the SYN not captured
	}
	what, suspect := "SYN,ACK", ServerHost
	if b.By == track.Client {
		what, suspect = "ACK", ClientHost
	}
	msg := fmt.Sprintf("%s acknowledges %+d from what its peer sent", what, b.Off)
	if b.Answered != 0 {
		msg += ", answered by RST"
	}
	p.Report(Finding{
		Side: SideOf(b.By), Suspect: suspect, Time: b.Time,
		Packets: frames(c.First, b.Frame, b.Answered), Message: msg,
	})
}
