package track

import (
	"container/heap"
	"slices"
	"time"
	"unsafe"

	"tcplife/decode"
	"tcplife/decode/capture"
	"tcplife/track/flowtable"
)

// zeeks keeps a zeekConn for each connection, if Config.History is set, and Zeek's
// timers, if Config.ZeekSplit is.
type zeeks struct {
	on, splits bool
	conns      flowtable.Arena[zeekConn]
	rares      flowtable.Arena[zeekRare]
	clock      capture.Time // the latest: Zeek's never goes back
	timers     zeekTimers
}

// rareOf returns what z has of the rare, which it has from now on.
func (s *zeeks) rareOf(z *zeekConn) *zeekRare {
	if z.rare == 0 {
		z.rare = s.rares.New() + 1
	}
	return s.rares.At(z.rare - 1)
}

// bytes returns about how much memory s takes, with a few blocks for each connection
// that has had any.
func (s *zeeks) bytes() int {
	return s.conns.Cap()*int(unsafe.Sizeof(zeekConn{})) + s.rares.Cap()*(int(unsafe.Sizeof(zeekRare{}))+1024) +
		cap(s.timers.all)*int(unsafe.Sizeof(pendingTimer{}))
}

// note lets Zeek see a segment of c.
func (s *zeeks) note(c *Conn, seg *decode.Segment) {
	if !s.on {
		return
	}
	if c.zeek == 0 {
		c.zeek = s.conns.New() + 1
	}
	z := s.conns.At(c.zeek - 1)
	snd, _ := c.direction(seg)
	due := z.segment(s, c.index(snd), seg)
	if s.splits {
		s.start(c, z, due, seg)
	}
}

// look returns the zeekConn of c, which is not to be changed.
func (s *shard) look(c *Conn) *zeekConn {
	if c.zeek != 0 {
		return s.zeek.conns.At(c.zeek - 1)
	}
	z := new(zeekConn)
	_, lone := s.store.lone(c.ref)
	z.segment(&s.zeek, 0, &lone)
	return z
}

// free takes back what is kept for c.
func (s *zeeks) free(c *Conn) {
	if c.zeek == 0 {
		return
	}
	if z := s.conns.At(c.zeek - 1); z.rare != 0 {
		s.rares.Free(z.rare - 1)
	}
	s.conns.Free(c.zeek - 1)
	c.zeek = 0
}

// tell sets what c.Zeek returns.
func (s *shard) tell(c *Conn) {
	if !s.zeek.on {
		return
	}
	z := s.look(c)
	h := z.history(&s.zeek)
	c.told = &Zeek{
		State: z.connState(h), History: h, Originator: c.Role(&c.ends[z.orig]), Duration: z.last.Sub(c.Start),
		Orig: z.tell(z.orig), Resp: z.tell(1 - z.orig), Missed: z.missed, context: z.context,
	}
}

// A zeekTimer is a set of Zeek's timers.
type zeekTimer uint8

const (
	zeekExpire      zeekTimer = 1 << iota // tcp_SYN_timeout, then tcp_session_timer
	zeekExpireAgain                       // the same, from an end's closing on
	zeekAttempt                           // tcp_attempt_delay
	zeekRemoval                           // tcp_close_delay
	zeekInactivity                        // udp_inactivity_timeout, then tcp_inactivity_timeout
)

// Zeek's delays, by the names of its options.
const (
	zeekSYNTimeout   = 5 * time.Second // tcp_SYN_timeout
	zeekSessionTimer = 6 * time.Second // tcp_session_timer
	zeekAttemptDelay = 5 * time.Second // tcp_attempt_delay
	zeekCloseDelay   = 5 * time.Second // tcp_close_delay
	zeekLinger       = 5 * time.Second // tcp_connection_linger

	zeekTimersAtOnce = 300 // max_timer_expires: of one packet

	// A connection has no more timers than these at a time; what is beyond them is of
	// connections that are over.
	zeekTimersEach = 8
	zeekTimersKept = 1 << 10
)

// A zeekTimeout is how long a connection may be silent.
type zeekTimeout uint8

const (
	zeekOpeningTimeout     zeekTimeout = iota // udp_inactivity_timeout, until the handshake is over
	zeekEstablishedTimeout                    // tcp_inactivity_timeout
	zeekLongTimeout                           // of interactive protocols
)

func (t zeekTimeout) duration() time.Duration {
	return [...]time.Duration{time.Minute, 5 * time.Minute, time.Hour}[t]
}

// A pendingTimer is a timer of the connection with that key and ID, if it still is.
type pendingTimer struct {
	due   capture.Time
	order uint64 // of timers that are due at the same time, the first started goes first
	key   key
	hash  uint32
	id    uint64
	timer zeekTimer
}

// zeekTimers is a heap of timers, the one that is due first on top.
type zeekTimers struct {
	all     []pendingTimer
	started uint64
}

func (h *zeekTimers) Len() int { return len(h.all) }
func (h *zeekTimers) Less(i, j int) bool {
	a, b := &h.all[i], &h.all[j]
	return a.due < b.due || a.due == b.due && a.order < b.order
}
func (h *zeekTimers) Swap(i, j int) { h.all[i], h.all[j] = h.all[j], h.all[i] }
func (h *zeekTimers) Push(t any)    { h.all = append(h.all, t.(pendingTimer)) }
func (h *zeekTimers) Pop() any {
	last := len(h.all) - 1
	t := h.all[last]
	h.all = h.all[:last]
	return t
}

// start starts the timers that a segment of c has made due.
func (s *zeeks) start(c *Conn, z *zeekConn, due zeekTimer, seg *decode.Segment) {
	for _, t := range [...]struct {
		timer zeekTimer
		at    capture.Time
	}{
		{zeekExpire, s.clock.Add(zeekSYNTimeout)},
		{zeekAttempt, seg.Time.Add(zeekAttemptDelay)},
		{zeekInactivity, z.last.Add(z.timeout.duration())},
		{zeekRemoval, z.last.Add(zeekCloseDelay)},
		{zeekExpireAgain, z.last.Add(zeekSessionTimer)},
	} {
		if due&t.timer != 0 {
			s.push(pendingTimer{due: t.at, key: c.key, hash: c.hash, id: c.ID, timer: t.timer})
		}
	}
}

func (s *zeeks) push(t pendingTimer) {
	s.timers.started++
	t.order = s.timers.started
	heap.Push(&s.timers, t)
}

// runOut lets the timers go off that are due when a packet of that time is read, and
// closes the records of connections that Zeek would write to its log then.
func (s *shard) runOut(now capture.Time) {
	z := &s.zeek
	z.clock = max(z.clock, now)
	if z.timers.Len() > zeekTimersKept+zeekTimersEach*z.conns.Len() {
		s.dropTimers()
	}
	for n := 0; n < zeekTimersAtOnce && z.timers.Len() > 0 && z.timers.all[0].due <= z.clock; n++ {
		timer := heap.Pop(&z.timers).(pendingTimer)
		r, ok := s.store.find(&timer.key, timer.hash)
		if !ok {
			continue
		}
		c := s.load(r)
		if c.ID != timer.id {
			continue
		}
		switch over, again := s.look(c).goesOff(timer.timer, z.clock); {
		case over:
			s.expire(c)
			c.idle = true
			s.finish(c)
		case again != 0:
			timer.due = again
			z.push(timer)
		}
	}
}

// dropTimers forgets those of connections that are over: of a flood's they would be
// many.
func (s *shard) dropTimers() {
	z := &s.zeek
	z.timers.all = slices.DeleteFunc(z.timers.all, func(p pendingTimer) bool {
		r, ok := s.store.find(&p.key, p.hash)
		return !ok || s.store.id(r) != p.id
	})
	heap.Init(&z.timers)
}

// goesOff tells whether a timer that goes off ends the connection, or else when it
// goes off again, if it does.
func (z *zeekConn) goesOff(timer zeekTimer, now capture.Time) (over bool, again capture.Time) {
	o, r := &z.ends[z.orig], &z.ends[1-z.orig]
	switch timer {
	case zeekRemoval:
		return true, 0
	case zeekInactivity:
		limit := z.last.Add(z.timeout.duration())
		return limit <= now, limit
	}
	if z.finished || z.cancelled {
		return false, 0
	}
	if timer == zeekAttempt {
		return (o.state == zeekSYNSent || o.state == zeekSYNACKSent) && r.state == zeekInactive, 0
	}
	if z.last.Add(zeekLinger) < now {
		switch {
		case (o.closed || r.closed) &&
			(o.closed && r.closed || o.state == zeekReset || r.state == zeekReset || o.state == zeekInactive || r.state == zeekInactive),
			o.state == zeekInactive && r.state == zeekInactive:
			return true, 0
		}
	}
	return false, now.Add(zeekSessionTimer)
}

// reused reports whether a segment begins another connection for Zeek.
func (z *zeekConn) reused(seg *decode.Segment) bool {
	o, r := &z.ends[z.orig], &z.ends[1-z.orig]
	began := o
	switch {
	case !seg.Flags.Has(decode.SYN):
		return false
	case seg.Flags.Has(decode.ACK):
		if o.state != zeekInactive {
			return false
		}
		began = r
	}
	if o.closed || r.closed {
		return true
	}
	if seg.Seq == began.iss {
		return false
	}
	return seg.Flags.Has(decode.ACK) || o.state != zeekSYNACKSent || r.state != zeekInactive || seg.Seq != r.iss
}

// takeSplit takes a segment where Zeek's rules, and not ours, split connections.
func (s *shard) takeSplit(seg *decode.Segment, k *key, hash uint32) {
	if r, ok := s.store.find(k, hash); ok {
		c := s.load(r)
		s.expire(c)
		if !s.look(c).reused(seg) {
			s.count(c, seg)
			s.store.save(c)
			return
		}
		c.reused = true
		s.finish(c)
	}
	s.makeRoom()
	s.begin(s.newID(), seg, k, hash)
}
