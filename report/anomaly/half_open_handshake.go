package anomaly

import (
	"fmt"
	"time"

	"tcplife/track"
)

// HalfOpenHandshake finds SYN,ACKs that nobody acknowledged.
var HalfOpenHandshake = &Rule{
	Name:     "half-open-handshake",
	Severity: Warn,
	Ref:      "RFC 9293 §3.5",
	Doc: `handshake left half-open

The server answered SYN with SYN,ACK and is still in SYN_RCVD: the client never
acknowledged. Either the SYN,ACK does not reach the client (filtered, routed
elsewhere), or the client has gone, or the source address of the SYN was forged.
Each such attempt occupies a place in the server's SYN backlog for about a
minute. If the client repeats its SYN, the SYN,ACKs are lost on their way.

The rule is silent if the capture ends before the SYN,ACK was repeated or three
seconds have passed, and where only one direction was captured.`,
	Settings: []*Setting{halfOpenAfter},
	Also:     Plain,
	Check:    checkHalfOpenHandshake,
}

var halfOpenAfter = span("after", 3*time.Second,
	"the slowest path and one repetition: Linux repeats a SYN,ACK after 1 s, older stacks after 3 s (RFC 6298 §5.7)")

func checkHalfOpenHandshake(p *Pass) {
	c := p.Conn
	srv, cli := c.Server(), c.Client()
	if c.Handshake() != track.HalfOpen || srv.State() != track.SynReceived {
		return
	}
	first, last := srv.SYNs()
	held := p.Now.Sub(first)
	switch {
	case c.OneSided():
		p.NotJudged(OneSided)
		return
	case held < p.Duration(halfOpenAfter) && srv.SYN() < 2:
		p.NotJudged(EndsSoon)
		return
	}
	if p.Echo() {
		return
	}
	suspect := ClientHost
	msg := fmt.Sprintf("SYN_RCVD for %v", Dur(held))
	if srv.SYN() > 1 {
		msg += fmt.Sprintf(", %d SYN,ACKs in %v", srv.SYN(), Dur(last.Sub(first)))
	}
	if _, again := cli.SYNs(); again > first {
		suspect = Network
		msg += ", SYN repeated after the first"
	}
	p.Report(Finding{
		Side: ServerSide, Suspect: suspect, Time: first,
		Packets: frames(c.First, srv.SinceFrame(), srv.SentFrame()), Message: msg, Weight: int64(held),
	})
}
