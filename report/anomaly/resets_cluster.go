package anomaly

import (
	"fmt"
	"slices"
	"time"

	"tcplife/decode"
	"tcplife/decode/capture"
	"tcplife/internal/fold"
	"tcplife/track"
)

// ResetsCluster finds events that reset many connections at once.
var ResetsCluster = &Rule{
	Name:     "resets-cluster",
	Severity: Warn,
	Ref:      "RFC 9293 §3.5.3",
	Doc: `many connections reset at the same time

Within two seconds, one host reset many connections that had been open for a while,
and it resets few at other times; or a box in between reset many connections to one
host. Something happened there and then: a process was stopped or crashed, a host was
restarted, a cluster failed over, a firewall or NAT table was flushed, a load
balancer took a backend away. Look at what the logs say of that moment; the single
resets only say who noticed.

Connections that had lasted less than five seconds do not count: clients that end
each request by RST do so all the time. Nor do those that a FIN had closed before.`,
	Settings: []*Setting{resetsClusterConnections, resetsClusterShare},
	Start:    startResetsCluster,
}

var (
	resetsClusterConnections = count("connections", 10, "a few connections end together by chance, or because they belong together (a browser's six to one host)")
	resetsClusterShare       = percent("share", 50, "of the resets of connections that were open for a while, by the same host in the whole capture")
)

const (
	// clusterAge is how long a connection must have lasted: longer than a request
	// takes, so that resets which end requests don't look like an event.
	clusterAge = 5 * time.Second
	// clusterSpan is the time of one event: hosts close sockets, and peers notice,
	// one after the other.
	clusterSpan = time.Second
	// maxMoments are the seconds that are told apart of one host. One in which half
	// of its resets are can't be among those that are dropped for others.
	maxMoments = 16
)

// A resetter is a host in whose name, or, by a box in between, to which RSTs were
// sent.
type resetter struct {
	addr   decode.Addr
	role   track.Role
	by     track.Maker
	toward bool // to the host
}

// resetsOf is what is known of a resetter.
type resetsOf struct {
	all     int // but for those of events that were told
	moments []momentOf
	told    []int64 // seconds of the last events
}

// A momentOf is the resets in one second.
type momentOf struct {
	second        int64
	n             int
	port          uint16 // of the server, 0 if there are several
	first         capture.Time
	conns, frames []uint64
}

type resetting struct{ hosts fold.Map[resetter, resetsOf] }

func startResetsCluster() Watch {
	s := &resetting{fold.New[resetter](maxGroups, func(v *resetsOf) uint64 { return uint64(v.all) })}
	return Watch{Look: s.look, Judge: s.judge}
}

func (s *resetting) look(p *Pass) {
	c := p.Conn
	rst, ok := aborted(c)
	if !ok || sentFIN(rst.State[0]) || sentFIN(rst.State[1]) || !c.Midstream && rst.Time.Sub(c.Start) < clusterAge {
		return
	}
	who := resetter{role: rst.By, addr: c.Ends()[rst.By].Addr()}
	if who.by, _ = rst.Maker(); who.by == track.Middlebox || who.by == track.Forger {
		who.toward, who.addr = true, c.Ends()[1-rst.By].Addr()
	}
	v := s.hosts.At(who)
	v.all++
	m := v.moment(int64(rst.Time) / int64(clusterSpan))
	if m.n++; m.n == 1 {
		m.port, m.first = c.Server().Port(), rst.Time
	}
	if m.port != c.Server().Port() {
		m.port = 0
	}
	m.first = min(m.first, rst.Time)
	if len(m.conns) < maxGroupConns {
		m.conns = append(m.conns, p.ID)
	}
	if len(m.frames) < maxGroupFrames {
		m.frames = append(m.frames, rst.Frame)
	}
}

// moment returns the place of a second. The least of too many gives way.
func (v *resetsOf) moment(second int64) *momentOf {
	least := 0
	for i := range v.moments {
		if v.moments[i].second == second {
			return &v.moments[i]
		}
		if v.moments[i].n < v.moments[least].n {
			least = i
		}
	}
	if len(v.moments) < maxMoments {
		v.moments = append(v.moments, momentOf{second: second})
		return &v.moments[len(v.moments)-1]
	}
	v.moments[least] = momentOf{second: second}
	return &v.moments[least]
}

func (s *resetting) judge(p *Pass) {
	s.hosts.All(func(k resetter, v *resetsOf) {
		for i := range v.moments {
			m, n := &v.moments[i], 0
			var after *momentOf
			for j := range v.moments {
				if o := &v.moments[j]; o.second == m.second+1 {
					after = o
				}
			}
			if n = m.n; after != nil {
				n += after.n
			}
			if n < p.Count(resetsClusterConnections) || float64(n) < p.Share(resetsClusterShare)*float64(v.all) ||
				slices.Contains(v.told, m.second) || slices.Contains(v.told, m.second-1) {
				continue
			}
			p.Report(m.finding(k, n, after))
			if v.told = append(v.told, m.second); len(v.told) > maxMoments {
				v.told = v.told[1:]
			}
			// The next event, hours later perhaps, is held to what happens otherwise.
			v.all -= n
			if m.n = 0; after != nil {
				after.n = 0
			}
		}
	})
}

// finding tells of n resets in the moment and the one after, if there is one.
func (m *momentOf) finding(k resetter, n int, after *momentOf) Finding {
	conns, shown, port := slices.Clone(m.conns), slices.Clone(m.frames), m.port
	if after != nil {
		conns, shown = append(conns, after.conns...), append(shown, after.frames...)
		if after.port != port {
			port = 0
		}
	}
	slices.Sort(conns)
	msg, by := fmt.Sprintf("the %v reset %d connections", k.role, n), HostOf(k.role)
	switch {
	case k.toward:
		msg, by = fmt.Sprintf("a box in between reset %d connections of the %v", n, 1-k.role), Middlebox
	case k.by == track.Application:
		by = AppOf(k.role)
	}
	if k.role == track.Client != k.toward {
		port = 0 // of many servers
	}
	return Finding{
		Suspect: by, Time: m.first, Packets: frames(shown...), Conns: conns[:min(len(conns), maxGroupConns)],
		Addr: k.addr, Port: port,
		Message: fmt.Sprintf("%s within %v", msg, 2*clusterSpan),
	}
}
