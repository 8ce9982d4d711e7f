package anomaly

import (
	"fmt"
	"slices"

	"tcplife/decode"
	"tcplife/track"
)

// PortScan finds sources that try many ports or hosts.
var PortScan = &Rule{
	Name:     "port-scan",
	Severity: Warn,
	Ref:      "RFC 4949 §4, port scan",
	Doc: `port scan

One source tried many ports of one host, or one port of many hosts, and few of its
attempts came to anything. The message tells what was sent (SYN, or segments with
flags that no TCP sends), to how many ports and hosts, and what came back: RST
where a port is closed, nothing where a firewall drops, SYN,ACK where something
listens. Scanners of your own (inventory, monitoring) look the same: look who the
source is. If it is a machine of yours that should not scan, it may be infected.

A client of peer-to-peer programs tries many hosts too, but at ports of their own,
and the rule is silent.`,
	Settings: []*Setting{portScanPorts, portScanHosts, portScanShare},
	Explains: []string{
		"connection-refused", "syn-unanswered", "half-open-handshake", "handshake-reset", "invalid-flags", "icmp-rejected", "predictable-isn",
	},
	Also:  Plain | LoneSYN,
	Start: startPortScan,
}

var (
	portScanPorts = count("ports", 10, "different ports of one host tried in vain: programs know the ports of their servers, and fall back to a few")
	portScanHosts = count("hosts", 25, "different hosts tried in vain at one port; what Zeek's policy/misc/scan takes for an address scan")
	portScanShare = percent("share", 80, "of all that the source tried, what was in vain: a program with a list of servers of which many are gone still finds some")
)

// A scanner is a source, and what it tried.
type scanner struct {
	group
	before  uint32 // attempts before the first one in vain
	scan    verdict
	first   server
	targets *targets // once there is more than one
	invalid int
	refused int
	silent  int
	open    int
}

// targets are what a source tried in vain.
type targets struct {
	ports map[decode.Addr]map[uint16]struct{} // of each host
	hosts map[uint16]map[decode.Addr]struct{} // of each port
}

// maxTargets bounds each of the maps: more hosts, ports and both are not counted.
const maxTargets = 1024

type scans struct{ sources per[scanner] }

func startPortScan() Watch {
	s := &scans{}
	return Watch{Look: s.look, Judge: s.judge, Covers: s.covers}
}

// vain reports whether the client's attempt came to nothing: refused, unanswered,
// broken off by the client itself before any payload, or never an attempt.
func vain(p *Pass) bool {
	c := p.Conn
	switch p.handshake {
	case track.Unanswered, track.Refused:
		return true
	case track.HalfOpen:
		rst, ok := c.Reset()
		return ok && rst.By == track.Client
	}
	i := c.Invalid()
	return i.N > 0 && i.By == track.Client && c.Client().PayloadBytes()+c.Server().PayloadBytes() == 0
}

func (s *scans) look(p *Pass) {
	c := p.Conn
	cli, srv := c.Client(), c.Server()
	if cli.Packets() == 0 || cli.SYN() == 0 && c.Invalid().N == 0 {
		return
	}
	at := p.host(track.Client)
	if at.none() {
		return
	}
	host := p.crowd.hosts.of(at)
	host.attempts++
	if !vain(p) {
		return
	}
	v := s.sources.at(at)
	if v.n == 0 {
		v.before = host.attempts - 1
	}
	v.add(p)
	switch {
	case c.Invalid().N > 0:
		v.invalid++
	case c.Handshake() == track.HalfOpen:
		v.open++
	case srv.RST() > 0:
		v.refused++
	default:
		v.silent++
	}
	to := serverOf(c)
	if v.targets == nil {
		if v.n == 1 {
			v.first = to
			return
		}
		if to == v.first {
			return
		}
		v.targets = &targets{map[decode.Addr]map[uint16]struct{}{}, map[uint16]map[decode.Addr]struct{}{}}
		v.targets.add(v.first)
	}
	v.targets.add(to)
}

func (t *targets) add(s server) {
	addTo(t.ports, s.addr, s.port)
	addTo(t.hosts, s.port, s.addr)
}

func addTo[K, V comparable](m map[K]map[V]struct{}, k K, v V) {
	set := m[k]
	if set == nil {
		if len(m) >= maxTargets {
			return
		}
		set = make(map[V]struct{})
		m[k] = set
	}
	if len(set) < maxTargets {
		set[v] = struct{}{}
	}
}

// most returns the key with the largest set.
func most[K, V comparable](m map[K]map[V]struct{}, compare func(a, b K) int) (key K, n int) {
	for k, set := range m {
		if len(set) > n || len(set) == n && compare(k, key) < 0 {
			key, n = k, len(set)
		}
	}
	return key, n
}

// tries returns how many attempts there were since the first in vain. Those in vain
// are group.n.
func (v *scanner) tries(host *place) int { return int(host.attempts - v.before) }

// isScan reports whether what the source did is a scan: down one host, across many,
// or both.
func (v *scanner) isScan(c *Config, tries int) (down decode.Addr, ports int, across uint16, hosts int, ok bool) {
	if v.targets == nil || float64(v.n) < c.Share(portScanShare)*float64(tries) {
		return down, 0, 0, 0, false
	}
	down, ports = most(v.targets.ports, func(a, b decode.Addr) int { return slices.Compare(a[:], b[:]) })
	across, hosts = most(v.targets.hosts, func(a, b uint16) int { return int(a) - int(b) })
	return down, ports, across, hosts, ports >= c.Count(portScanPorts) || hosts >= c.Count(portScanHosts)
}

func (s *scans) covers(p *Pass) bool {
	v := s.sources.has(p.host(track.Client))
	if v == nil || !vain(p) {
		return false
	}
	tries := v.tries(p.crowd.hosts.of(p.host(track.Client)))
	return v.scan.told(p, tries, func() bool { _, _, _, _, ok := v.isScan(p.Config, tries); return ok })
}

func (s *scans) judge(p *Pass) {
	s.sources.each(&p.crowd.hosts, func(k *place, v *scanner) {
		if v.told {
			return
		}
		down, ports, across, hosts, ok := v.isScan(p.Config, v.tries(k))
		if !ok {
			return
		}
		atLeast := func(n int) string {
			if n == maxTargets {
				return fmt.Sprintf("%d or more", n)
			}
			return fmt.Sprint(n)
		}
		msg := "scans"
		if ports >= p.Count(portScanPorts) {
			msg += fmt.Sprintf(" %s ports of %v", atLeast(ports), down.IP())
			if n := len(v.targets.ports); n > 1 {
				msg += fmt.Sprintf(" and of %d other hosts", n-1)
			}
		}
		if hosts >= p.Count(portScanHosts) {
			if msg != "scans" {
				msg += ","
			}
			msg += fmt.Sprintf(" port %d of %s hosts", across, atLeast(hosts))
		}
		msg += fmt.Sprintf(" in %v: %d attempts", Dur(v.span()), v.n)
		for _, o := range []struct {
			n    int
			what string
		}{{v.refused, "refused"}, {v.silent, "unanswered"}, {v.open, "answered by SYN,ACK"}, {v.invalid, "with impossible flags"}} {
			if o.n > 0 {
				msg += fmt.Sprintf(", %d %s", o.n, o.what)
			}
		}
		if n := v.tries(k) - v.n; n > 0 {
			msg += fmt.Sprintf("; %d others came to something", n)
		}
		p.Report(v.finding(k.client, 0, Attacker, msg))
	})
}
