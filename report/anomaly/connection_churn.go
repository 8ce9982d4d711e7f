package anomaly

import (
	"fmt"
	"time"

	"tcplife/track"
)

// ConnectionChurn finds clients that open a connection for every little thing.
var ConnectionChurn = &Rule{
	Name:     "connection-churn",
	Severity: Note,
	Ref:      "RFC 9112 §9.3",
	Doc: `many short connections for little data

One client opens connection after connection to one server port, each for little
data and not for long. Each costs a handshake, three or four segments to close, a
port for a minute, and a slow start anew; with TLS several round trips more. A pool
of connections, or keep-alive (HTTP), saves that: the message tells how much time
went into handshakes. Look at whether the client asks for keep-alive at all, and at
whether the server's timeout is shorter than the client's pauses.

Health checks and monitoring do it on purpose, at a low rate, and the rule is silent.`,
	Settings: []*Setting{churnConnections, churnBytes, churnRate},
	Also:     Plain,
	Start:    startConnectionChurn,
}

var (
	churnConnections = count("connections", 100, "completed and closed; what a browser opens for one page stays below")
	churnBytes       = count("bytes", 16384, "of payload for each, on the average: above, the cost of a connection is small beside that of its data")
	churnRate        = count("a-minute", 60, "connections: one a second, more than any health check makes")
)

type churn struct {
	group
	payload    uint64
	handshakes time.Duration
	open       time.Duration
}

type churns struct{ pairs per[churn] }

func startConnectionChurn() Watch {
	c := &churns{}
	return Watch{Look: c.look, Judge: c.judge}
}

func (x *churns) look(p *Pass) {
	c := p.Conn
	how := c.Teardown()
	if how == track.NotClosed || how == track.HalfClosed || p.pair().none() {
		return
	}
	took, ok := c.HandshakeTime()
	if !ok {
		return
	}
	cli, srv := c.Client(), c.Server()
	v := x.pairs.at(p.pair())
	v.add(p)
	v.payload += cli.PayloadBytes() + srv.PayloadBytes()
	v.handshakes += took
	v.open += c.End().Sub(c.Start)
}

func (x *churns) judge(p *Pass) {
	x.pairs.each(&p.crowd.pairs, func(k *place, v *churn) {
		n := v.n
		if v.told || n < p.Count(churnConnections) || v.payload > uint64(n)*uint64(p.Count(churnBytes)) ||
			v.span().Minutes()*float64(p.Count(churnRate)) > float64(n) {
			return
		}
		p.Report(v.finding(k.addr, k.port, ClientApp, fmt.Sprintf(
			"%d connections from %v in %v, open for %v and with %d octets of payload on the average; handshakes took %v in all, %v each",
			n, k.client.IP(), Dur(v.span()), Dur(v.open/time.Duration(n)), v.payload/uint64(n),
			Dur(v.handshakes), Dur(v.handshakes/time.Duration(n)))))
	})
}
