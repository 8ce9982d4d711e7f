package anomaly

import (
	"fmt"
	"slices"

	"tcplife/decode"
	"tcplife/decode/capture"
	"tcplife/track"
)

// PredictableISN finds hosts whose initial sequence numbers can be guessed.
var PredictableISN = &Rule{
	Name:     "predictable-isn",
	Severity: Warn,
	Ref:      "RFC 6528 §3",
	Doc: `initial sequence numbers can be guessed

A host begins connection after connection with the same sequence number, or with
numbers at even steps. Whoever guesses the next one can speak in its name without
seeing what passes, and segments of an old connection are taken for those of the
new one. Very old systems, and the small stacks of devices, do it; scanners and
packet generators too, which have no TCP at all. Look at what the host is, and
whether there is firmware for it.`,
	Settings: []*Setting{isnConnections},
	Also:     Plain | LoneSYN,
	Start:    startPredictableISN,
}

var isnConnections = count("connections", 6, "in a row, on different ports, with the same number or at the same step: by chance that happens once in 2^128; 3 to 32: fewer make no step, and no more are looked at")

// An isn is the initial sequence number of a connection.
type isn struct {
	at   capture.Time
	seq  uint32
	peer decode.Addr
	port [2]uint16
}

// maxISNs is how many a host's are looked at, the earliest.
const maxISNs = 32

type numbers struct {
	group
	isns []isn // by time
	by   Suspect
}

type isnHosts struct{ hosts per[numbers] }

func startPredictableISN() Watch {
	h := &isnHosts{}
	return Watch{Look: h.look, Judge: h.judge}
}

func (h *isnHosts) look(p *Pass) {
	c := p.Conn
	for r, e := range c.Ends() {
		seq, ok := e.ISN()
		if !ok || e.SYN() == 0 || p.host(track.Role(r)).none() {
			continue
		}
		spot := p.host(track.Role(r))
		host := p.crowd.hosts.of(spot)
		at, _ := e.SYNs()
		if host.numbered != 0 && at >= host.numbered {
			continue
		}
		v := h.hosts.at(spot)
		v.add(p)
		v.by = HostOf(track.Role(r))
		peer := c.Peer(e)
		n := isn{at, seq, peer.Addr(), [2]uint16{e.Port(), peer.Port()}}
		i := len(v.isns)
		for i > 0 && at < v.isns[i-1].at {
			i--
		}
		// The same connection, in another encapsulation, is not another.
		if i == maxISNs || i > 0 && v.isns[i-1].same(&n) || i < len(v.isns) && v.isns[i].same(&n) {
			continue
		}
		if len(v.isns) == maxISNs/4 {
			v.isns = slices.Grow(v.isns, maxISNs+1-len(v.isns))
		}
		v.isns = slices.Insert(v.isns, i, n)
		if len(v.isns) >= maxISNs {
			v.isns = v.isns[:maxISNs]
			host.numbered = v.isns[maxISNs-1].at
		}
	}
}

func (n *isn) same(m *isn) bool { return n.peer == m.peer && n.port == m.port }

// run returns the longest run of numbers at one step, and that step.
func (v *numbers) run() (most int, step uint32) {
	n := 1
	for i := 1; i < len(v.isns); i++ {
		d := v.isns[i].seq - v.isns[i-1].seq
		if n > 1 && d == v.isns[i-1].seq-v.isns[i-2].seq {
			n++
		} else {
			n = 2
		}
		if n > most {
			most, step = n, d
		}
	}
	return most, step
}

func (h *isnHosts) judge(p *Pass) {
	least := min(max(p.Count(isnConnections), 3), maxISNs)
	h.hosts.each(&p.crowd.hosts, func(k *place, v *numbers) {
		if v.told || len(v.isns) < least {
			return
		}
		n, step := v.run()
		if n < least {
			return
		}
		how := "with the same number"
		if step != 0 {
			how = fmt.Sprintf("at steps of %d", int32(step))
		}
		f := v.finding(k.client, 0, v.by, fmt.Sprintf("%d connections in a row begin %s", n, how))
		f.Weight = int64(k.weight) // of all its connections, as the later ones are not looked at
		p.Report(f)
	})
}
