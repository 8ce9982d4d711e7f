package anomaly

import (
	"encoding/binary"
	"math"
	"math/bits"
	"slices"
	"time"

	"tcplife/decode"
	"tcplife/decode/capture"
	"tcplife/track"
)

// maxGroups is how many programs or hosts a rule tells apart that does so for
// itself, since few connections give it reason to.
const maxGroups = 2000

// A server is an address and port that connections go to.
type server struct {
	addr decode.Addr
	port uint16
}

func serverOf(c *track.Conn) server { return server{c.Server().Addr(), c.Server().Port()} }

// A group is what a finding about several connections tells of them.
type group struct {
	n        int
	from, to capture.Time
	told     bool
	first    *examples
}

// examples are the first connections of a group that were looked at.
type examples struct {
	conns  [maxGroupConns]uint64
	frames [maxGroupFrames]uint64 // their first
}

const (
	maxGroupConns  = 10
	maxGroupFrames = 3
)

// add counts a connection.
func (g *group) add(p *Pass) {
	c := p.Conn
	if g.first == nil {
		g.first = new(examples)
		g.from, g.to = c.Start, c.Start
	}
	g.from, g.to = min(g.from, c.Start), max(g.to, c.Start)
	if g.n < maxGroupConns {
		g.first.conns[g.n] = p.ID
	}
	if g.n < maxGroupFrames {
		g.first.frames[g.n] = c.First
	}
	g.n++
}

// A verdict is what a rule made of a group when it last asked.
type verdict struct {
	of  int // connections
	yes bool
}

// told returns the verdict on a group of so many connections, by judge if that has
// not been asked for as many yet. While they still come, those that have come
// lately may be left out: judging may mean to look at hundreds of numbers.
func (v *verdict) told(p *Pass, of int, judge func() bool) bool {
	if of != v.of && (p.looked || of-v.of > v.of/128) {
		v.of, v.yes = of, judge()
	}
	return v.yes
}

// span returns the time from the first connection to the last.
func (g *group) span() time.Duration { return g.to.Sub(g.from) }

// finding returns a finding about the group, once.
func (g *group) finding(addr decode.Addr, port uint16, by Suspect, msg string) Finding {
	g.told = true
	conns := slices.Clone(g.first.conns[:min(g.n, maxGroupConns)])
	slices.Sort(conns)
	return Finding{
		Suspect: by, Time: g.from, Packets: frames(slices.Clone(g.first.frames[:min(g.n, maxGroupFrames)])...), Conns: conns,
		Addr: addr, Port: port, Message: msg, Weight: int64(g.n),
	}
}

// distinct estimates how many different values it was given, in 256 octets: to 6 %
// or so (P. Flajolet et al., HyperLogLog, 2007).
type distinct struct{ rank [256]uint8 }

func (d *distinct) add(a decode.Addr) {
	hash := hashOf(a)
	i := hash >> 56
	d.rank[i] = max(d.rank[i], uint8(bits.LeadingZeros64(hash<<8|1<<7)+1))
}

func (d *distinct) count() int {
	const m = 256
	sum, zeros := 0.0, 0
	for _, r := range d.rank {
		sum += 1 / float64(uint64(1)<<r)
		if r == 0 {
			zeros++
		}
	}
	const alpha = 0.7213 / (1 + 1.079/m)
	e := alpha * m * m / sum
	if e <= 2.5*m && zeros > 0 {
		e = m * math.Log(m/float64(zeros))
	}
	return int(e + 0.5)
}

func hashOf(a decode.Addr) uint64 {
	return mix(binary.LittleEndian.Uint64(a[:8]) ^ mix(binary.LittleEndian.Uint64(a[8:])))
}

// mix spreads the bits of x: the finalizer of SplitMix64 (S. Vigna, public domain).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
