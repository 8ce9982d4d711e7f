package anomaly

import (
	"fmt"

	"tcplife/decode"
	"tcplife/decode/capture"
	"tcplife/internal/fold"
	"tcplife/track"
)

// TimeWaitBuildUp finds hosts that hold many sockets in TIME_WAIT.
var TimeWaitBuildUp = &Rule{
	Name:     "time-wait-build-up",
	Severity: Warn,
	Ref:      "RFC 9293 §3.6.1",
	Doc: `sockets in TIME_WAIT pile up

The end that closes first keeps the connection in TIME_WAIT for 2MSL (--stack,
--time-wait). One host must be holding very many such sockets at once, or, as a
client, so many towards one server port that its ephemeral ports run out: then
connect() fails with EADDRNOTAVAIL. On a server they cost some memory and nothing
else.

What helps: use connections again (keep-alive, a pool), let the other side close
first, a wider port range, on Linux clients net.ipv4.tcp_tw_reuse=1. What does not:
net.ipv4.tcp_tw_recycle, gone since Linux 4.12, which broke clients behind NAT;
tcp_fin_timeout, which is about FIN_WAIT_2; SO_LINGER 0, which loses data.`,
	Settings: []*Setting{timeWaitCount, timeWaitShare},
	Explains: []string{"server-closes-first"},
	Start:    startTimeWaitBuildUp,
}

var (
	timeWaitCount = count("sockets", 10000, "in TIME_WAIT at one host at once: a third of Linux's ephemeral ports, and a few MB of its memory")
	timeWaitShare = percent("share", 50, "of the ephemeral ports, in TIME_WAIT at one client towards one server port: half of the rate at which connect() fails is reached")
)

// waiting is what a host, or a client towards one server port, holds in TIME_WAIT.
type waiting struct {
	group
	held   curve
	client int // it was the client in so many
}

// a toward is a client and a server port.
type toward struct {
	client decode.Addr
	server
}

type timeWaits struct {
	hosts   fold.Map[decode.Addr, waiting]
	clients fold.Map[toward, waiting]
}

func startTimeWaitBuildUp() Watch {
	weight := func(v *waiting) uint64 { return uint64(v.n) }
	t := &timeWaits{fold.New[decode.Addr](maxGroups, weight), fold.New[toward](maxGroups, weight)}
	return Watch{Look: t.look, Judge: t.judge}
}

// timeWaitOf returns when the end was in TIME_WAIT, by the clock if nothing ended it
// sooner.
func timeWaitOf(c *Config, e *track.End) (from, to capture.Time, ok bool) {
	in, left, out := stayIn(e, track.TimeWait)
	if in.To != track.TimeWait {
		return 0, 0, false
	}
	to = in.Time.Add(c.stack().TimeWait)
	if left {
		to = out.Time
	}
	return in.Time, to, true
}

func (t *timeWaits) look(p *Pass) {
	c := p.Conn
	for r, e := range c.Ends() {
		from, to, ok := timeWaitOf(p.Config, e)
		if !ok {
			continue
		}
		v := t.hosts.At(e.Addr())
		v.add(p)
		v.held.add(from, to)
		if track.Role(r) == track.Client {
			v.client++
			w := t.clients.At(toward{e.Addr(), serverOf(c)})
			w.add(p)
			w.held.add(from, to)
		}
	}
}

func (t *timeWaits) judge(p *Pass) {
	s := p.stack()
	limit := int(p.Share(timeWaitShare) * float64(s.Ports()))
	t.clients.All(func(k toward, v *waiting) {
		if v.told || v.n < limit {
			return
		}
		most, at := v.held.peak()
		if most < limit {
			return
		}
		f := v.finding(k.addr, k.port, ClientApp, fmt.Sprintf(
			"%d in TIME_WAIT at %v towards this port, %d %% of the %d ephemeral ports of %s, after %d connections in %v; the client closes first",
			most, k.client.IP(), 100*most/s.Ports(), s.Ports(), s.Name, v.n, Dur(v.span())))
		f.Time = at
		p.Report(f)
		t.hosts.At(k.client).told = true
	})
	t.hosts.All(func(host decode.Addr, v *waiting) {
		if v.told || v.n < p.Count(timeWaitCount) {
			return
		}
		most, at := v.held.peak()
		if most < p.Count(timeWaitCount) {
			return
		}
		who, by := "as server", ServerApp
		if 2*v.client > v.n {
			who, by = "as client", ClientApp
		}
		f := v.finding(host, 0, by, fmt.Sprintf("%d in TIME_WAIT at once, after %d connections in %v that it closed first, mostly %s",
			most, v.n, Dur(v.span()), who))
		f.Time = at
		p.Report(f)
	})
}
