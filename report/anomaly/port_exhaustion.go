package anomaly

import (
	"fmt"

	"tcplife/track"
)

// PortExhaustion finds clients that run out of ports.
var PortExhaustion = &Rule{
	Name:     "port-exhaustion",
	Severity: Error,
	Ref:      "RFC 6056 §2.1",
	Doc: `ephemeral ports run out

One client address has nearly all its ephemeral ports in use, or in TIME_WAIT,
towards one server port, or takes each of them again before 2MSL have passed since
its last connection, because there is no other. When none is left, connect() fails (EADDRNOTAVAIL), or
waits; a NAT gateway drops the SYN. Look at what opens so many connections: without
a pool, or many clients behind one NAT address. More client or server addresses or
ports help, as each combination has all ports of its own, and so does a wider range.

The range is that of the system (--stack), or all ports from 1024 on where clients
use others, as NATs do.`,
	Settings: []*Setting{portExhaustionShare, portExhaustionAgain},
	Explains: []string{"time-wait-build-up"},
	Also:     Plain,
	Start:    startPortExhaustion,
}

var portExhaustionShare = percent("share", 80, "of the ports taken at once: finding a free one takes the kernel long by then, and a burst takes the rest")

var portExhaustionAgain = count("again", 20, "different ports taken again within 2MSL, and most of those that the client has: one or a few have programs that bind to a fixed port")

// ports are those that a client has taken towards a server port.
type ports struct {
	group
	taken   curve
	outside int // of the system's range
	reused  int // connections on a port that was taken again within 2MSL
	again   map[uint16]struct{}
}

type exhaustion struct{ clients per[ports] }

func startPortExhaustion() Watch {
	x := &exhaustion{}
	return Watch{Look: x.look, Judge: x.judge}
}

func (x *exhaustion) look(p *Pass) {
	c := p.Conn
	cli := c.Client()
	_, again := c.Reuse()
	if cli.SYN() == 0 || p.handshake != track.Complete && !again || p.pair().none() {
		return
	}
	v := x.clients.at(p.pair())
	v.add(p)
	if again {
		if v.reused++; v.again == nil {
			v.again = make(map[uint16]struct{})
		}
		v.again[cli.Port()] = struct{}{}
	}
	to := forever
	if _, until, ok := timeWaitOf(p, track.Client); ok {
		to = until
	} else if since, ok := cli.Since(); ok && cli.State() == track.Closed {
		to = since
	}
	first, _ := cli.SYNs()
	v.taken.add(first, to)
	if s := p.stack(); cli.Port() < s.PortLow || cli.Port() > s.PortHigh {
		v.outside++
	}
}

func (x *exhaustion) judge(p *Pass) {
	x.clients.each(&p.crowd.pairs, func(k *place, v *ports) {
		s := p.stack()
		all, whose := s.Ports(), "ephemeral ports of "+s.Name
		if 10*v.outside > v.n {
			all, whose = 1<<16-1024, "ports from 1024 on"
		}
		if v.told {
			return
		}
		most, at := v.taken.peak()
		// Those that were taken first by a connection that was not set up are not in n.
		has := max(v.n-v.reused, len(v.again))
		cycles := len(v.again) >= p.Count(portExhaustionAgain) && float64(len(v.again)) >= p.Share(portExhaustionShare)*float64(has)
		if float64(most) < p.Share(portExhaustionShare)*float64(all) && !cycles {
			return
		}
		msg := fmt.Sprintf("%d ports of %v taken at once towards this port, %d %% of the %d %s", most, k.client.IP(), 100*most/all, all, whose)
		if cycles {
			msg = fmt.Sprintf("%d of the %d ports of %v taken again towards this port within 2MSL, %d times in all",
				len(v.again), has, k.client.IP(), v.reused)
		}
		f := v.finding(k.addr, k.port, ClientApp, msg)
		f.Time = at
		p.Report(f)
	})
}
