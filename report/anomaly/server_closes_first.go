package anomaly

import (
	"fmt"

	"tcplife/track"
)

// ServerClosesFirst finds server ports at which TIME_WAIT piles up.
var ServerClosesFirst = &Rule{
	Name:     "server-closes-first",
	Severity: Note,
	Ref:      "RFC 9293 §3.6.1",
	Doc: `server closes first

Most connections to a server port are closed by the server, so that the server keeps
them in TIME_WAIT, for all its clients. With HTTP it answers Connection: close, or
its keep-alive timeout is shorter than its clients' pauses; then requests get lost
that cross the FIN. Let the client close first, and the server's timeout be longer
than the client's. Protocols in which the end of the connection is the end of the
answer (HTTP/1.0, FTP data, whois) can't do otherwise.`,
	Settings: []*Setting{serverClosesConnections, serverClosesShare},
	Also:     Plain,
	Start:    startServerClosesFirst,
}

var (
	serverClosesConnections = count("connections", 100, "closed by FIN: for fewer it matters to nobody")
	serverClosesShare       = percent("share", 80, "closed by the server first")
)

type closed struct {
	group // by the server first
	all   int
}

type closings struct{ servers per[closed] }

func startServerClosesFirst() Watch {
	s := &closings{}
	return Watch{Look: s.look, Judge: s.judge}
}

func (s *closings) look(p *Pass) {
	c := p.Conn
	if c.Teardown() != track.ByFIN {
		return
	}
	v := s.servers.at(p.port())
	if v == nil {
		return
	}
	v.all++
	if !p.been[track.Client].Has(track.FinWait1) && c.ClosedFirst() == track.ServerFirst {
		v.add(p)
	}
}

func (s *closings) judge(p *Pass) {
	s.servers.each(&p.crowd.ports, func(k *place, v *closed) {
		if v.told || v.all < p.Count(serverClosesConnections) || float64(v.n) < p.Share(serverClosesShare)*float64(v.all) {
			return
		}
		p.Report(v.finding(k.addr, k.port, ServerApp, fmt.Sprintf("closed %d of %d connections first, in %v", v.n, v.all, Dur(v.span()))))
	})
}
