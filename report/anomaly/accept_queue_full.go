package anomaly

import (
	"fmt"

	"tcplife/track"
)

// AcceptQueueFull finds connections that the server's kernel could not hand to
// its program.
var AcceptQueueFull = &Rule{
	Name:     "accept-queue-full",
	Severity: Error,
	Ref:      "RFC 9293 §3.10.7.4",
	Doc: `accept queue full

The server repeated its SYN,ACK although the client had acknowledged it, and what
the client sent stays unacknowledged: for the client the connection exists, for
the server it does not. That is what a Linux server does whose accept queue is
full, because its program does not call accept() fast enough. Look at the program
(blocked? out of descriptors or threads?), at ss -tln (Recv-Q at or above Send-Q),
at nstat TcpExtListenOverflows, then at the backlog it gives to listen() and at
net.core.somaxconn.

One repetition, after which the connection goes on, is a lost acknowledgment, and
the rule is silent. A path that loses several of them in a row looks the same.`,
	Explains: []string{
		"handshake-retried", "half-open-handshake", "peer-dead", "fin-unanswered", "reset-by-server", "reset-by-client",
		"half-open-peer", "data-after-close",
	},
	Check: checkAcceptQueueFull,
}

func checkAcceptQueueFull(p *Pass) {
	c := p.Conn
	srv, cli := c.Server(), c.Client()
	n := srv.Refuted()
	if n == 0 {
		return
	}
	stuck := !srv.Acted() && cli.DataFrame() != 0 && cli.Unacked() > 0
	if n < 2 && !(stuck && cli.Repeats().N > 0) {
		return
	}
	var shown []uint64
	for _, w := range c.Withdrawals() {
		if w.From == track.SynReceived && w.To == track.Established {
			shown = append(shown, w.Frame, w.By)
		}
	}
	first, last := srv.SYNs()
	msg := fmt.Sprintf("%d SYN,ACKs in %v, the client's acknowledgments ignored", srv.SYN(), Dur(last.Sub(first)))
	switch {
	case stuck:
		msg += fmt.Sprintf(", %d octets of the client unacknowledged", cli.Unacked())
	case srv.Acted():
		msg += ", then accepted"
	}
	p.Report(Finding{Side: ServerSide, Suspect: ServerApp, Time: first, Packets: frames(shown...), Message: msg, Weight: int64(last.Sub(first))})
}
