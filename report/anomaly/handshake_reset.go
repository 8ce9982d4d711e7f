package anomaly

import "tcplife/track"

// HandshakeReset finds handshakes that the client broke off.
var HandshakeReset = &Rule{
	Name:     "handshake-reset",
	Severity: Note,
	Ref:      "RFC 9293 §3.10.7.3",
	Doc: `handshake broken off by the client

The client answered SYN,ACK with RST. It has given up meanwhile (a timeout shorter
than the round trip, or a race of several addresses that another one won), or it
is a probe that only wants to know whether the port is open (nmap -sS, some load
balancers), or it has sent no such SYN: the SYN was an old duplicate, or forged in
its name. Look at whether it comes again, and to how many ports.

A RST is how RFC 9293 Figure 8 recovers from an old duplicate SYN: then another
SYN of the same client, on the same ports, succeeds, which is told.`,
	Check: checkHandshakeReset,
}

func checkHandshakeReset(p *Pass) {
	c := p.Conn
	rst, ok := c.Reset()
	if !ok || rst.By != track.Client || rst.State != [2]track.State{track.SynSent, track.SynReceived} {
		return
	}
	srv, cli := c.Server(), c.Client()
	first, _ := srv.SYNs()
	answer, _, _ := srv.Stay(track.SynReceived)
	tried := ""
	if cli.SYN() > 1 {
		tried = ", after several SYNs: perhaps an old duplicate"
	}
	p.Reportf(cli, ClientApp, rst.Time, frames(c.First, answer.Frame, rst.Frame),
		"RST %v after the SYN,ACK%s", Dur(rst.Time.Sub(first)), tried)
}
