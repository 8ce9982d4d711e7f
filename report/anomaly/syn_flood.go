package anomaly

import (
	"fmt"
	"math/bits"
	"time"

	"tcplife/decode/capture"
	"tcplife/track"
)

// SYNFlood finds servers with more half-open connections than clients make by
// accident.
var SYNFlood = &Rule{
	Name:     "syn-flood",
	Severity: Error,
	Ref:      "RFC 4987 §2",
	Doc: `SYN flood

At one server port many connections are begun at the same time and not completed,
and they are most of what it gets: somebody fills its SYN backlog. The message
tells how many there were at once, from how many addresses, and how many others
completed. Where most sources appear once and lie all over the address space, they
are forged, and blocking them is useless. If the server answers all, and repeats
its SYN,ACK to few of them, it has fallen back to SYN cookies (Linux:
net.ipv4.tcp_syncookies) and holds no memory for them. Filter before the server,
and look at nstat TcpExtSyncookiesSent and TcpExtTCPReqQFullDrop.

A high rate of SYNs alone is no flood. A server that answers nobody, while clients
try again and again, is down, and the rule silent: see syn-unanswered.`,
	Settings: []*Setting{synFloodHalfOpen, synFloodShare},
	Explains: []string{"half-open-handshake", "syn-unanswered", "handshake-reset", "backlog-pressure", "predictable-isn"},
	Also:     Plain | LoneSYN,
	Start:    startSYNFlood,
}

var (
	synFloodHalfOpen = count("half-open", 100, "half-open at once at one port: the smallest SYN backlog in use is 128, and clients that are merely slow or gone leave a few")
	synFloodShare    = percent("share", 50, "of the connections begun, those never completed: below, the server mostly does its work")
)

// requestLife is how long a server keeps a request that nobody completes: Linux's
// tcp_synack_retries of 5.
const requestLife = 63 * time.Second

// flooded is what one server port got.
type flooded struct {
	group
	halfOpen curve
	sources  distinct
	nets     [4]uint64 // of IPv4 sources, the first octets seen
	retried  int       // by the client: SYN sent again
	aged     int       // old enough for that
	answered int       // by SYN,ACK
	repeated int       // of these: SYN,ACK sent again
	old      int       // of these: old enough for that
	flood    verdict
}

type floods struct{ servers per[flooded] }

func startSYNFlood() Watch {
	f := &floods{}
	return Watch{Look: f.look, Judge: f.judge, Covers: f.covers}
}

// begun reports whether the connection was begun by a client and not completed.
func begun(p *Pass) bool {
	return (p.handshake == track.Unanswered || p.handshake == track.HalfOpen) && p.Conn.Client().SYN() > 0
}

func (f *floods) look(p *Pass) {
	c := p.Conn
	cli, srv := c.Client(), c.Server()
	if cli.SYN() == 0 {
		return
	}
	if !begun(p) {
		if p.handshake == track.Complete {
			if at := p.port(); !at.none() {
				p.crowd.ports.of(at).completed++
			}
		}
		return
	}
	v := f.servers.at(p.port())
	if v == nil {
		return
	}
	v.add(p)
	first, last := cli.SYNs()
	to := forever
	switch rst, reset := c.Reset(); {
	case reset:
		to = rst.Time
	case p.Now.Sub(last) > requestLife:
		to = last.Add(requestLife)
	}
	v.halfOpen.add(first, to)
	a := cli.Addr()
	v.sources.add(a)
	if a.IP().Is4() {
		v.nets[a[12]>>6] |= 1 << (a[12] & 63)
	}
	if cli.SYN() > 1 {
		v.retried++
	}
	if p.Now.Sub(first) > repeatedBy {
		v.aged++
	}
	if srv.SYN() > 0 {
		v.answered++
		switch answered, _ := srv.SYNs(); {
		case srv.SYN() > 1:
			v.repeated++
			v.old++
		case min(p.Now, to).Sub(answered) > repeatedBy:
			v.old++
		}
	}
}

// repeatedBy is when a SYN or SYN,ACK has been repeated if it ever is: after 1 s on
// most systems, and some slack.
const repeatedBy = 1500 * time.Millisecond

// isFlood reports whether what the server port got is a flood, and how many were
// half-open at its peak.
func (v *flooded) isFlood(c *Config, completed int) (peak int, at capture.Time, ok bool) {
	if v.n < c.Count(synFloodHalfOpen) || float64(v.n) < c.Share(synFloodShare)*float64(v.n+completed) {
		return 0, 0, false
	}
	if v.answered == 0 && completed == 0 && (2*v.retried > v.n || 2*v.aged < v.n) && !v.scattered() {
		return 0, 0, false // it is down, and its clients try again, or would
	}
	peak, at = v.halfOpen.peak()
	return peak, at, peak >= c.Count(synFloodHalfOpen)
}

func (f *floods) covers(p *Pass) bool {
	if !begun(p) {
		return false
	}
	v := f.servers.has(p.port())
	if v == nil {
		return false
	}
	completed := int(p.crowd.ports.of(p.port()).completed)
	return v.flood.told(p, v.n+completed, func() bool { _, _, ok := v.isFlood(p.Config, completed); return ok })
}

func (f *floods) judge(p *Pass) {
	f.servers.each(&p.crowd.ports, func(at *place, v *flooded) {
		if v.told {
			return
		}
		peak, when, ok := v.isFlood(p.Config, int(at.completed))
		if !ok {
			return
		}
		msg := fmt.Sprintf("%s handshakes not completed, %s at once", Digits(uint64(v.n)), Digits(uint64(peak)))
		if d := v.span(); d >= time.Second {
			msg += fmt.Sprintf(", %s SYNs a second for %v", Digits(uint64(float64(v.n)/d.Seconds()+0.5)), Dur(d))
		} else {
			msg += fmt.Sprintf(", begun within %v", Dur(d))
		}
		sources := min(v.sources.count(), v.n)
		msg += fmt.Sprintf(", from about %s addresses", Digits(uint64(sources)))
		if sources == 1 {
			msg = msg[:len(msg)-len("about 1 addresses")] + "1 address"
		}
		if v.scattered() {
			msg += fmt.Sprintf(" in %d networks, hardly any of them twice: forged", v.networks())
		}
		msg += fmt.Sprintf("; %s completed", Counted(uint64(at.completed), "other"))
		if v.old >= 10 && 4*v.repeated < 3*v.old {
			msg += fmt.Sprintf("; SYN,ACK repeated for %d of %d: SYN cookies", v.repeated, v.old)
		}
		fd := v.finding(at.addr, at.port, Attacker, msg)
		fd.Time = when
		p.Report(fd)
	})
}

// networks returns in how many networks 0.0.0.0/8 to 255.0.0.0/8 the sources are.
func (v *flooded) networks() (n int) {
	for _, bit := range v.nets {
		n += bits.OnesCount64(bit)
	}
	return n
}

// scattered reports whether the sources lie all over the address space, and each
// appears once, give or take what an estimate is worth.
func (v *flooded) scattered() bool {
	return v.networks() >= scatteredNets && 10*v.sources.count() > 8*v.n
}

// scatteredNets is in how many such networks the clients of no common server are
// within a flood's time.
const scatteredNets = 64
