package anomaly

import (
	"fmt"

	"tcplife/track"
)

// BacklogPressure finds server ports that take some connections and ignore others.
var BacklogPressure = &Rule{
	Name:     "backlog-pressure",
	Severity: Warn,
	Ref:      "RFC 9293 §3.9.1.1",
	Doc: `server port ignores some connections

While some connections of a client to a server port are established, SYNs of the
same client are ignored, or several connections meet a full accept queue: the queue
behind the listening socket is too short for how fast the program accepts. The
message estimates how many connections waited in it. Look at ss -tln (Send-Q is the
size of the queue), at nstat TcpExtListenDrops, and at what keeps the program from
calling accept(); then at its listen() backlog and net.core.somaxconn.

SYNs that get lost on the way look the same, but hit few, and all servers alike.
The rule is silent where all SYNs of a client are ignored: that is a firewall.`,
	Settings: []*Setting{backlogDropped, backlogShare},
	Explains: []string{"handshake-retried", "syn-unanswered"},
	Also:     Plain,
	Start:    startBacklogPressure,
}

var (
	backlogDropped = count("dropped", 3, "connections of one client that met a full queue or whose SYN was ignored, while others succeeded: loss hits one or two")
	backlogShare   = percent("share", 10, "of that client's connections: a path that loses a tenth of its packets is of no use at all")
)

// A backlog is what came of one client's connections to a server port.
type backlog struct {
	group         // of those ignored, at once or after the handshake
	completed int // of those that were not
	full      int // met a full accept queue
	queued    int // of those completed: the program never spoke
}

type backlogs struct{ pairs per[backlog] }

func startBacklogPressure() Watch {
	b := &backlogs{}
	return Watch{Look: b.look, Judge: b.judge, Covers: b.covers}
}

func (b *backlogs) look(p *Pass) {
	c := p.Conn
	cli, srv := c.Client(), c.Server()
	if cli.SYN() == 0 || c.OneSided() || p.pair().none() {
		return
	}
	full := srv.Refuted() > 0 && !srv.Acted()
	switch {
	case full:
	case p.handshake == track.Complete:
		first, last := cli.SYNs()
		answered, _ := srv.SYNs()
		if ignored := cli.SYN() > 1 && answered >= last && last.Sub(first) >= retryMin; !ignored {
			v := b.pairs.at(p.pair())
			v.completed++
			if !srv.Acted() {
				v.queued++
			}
			return
		}
	case p.handshake != track.Unanswered || cli.SYN() < 2:
		return
	}
	v := b.pairs.at(p.pair())
	v.add(p)
	if full {
		v.full++
	}
}

// isPressure reports whether so many were ignored that it is no accident, and not
// all of them.
func (v *backlog) isPressure(c *Config) bool {
	return v.n >= c.Count(backlogDropped) && v.completed+v.full > 0 &&
		float64(v.n) >= c.Share(backlogShare)*float64(v.n+v.completed)
}

func (b *backlogs) covers(p *Pass) bool {
	v := b.pairs.has(p.pair())
	return v != nil && p.Conn.Client().SYN() > 1 && v.isPressure(p.Config)
}

func (b *backlogs) judge(p *Pass) {
	b.pairs.each(&p.crowd.pairs, func(k *place, v *backlog) {
		if v.told || !v.isPressure(p.Config) {
			return
		}
		msg := fmt.Sprintf("of %d connections from %v %d were ignored in %v", v.n+v.completed, k.client.IP(), v.n, Dur(v.span()))
		if v.full > 0 {
			msg += fmt.Sprintf(", %d of them after the handshake: the accept queue was full", v.full)
		}
		if v.full > 0 && v.queued > 0 {
			msg += fmt.Sprintf(", with about %d waiting in it", v.queued)
		}
		if v.completed > 0 {
			msg += fmt.Sprintf("; %d were taken", v.completed)
		}
		p.Report(v.finding(k.addr, k.port, ServerApp, msg))
	})
}
