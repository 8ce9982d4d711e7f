package anomaly

import (
	"time"

	"tcplife/track"
)

// HandshakeRetried finds handshakes that took more than one try.
var HandshakeRetried = &Rule{
	Name:     "handshake-retried",
	Severity: Note,
	Ref:      "RFC 9293 §3.8.1",
	Doc: `handshake took more than one try

The connection was established, but SYN or SYN,ACK had to be sent again: a segment
was lost, or the server was slow to answer or its queue full. The first repetition
takes a second on most systems, so users feel it. Look at the path if it happens
to many servers, and at the server's SYN backlog and accept queue if to one.

Copies within a fifth of a second are not repetitions, which no system sends so
soon, but made by the network, and the rule is silent.`,
	Check: checkHandshakeRetried,
}

// retryMin is the least time that a system waits before it sends a SYN again.
const retryMin = 200 * time.Millisecond

func checkHandshakeRetried(p *Pass) {
	c := p.Conn
	cli, srv := c.Client(), c.Server()
	if c.Handshake() != track.Complete || cli.SYN() < 2 && srv.SYN() < 2 {
		return
	}
	took, ok := c.HandshakeTime()
	if !ok {
		return
	}
	asked, _ := cli.SYNs()
	answered, again := srv.SYNs()
	syns := tries(cli, took)
	synacks := tries(srv, asked.Add(took).Sub(answered))
	if srv.Refuted() > 0 { // the acknowledgment was repeated with it
		synacks = max(synacks, 1+srv.Refuted())
		took = max(took, again.Sub(asked))
	}
	if syns < 2 && synacks < 2 {
		return
	}
	up, _, _ := cli.Stay(track.Established)
	p.Reportf(cli, Network, asked, frames(c.First, up.Frame),
		"%s and %s: the handshake took %v", Counted(uint64(syns), "SYN"), Counted(uint64(synacks), "SYN,ACK"), Dur(took)).Weight = int64(took)
}

// tries returns how often the end sent its SYN before that time after the first.
func tries(e *track.End, within time.Duration) int {
	n := 0
	last := -retryMin
	for _, at := range e.Tries() {
		if at <= within && at-last >= retryMin {
			n, last = n+1, at
		}
	}
	return n
}
