package workload

import (
	"io"
	"math/bits"

	"tcplife/decode"
)

// A Truth is what a capture holds.
type Truth struct {
	Packets      uint64
	Segments     uint64 // of TCP
	SYN          uint64 // segments with that flag
	FIN          uint64
	RST          uint64
	PayloadBytes uint64
	Retransmits  uint64            // of segments with payload
	Connections  uint64            // 0: not known
	Outcomes     map[string]uint64 // connections, by their end in the words of tcplife's summary
	Bytes        int64             // of the file
}

// A life is a connection in progress.
type life struct {
	id      uint32
	nxt     [2]uint32 // next sequence number; 0 before the SYN
	clock   [2]uint32 // timestamp option of the last segment
	last    uint16    // payload of the last segment with any
	answer  uint16    // segments of the response to come
	plan    uint8
	step    uint8
	turns   uint8 // requests to come
	unacked uint8 // segments of the response
	talker  uint8 // who sent the last payload
	repeat  bool  // it is sent again
}

// A generator makes one workload.
type generator struct {
	Workload
	random
	truth   Truth
	out     *writer
	now     int64 // nanoseconds since 1970
	plans   []plan
	steps   [][]step
	deck    []uint8
	born    int
	lives   []life // in progress
	free    int    // lives[:free] may go on, the others wait for the handshakes of these
	opening bool
	frame   frame
}

const (
	start      = 1_700_000_000_000_000_000 // 2023-11-14 22:13:20 UTC
	bulkAcks   = 6                         // segments per ACK, as receive offload makes it
	mss        = 1448                      // with timestamps
	retransmit = 5                         // segments with payload in 1000 that are sent twice
)

// Write makes the capture.
func (w Workload) Write(to io.Writer) (Truth, error) {
	out, err := newWriter(to, w.PcapNG)
	if err != nil {
		return Truth{}, err
	}
	g := &generator{
		Workload: w, random: random(w.Seed), out: out, now: start,
		plans: mixes[w.Mix], steps: steps(mixes[w.Mix]), deck: deal(mixes[w.Mix]),
		lives: make([]life, min(w.InProgress, w.Connections)), opening: w.OpenFirst,
	}
	g.truth.Outcomes = make(map[string]uint64)
	for i := range g.lives {
		g.begin(&g.lives[i])
	}
	g.free = len(g.lives)
	for len(g.lives) > 0 {
		if g.free == 0 { // all handshakes are over
			g.opening, g.free = false, len(g.lives)
		}
		g.turn(g.below(g.free))
		if out.err != nil {
			return Truth{}, out.err
		}
	}
	g.truth.Connections = uint64(g.born)
	g.truth.Bytes, err = out.close()
	return g.truth, err
}

// turn lets the connection at index i send a burst.
func (g *generator) turn(i int) {
	l := &g.lives[i]
	for range 1 + g.below(2*g.Burst-1) {
		if g.UDP > 0 && g.below(1000) < g.UDP {
			g.datagram()
		}
		g.segment(l)
		switch script := g.steps[l.plan]; {
		case int(l.step) == len(script):
			if g.born < g.Connections {
				g.begin(l)
				return
			}
			last := len(g.lives) - 1
			g.free--
			g.lives[i] = g.lives[g.free]
			g.lives[g.free] = g.lives[last]
			g.lives = g.lives[:last]
			return
		case g.opening && script[l.step].exchange:
			g.free--
			g.lives[i], g.lives[g.free] = g.lives[g.free], g.lives[i]
			return
		}
	}
}

// begin makes the next connection.
func (g *generator) begin(l *life) {
	*l = life{id: uint32(g.born), plan: g.deck[g.below(len(g.deck))]}
	g.born++
	g.truth.Outcomes[g.plans[l.plan].outcome]++
	switch g.Exchange {
	case Once, Bulk:
		l.turns = 1
	case Chat:
		l.turns = 1 + uint8(bits.TrailingZeros64(g.next()|1<<20))
	}
}

// segment sends the connection's next segment. Its step is past the last one when
// there is no more.
func (g *generator) segment(l *life) {
	script := g.steps[l.plan]
	s := &script[l.step]
	if s.exchange {
		g.payload(l)
		if l.turns == 0 && l.answer == 0 && l.unacked == 0 && !l.repeat {
			l.step++
		}
		return
	}
	l.step++
	if s.flags.Has(decode.SYN) {
		l.nxt[s.from] = uint32(scramble(uint64(l.id)<<1 | uint64(s.from))) // a repeated SYN has the same
	}
	g.send(l, s, l.nxt[s.from], 0)
	if s.flags.Any(decode.SYN | decode.FIN) {
		l.nxt[s.from]++
	}
}

var (
	pure = [2]step{{from: client, flags: decode.ACK}, {from: server, flags: decode.ACK}}
	data = [2]step{{from: client, flags: decode.ACK | decode.PSH}, {from: server, flags: decode.ACK | decode.PSH}}
)

// payload sends the next segment of the exchange.
func (g *generator) payload(l *life) {
	switch {
	case l.repeat:
		l.repeat = false
		g.truth.Retransmits++
		g.send(l, &data[l.talker], l.nxt[l.talker]-uint32(l.last), int(l.last))
		return
	case l.unacked == bulkAcks, l.unacked > 0 && l.answer == 0 && l.turns == 0:
		l.unacked = 0
		g.send(l, &pure[client], l.nxt[client], 0)
		return
	case l.answer > 0:
		l.answer--
		l.unacked++
		l.talker = server
	default: // a request, which acknowledges the response before it
		l.turns--
		l.unacked = 0
		l.talker = client
		l.answer = 1
		if g.Exchange == Bulk {
			l.answer = uint16((1 + g.below(4)) << bits.TrailingZeros64(g.next()|1<<6))
		}
	}
	l.last = uint16(1 + g.below(64))
	if g.Exchange == Bulk {
		l.last = mss
		if l.talker == client {
			l.last = uint16(200 + g.below(400))
		}
	}
	g.send(l, &data[l.talker], l.nxt[l.talker], int(l.last))
	l.nxt[l.talker] += uint32(l.last)
	l.repeat = g.below(1000) < retransmit
}

// send writes a segment with n octets of payload.
func (g *generator) send(l *life, s *step, seq uint32, n int) {
	g.tick()
	peer := 1 - s.from
	// Milliseconds, but never the same twice: a segment that repeats all of another
	// was not sent again but captured again.
	val := uint32(g.now/1e6) + uint32(scramble(uint64(l.id)))
	if before := l.clock[s.from]; before != 0 && int32(val-before) <= 0 {
		val = before + 1
	}
	l.clock[s.from] = val
	h := header{from: s.from, flags: s.flags, seq: seq, payload: n, val: val, ecr: l.clock[peer]}
	if s.flags.Has(decode.ACK) {
		h.ack = l.nxt[peer]
		if s.crossing {
			h.ack--
		}
	}
	if g.Mix == Flood {
		h.bare = true
		h.ends = spoofed(l.id)
	} else {
		h.ends = endsOf(l.id)
	}
	g.write(g.frame.segment(&h))
	g.truth.Segments++
	g.truth.PayloadBytes += uint64(n)
	if s.flags.Has(decode.SYN) {
		g.truth.SYN++
	}
	if s.flags.Has(decode.FIN) {
		g.truth.FIN++
	}
	if s.flags.Has(decode.RST) {
		g.truth.RST++
	}
}

func (g *generator) datagram() {
	g.tick()
	g.write(g.frame.datagram(endsOf(uint32(g.born)), 30+g.below(90)))
}

func (g *generator) write(frame []byte) {
	g.truth.Packets++
	g.out.packet(g.now, frame)
}

// tick advances the clock, to Rate on average.
func (g *generator) tick() { g.now += int64(g.below(2_000_000_000/g.Rate + 1)) }
