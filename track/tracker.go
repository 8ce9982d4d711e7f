// Package track rebuilds the life of every TCP connection from its captured
// segments. A user learns from it which RFC 9293 state each end was in, when it
// changed, and which frame shows it.
package track

import (
	"time"

	"tcplife/decode"
	"tcplife/decode/capture"
)

// Config sets how connections are tracked. The zero value means the defaults.
type Config struct {
	TimeWait time.Duration // 2MSL; 0 means 60 s, as Linux has it
}

// timeWaitLinux is TCP_TIMEWAIT_LEN of Linux; RFC 9293 §3.4.2 would have 4 minutes.
const timeWaitLinux = 60 * time.Second

// A Tracker follows every connection of one observation. It does no I/O and
// reads no clock: time is the segments'.
type Tracker struct {
	// Done is called with each connection when its record is final. The
	// connection is valid until Done returns.
	Done func(*Conn)
	// Observe, if set, is called after each segment with the connection that it
	// was counted in, and what is noteworthy about it.
	Observe func(*Conn, *decode.Segment, Notes)

	timeWait time.Duration
	now      capture.Time
	frame    uint64 // of now
	lastID   uint64
	conns    map[key]*Conn // the newest incarnation of each
	first    *Conn         // all of them, in order of ID
	last     *Conn
	over     queue // connections whose ends are both over
	mirror   mirror
	free     *Conn // recycled, linked by list
}

// New returns a Tracker.
func New(cfg Config) *Tracker {
	t := &Tracker{timeWait: cfg.TimeWait, conns: make(map[key]*Conn)}
	if t.timeWait == 0 {
		t.timeWait = timeWaitLinux
	}
	return t
}

// A key names a pair of addresses and ports, the lower first, in one
// encapsulation.
type key struct {
	a, b    decode.Addr
	ap, bp  uint16
	context uint32
}

func makeKey(src, dst decode.Addr, sp, dp uint16, context uint32) key {
	for i := range src {
		if src[i] != dst[i] {
			if src[i] > dst[i] {
				return key{dst, src, dp, sp, context}
			}
			return key{src, dst, sp, dp, context}
		}
	}
	if sp > dp {
		sp, dp = dp, sp
	}
	return key{src, dst, sp, dp, context}
}

// Now returns the capture's clock: the latest time of any frame.
func (t *Tracker) Now() capture.Time { return t.now }

// Tick moves the clock by a frame that is neither segment nor ICMP error. Every
// captured frame must reach the tracker, by Segment, ICMP or Tick, in capture
// order. The clock never goes back.
func (t *Tracker) Tick(now capture.Time, frame uint64) {
	t.frame = frame
	if now <= t.now {
		return
	}
	t.now = now
	for {
		c, at, ok := t.over.front()
		if !ok || now.Sub(at) < t.timeWait {
			return
		}
		t.over.remove(c)
		switch {
		case !c.isOver:
		case now.Sub(c.over) < t.timeWait:
			t.enqueue(c)
		default:
			t.expire(c)
			t.finish(c)
		}
	}
}

// Segment takes the next segment.
func (t *Tracker) Segment(seg *decode.Segment) {
	t.Tick(seg.Time, seg.Frame)
	k := makeKey(seg.Src, seg.Dst, seg.SrcPort, seg.DstPort, seg.Context)
	c := t.conns[k]
	if t.mirror.seen(seg) {
		if c != nil {
			c.Duplicates++
			t.observe(c, seg, NoteMirrored)
		}
		return
	}
	if c == nil {
		c = t.open(k, seg)
	} else {
		for o := c; o != nil; o = o.older {
			t.expire(o)
		}
		if c = t.route(c, seg); c == nil {
			return
		}
	}
	t.count(c, seg)
}

// count lets seg count in c.
func (t *Tracker) count(c *Conn, seg *decode.Segment) {
	snd, rcv := c.direction(seg)
	c.notes, c.order = 0, c.captured
	c.captured++
	c.reused = false // it goes on, whatever was opened after it
	c.tally(snd, rcv, seg)
	c.segment(snd, rcv, seg)
	t.settle(c)
	t.observe(c, seg, c.notes)
}

func (t *Tracker) observe(c *Conn, seg *decode.Segment, n Notes) {
	if t.Observe != nil {
		t.Observe(c, seg, n)
	}
}

// direction returns the sender and the receiver of seg.
func (c *Conn) direction(seg *decode.Segment) (snd, rcv *End) {
	if e := &c.ends[0]; e.Addr == seg.Src && e.Port == seg.SrcPort {
		return e, &c.ends[1]
	}
	return &c.ends[1], &c.ends[0]
}

// tally counts seg for its sender.
func (c *Conn) tally(snd, rcv *End, seg *decode.Segment) {
	snd.Packets++
	snd.Bytes += uint64(seg.Wire)
	snd.PayloadBytes += uint64(seg.Len)
	c.notes |= c.examine(snd, rcv, seg)
	if c.notes&NoteRetransmission != 0 {
		snd.Retransmits++
	}
	if seg.Len > 0 && c.notes&NoteKeepAlive == 0 {
		snd.Data, snd.DataFrame = seg.Time, seg.Frame
	}
	f := seg.Flags
	if f.Has(decode.SYN) {
		if snd.SYN == 0 {
			snd.firstSYN = seg.Time
		}
		snd.lastSYN = seg.Time
		snd.SYN++
	}
	if f.Has(decode.FIN) {
		snd.FIN++
		c.Completeness |= SawFIN
	}
	if f.Has(decode.RST) {
		snd.RST++
		c.Completeness |= SawRST
	}
	switch {
	case f.Has(decode.SYN | decode.ACK):
		c.Completeness |= SawSYNACK
	case f.Has(decode.SYN):
		c.Completeness |= SawSYN
	case f.Has(decode.ACK) && !f.Has(decode.RST):
		c.Completeness |= SawACK
		if seg.Len > 0 {
			c.Completeness |= SawData
		}
	}
	c.Last, c.End = seg.Frame, max(c.End, seg.Time)
}

// open begins a connection with its first segment, which is yet to be counted.
func (t *Tracker) open(k key, seg *decode.Segment) *Conn {
	t.lastID++
	return t.openAs(k, seg, t.lastID)
}

func (t *Tracker) openAs(k key, seg *decode.Segment, id uint64) *Conn {
	c := t.free
	if c == nil {
		c = new(Conn)
	} else {
		t.free = c.list
		c.recycle()
	}
	c.ID, c.key, c.Context = id, k, seg.Context
	c.First, c.Last, c.Start, c.End = seg.Frame, seg.Frame, seg.Time, seg.Time
	c.ends[0].Addr, c.ends[0].Port = seg.Src, seg.SrcPort
	c.ends[1].Addr, c.ends[1].Port = seg.Dst, seg.DstPort
	c.assignRoles(seg)
	t.conns[k] = c
	t.link(c)
	return c
}

// recycle makes c empty, but for memory it holds.
func (c *Conn) recycle() {
	h0, h1 := c.ends[0].hist[:0], c.ends[1].hist[:0]
	*c = Conn{held: c.held[:0], holes: c.holes[:0], withdrawals: c.withdrawals[:0], candidates: c.candidates[:0]}
	c.ends[0].hist, c.ends[1].hist = h0, h1
}

// assignRoles tells the client from the server by the first segment, and sets
// what each is presumed to be in.
func (c *Conn) assignRoles(seg *decode.Segment) {
	snd, rcv := &c.ends[0], &c.ends[1]
	switch f := seg.Flags; {
	case f.Any(decode.SYN) && f.Any(decode.FIN|decode.RST), !f.Has(decode.SYN):
		c.Midstream = true
		c.client, c.RoleBasis = likelyClient(seg.SrcPort, seg.DstPort)
	case f.Has(decode.ACK):
		c.client, c.RoleBasis = 1, BySYNACK
		snd.start(Listen)
		rcv.start(Closed)
	default:
		c.client, c.RoleBasis = 0, BySYN
		snd.start(Closed)
		rcv.start(Listen)
	}
}

func (e *End) start(s State) { e.state, e.initial = s, s }

// likelyClient tells the client, 0 for the sender, from the ports alone. System
// ports serve first, then those below the range that most systems take client
// ports from (RFC 6335 §6; Linux: ip_local_port_range).
func likelyClient(src, dst uint16) (uint8, RoleBasis) {
	rank := func(p uint16) int {
		switch {
		case p < 1024:
			return 0
		case p < 32768:
			return 1
		}
		return 2
	}
	switch s, d := rank(src), rank(dst); {
	case s < d || s == d && s < 2 && src < dst:
		return 1, ByPort
	case s > d || s == d && s < 2 && src > dst:
		return 0, ByPort
	}
	return 0, ByFirst
}

// link puts c into the list of connections, at its ID's place.
func (t *Tracker) link(c *Conn) {
	p := t.last
	for p != nil && p.ID > c.ID {
		p = p.prev
	}
	c.prev = p
	if p == nil {
		c.list, t.first = t.first, c
	} else {
		c.list, p.list = p.list, c
	}
	if c.list == nil {
		t.last = c
	} else {
		c.list.prev = c
	}
}

func (t *Tracker) unlink(c *Conn) {
	if c.prev == nil {
		t.first = c.list
	} else {
		c.prev.list = c.list
	}
	if c.list == nil {
		t.last = c.prev
	} else {
		c.list.prev = c.prev
	}
}

// settle keeps account of whether both ends are over.
func (t *Tracker) settle(c *Conn) {
	was := c.isOver
	c.isOver = c.reused || c.ends[0].isOver() && c.ends[1].isOver()
	if !c.isOver {
		return
	}
	if !was {
		c.over = t.now
	}
	for i := range c.ends {
		if e := &c.ends[i]; e.State() == TimeWait {
			c.over = max(c.over, e.timeWait)
		}
	}
	t.enqueue(c)
}

// isOver reports whether the end holds no connection any more that a new one
// would have to wait for.
func (e *End) isOver() bool {
	switch e.State() {
	case Closed, TimeWait, Listen:
		return true
	}
	return false
}

func (t *Tracker) enqueue(c *Conn) {
	if !c.queued {
		t.over.push(c, c.over)
	}
}

// expire ends TIME_WAIT by the clock.
func (t *Tracker) expire(c *Conn) {
	for i := range c.ends {
		e := &c.ends[i]
		if end := e.timeWait.Add(t.timeWait); e.state == TimeWait && !e.cover.on && t.now >= end {
			e.take(timeout2MSL, cause{end, t.frame, Timer})
		}
	}
}

// finish closes the record of c and forgets it.
func (t *Tracker) finish(c *Conn) {
	c.EndReason = c.reason()
	t.report(c)
}

func (c *Conn) reason() EndReason {
	_, reset := c.Reset()
	switch {
	case c.ends[0].isOver() && c.ends[1].isOver():
	case c.reused:
		return Reused
	default:
		return CaptureEnd
	}
	switch {
	case reset:
		return EndReset
	case c.ends[0].last(timeout2MSL) >= 0 || c.ends[1].last(timeout2MSL) >= 0:
		return TimeWaitOver
	}
	return EndClosed
}

func (t *Tracker) report(c *Conn) {
	if t.Done != nil {
		t.Done(c)
	}
	t.unlink(c)
	if n := t.conns[c.key]; n == c {
		if c.older != nil {
			t.conns[c.key] = c.older
		} else {
			delete(t.conns, c.key)
		}
	} else {
		for n != nil && n.older != c {
			n = n.older
		}
		if n != nil {
			n.older = c.older
		}
	}
	if c.queued {
		t.over.remove(c)
	}
	c.list, c.prev, c.older = t.free, nil, nil
	t.free = c
}

// Finish ends the observation: what waits is decided, and what is still open is
// handed to Done, in order of ID.
func (t *Tracker) Finish() {
	for c := t.first; c != nil; c = c.list {
		t.conclude(c)
	}
	for t.first != nil {
		t.finish(t.first)
	}
}

// conclude decides what only more segments could have told: a segment that
// waits counts unless a RST closed the connection; a SYN that may have begun a
// new connection did, if it was repeated or its sender had no other.
func (t *Tracker) conclude(c *Conn) {
	t.expire(c)
	if _, reset := c.Reset(); !reset {
		c.releaseAll()
	}
	t.openLeft(c)
	t.settle(c)
}
