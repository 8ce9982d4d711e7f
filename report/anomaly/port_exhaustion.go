package anomaly

import (
	"fmt"

	"tcplife/internal/fold"
	"tcplife/track"
)

// PortExhaustion finds clients that run out of ports.
var PortExhaustion = &Rule{
	Name:     "port-exhaustion",
	Severity: Error,
	Ref:      "RFC 6056 §2.1",
	Doc: `ephemeral ports run out

One client address has nearly all its ephemeral ports in use, or in TIME_WAIT,
towards one server port. When none is left, connect() fails (EADDRNOTAVAIL), or
waits; a NAT gateway drops the SYN. Look at what opens so many connections: without
a pool, or many clients behind one NAT address. More client or server addresses or
ports help, as each combination has all ports of its own, and so does a wider range.

The range is that of the system (--stack), or all ports from 1024 on where clients
use others, as NATs do.`,
	Settings: []*Setting{portExhaustionShare},
	Explains: []string{"time-wait-build-up"},
	Start:    startPortExhaustion,
}

var portExhaustionShare = percent("share", 80, "of the ports taken at once: finding a free one takes the kernel long by then, and a burst takes the rest")

// ports are those that a client has taken towards a server port.
type ports struct {
	group
	taken   curve
	outside int // of the system's range
	reused  int // taken again while the server still held the last connection
}

type exhaustion struct{ clients fold.Map[toward, ports] }

func startPortExhaustion() Watch {
	x := &exhaustion{fold.New[toward](maxGroups, func(v *ports) uint64 { return uint64(v.n) })}
	return Watch{Look: x.look, Judge: x.judge}
}

func (x *exhaustion) look(p *Pass) {
	c := p.Conn
	cli := c.Client()
	if cli.SYN() == 0 || cli.Packets() == 0 || c.Handshake() != track.Complete {
		return
	}
	v := x.clients.At(toward{cli.Addr(), serverOf(c)})
	v.add(p)
	to := forever
	if _, until, ok := timeWaitOf(p.Config, cli); ok {
		to = until
	} else if since, ok := cli.Since(); ok && cli.State() == track.Closed {
		to = since
	}
	first, _ := cli.SYNs()
	v.taken.add(first, to)
	if s := p.stack(); cli.Port() < s.PortLow || cli.Port() > s.PortHigh {
		v.outside++
	}
	if c.EndReason == track.Reused {
		v.reused++
	}
}

func (x *exhaustion) judge(p *Pass) {
	x.clients.All(func(k toward, v *ports) {
		s := p.stack()
		all, whose := s.Ports(), "ephemeral ports of "+s.Name
		if 10*v.outside > v.n {
			all, whose = 1<<16-1024, "ports from 1024 on"
		}
		limit := int(p.Share(portExhaustionShare) * float64(all))
		if v.told || v.n < limit {
			return
		}
		most, at := v.taken.peak()
		if most < limit {
			return
		}
		msg := fmt.Sprintf("%d ports of %v taken at once towards this port, %d %% of the %d %s", most, k.client.IP(), 100*most/all, all, whose)
		if v.reused > 0 {
			msg += fmt.Sprintf("; %d were taken again before the last connection was over", v.reused)
		}
		f := v.finding(k.addr, k.port, ClientApp, msg)
		f.Time = at
		p.Report(f)
	})
}
