package anomaly

import (
	"fmt"

	"tcplife/track"
)

// ConnectionRefused finds SYNs that were answered by RST.
var ConnectionRefused = &Rule{
	Name:     "connection-refused",
	Severity: Warn,
	Ref:      "RFC 9293 §3.10.7.1",
	Doc: `connection refused

The client's SYN was answered by RST. Nothing listens at that address and port,
or a firewall rejects in the host's name: a RST whose TTL is not that of the
host's other packets was made on the way. Look at what should listen there
(ss -tln), at the address it is bound to, and at the port the client was told.

Programs that try several addresses in turn, and health checks during a restart,
cause it without harm.`,
	Check: checkConnectionRefused,
}

func checkConnectionRefused(p *Pass) {
	c := p.Conn
	if c.Handshake() != track.Refused {
		return
	}
	rst, ok := c.Reset()
	if !ok || rst.By != track.Server {
		return
	}
	msg := fmt.Sprintf("RST %v after the SYN", Dur(rst.Time.Sub(c.Start)))
	if n := c.Client().SYN(); n > 1 {
		msg = fmt.Sprintf("%d SYNs, RST %v after the first", n, Dur(rst.Time.Sub(c.Start)))
	}
	p.Report(Finding{
		Side: ServerSide, Suspect: ServerHost, Time: rst.Time,
		Packets: frames(c.First, rst.Frame), Message: msg,
	})
}
