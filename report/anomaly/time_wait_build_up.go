package anomaly

import (
	"fmt"

	"tcplife/decode/capture"
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
	Also:     Plain,
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

type timeWaits struct {
	hosts   per[waiting]
	clients per[waiting]
}

func startTimeWaitBuildUp() Watch {
	t := &timeWaits{}
	return Watch{Look: t.look, Judge: t.judge}
}

// A timeWait is the time of an end in TIME_WAIT, once it was asked for.
type timeWait struct {
	asked, ok bool
	from, to  capture.Time
}

// timeWaitOf returns when the end was in TIME_WAIT, by the clock if nothing ended it
// sooner.
func timeWaitOf(p *Pass, r track.Role) (from, to capture.Time, ok bool) {
	w := &p.waits[r]
	if w.asked {
		return w.from, w.to, w.ok
	}
	*w = timeWait{asked: true}
	if !p.been[r].Has(track.TimeWait) {
		return 0, 0, false
	}
	in, left, out := p.Conn.Ends()[r].Stay(track.TimeWait)
	w.from, w.to, w.ok = in.Time, in.Time.Add(p.stack().TimeWait), in.To == track.TimeWait
	if left {
		w.to = out.Time
	}
	return w.from, w.to, w.ok
}

func (t *timeWaits) look(p *Pass) {
	for r := track.Client; r <= track.Server; r++ {
		if !p.been[r].Has(track.TimeWait) {
			continue
		}
		host, pair := p.host(r), spot{}
		if r == track.Client {
			pair = p.pair()
		}
		if host.none() && pair.none() {
			continue
		}
		from, to, ok := timeWaitOf(p, r)
		if !ok {
			continue
		}
		if v := t.hosts.at(host); v != nil {
			v.add(p)
			v.held.add(from, to)
			if r == track.Client {
				v.client++
			}
		}
		if v := t.clients.at(pair); v != nil {
			v.add(p)
			v.held.add(from, to)
		}
	}
}

func (t *timeWaits) judge(p *Pass) {
	s := p.stack()
	limit := int(p.Share(timeWaitShare) * float64(s.Ports()))
	t.clients.each(&p.crowd.pairs, func(k *place, v *waiting) {
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
		if host := t.hosts.has(p.crowd.hosts.find(&toward{client: k.client}, hashOfHost(k.client))); host != nil {
			host.told = true
		}
	})
	t.hosts.each(&p.crowd.hosts, func(k *place, v *waiting) {
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
		f := v.finding(k.client, 0, by, fmt.Sprintf("%d in TIME_WAIT at once, after %d connections in %v that it closed first, mostly %s",
			most, v.n, Dur(v.span()), who))
		f.Time = at
		p.Report(f)
	})
}
