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
	// MaxBytes is how much memory connections may take, about; 0 means any. When
	// it is reached, those that are idle for long are evicted: their records are
	// closed as they are.
	MaxBytes int
	// History keeps what Zeek would tell of each connection, for Conn.Zeek.
	History bool
	// ZeekSplit splits connections where Zeek would: by its timers, by SYNs after a
	// FIN or RST, and not by encapsulation. It implies History.
	ZeekSplit bool
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
	// ObserveICMP, if set, is called after each ICMP error with the connection of
	// which it quotes a segment.
	ObserveICMP func(*Conn, *decode.ICMPError)

	timeWait time.Duration
	limit    int
	clock    capture.Time  // never goes back
	skew     time.Duration // what steps back of the captured times lie behind it
	behind   int           // frames in a row that were
	frame    uint64        // the latest
	lastID   uint64
	store    store
	over     queue // connections whose ends are both over
	mirror   mirror
	batch    batch
	zeek     zeeks
}

// New returns a Tracker.
func New(cfg Config) *Tracker {
	t := &Tracker{timeWait: cfg.TimeWait, limit: cfg.MaxBytes, store: newStore()}
	if t.timeWait == 0 {
		t.timeWait = timeWaitLinux
	}
	t.zeek.on, t.zeek.splits = cfg.History || cfg.ZeekSplit, cfg.ZeekSplit
	return t
}

// Now returns the time by the capture's clock: that of the latest frame, as long
// as times don't step back.
func (t *Tracker) Now() capture.Time { return t.clock.Add(-t.skew) }

// Frames that are captured on several devices come a little out of order; a clock
// that was set back stays back. A step is more than stepBack, and is believed when
// stepFrames frames in a row are that far behind: then the capture's clock goes on
// from where it was.
const (
	stepBack   = time.Second
	stepFrames = 64
)

// Tick moves the clock by a frame that is neither segment nor ICMP error. Every
// captured frame must reach the tracker, by Segment, ICMP or Tick, in capture
// order. The clock never goes back.
func (t *Tracker) Tick(now capture.Time, frame uint64) {
	t.frame = frame
	if t.zeek.splits {
		t.runOut(now)
	}
	now = now.Add(t.skew)
	switch d := t.clock.Sub(now); {
	case d <= stepBack:
		t.behind = 0
	case t.behind < stepFrames:
		t.behind++
	default:
		t.behind = 0
		t.skew += d
	}
	if now <= t.clock {
		return
	}
	t.clock = now
	for !t.zeek.splits {
		r, ok := t.over.front()
		if !ok || now.Sub(t.store.records.At(uint32(r)).over) < t.timeWait {
			return
		}
		c := t.load(r)
		t.over.remove(c)
		switch {
		case !c.isOver:
		case now.Sub(c.over) < t.timeWait:
			t.over.push(c)
		default:
			t.expire(c)
			t.finish(c)
			continue
		}
		t.store.save(c)
	}
}

// Segment takes the next segment.
func (t *Tracker) Segment(seg *decode.Segment) {
	k := t.keyOf(seg)
	t.take(seg, &k, t.store.hash(&k))
}

// keyOf returns the key of the connection that seg is of.
func (t *Tracker) keyOf(seg *decode.Segment) key {
	context := seg.Context
	if t.zeek.splits {
		context = 0
	}
	return makeKey(&seg.Src, &seg.Dst, seg.SrcPort, seg.DstPort, context)
}

func (t *Tracker) take(seg *decode.Segment, k *key, hash uint32) {
	t.Tick(seg.Time, seg.Frame)
	if t.zeek.splits {
		t.takeSplit(seg, k, hash)
		return
	}
	r, found := t.store.find(k, hash)
	mirrored := t.mirror.seen(seg)
	if !found {
		if mirrored {
			return
		}
		t.makeRoom()
		t.lastID++
		if t.Observe == nil && t.store.addLone(seg, t.lastID, hash) {
			return
		}
		t.begin(seg, k, hash)
		return
	}
	c := t.grow(r, k, hash)
	if mirrored {
		add8(&c.duplicates, &c.moreDuplicates, 1)
		t.zeek.note(c, seg)
		t.observe(c, seg, NoteMirrored)
		t.store.save(c)
		return
	}
	for o := c; o != nil; o = o.older {
		t.expire(o)
	}
	to := t.route(c, seg)
	if to != nil {
		t.count(to, seg)
	}
	// What was looked at: the connection that was the newest, and the newest now.
	if c.record != nil && c.key == *k {
		t.store.save(c)
	}
	if to != nil && to != c && to.key == *k {
		t.store.save(to)
	}
}

// begin opens the connection with the last ID, the first of its key.
func (t *Tracker) begin(seg *decode.Segment, k *key, hash uint32) {
	c := t.store.newConn(*k, hash)
	t.store.table.Insert(hash, uint32(c.ref))
	c.open(t.lastID, seg)
	t.count(c, seg)
	t.store.save(c)
}

// grow returns the connection at r, which is about to get another segment: a lone
// SYN becomes a connection with a record.
func (t *Tracker) grow(r ref, k *key, hash uint32) *Conn {
	if r&loneRef == 0 {
		return t.store.load(r, k, hash)
	}
	n := uint32(r &^ loneRef)
	lone := *t.store.lones.At(n)
	t.store.lones.Free(n)
	c := t.store.newConn(*k, hash)
	t.store.table.Replace(hash, uint32(r), uint32(c.ref))
	lone.replay(c)
	if t.zeek.on {
		seg := lone.segment()
		t.zeek.note(c, &seg)
	}
	return c
}

// load returns the connection at r. If it has no Conn of its own, it is valid
// until another one is loaded, and if it was changed it must be saved before that.
func (t *Tracker) load(r ref) *Conn {
	s := &t.store
	if r&loneRef == 0 {
		k := s.key(s.records.At(uint32(r)))
		return s.load(r, &k, s.hash(&k))
	}
	lone := s.lones.At(uint32(r &^ loneRef))
	seg := lone.segment()
	k := makeKey(&seg.Src, &seg.Dst, seg.SrcPort, seg.DstPort, 0)
	c := s.scratch
	s.blank = record{short: lone.key()}
	c.attach(&s.blank, r, &k, s.hash(&k))
	lone.replay(c)
	return c
}

// count lets seg count in c.
func (t *Tracker) count(c *Conn, seg *decode.Segment) {
	snd, rcv := c.direction(seg)
	c.notes, c.order, c.now = 0, c.ends[0].packets+c.ends[1].packets, seg.Time
	c.reused = false // it goes on, whatever was opened after it
	c.tally(snd, rcv, seg)
	c.segment(snd, rcv, seg)
	if seg.Flags.Has(decode.SYN) {
		snd.noteSYN(seg.Time)
	}
	t.zeek.note(c, seg)
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
	if first := seg.SrcPort == c.key.ap && seg.Src == c.key.a; first != c.swapped {
		return &c.ends[0], &c.ends[1]
	}
	return &c.ends[1], &c.ends[0]
}

// tally counts seg for its sender.
func (c *Conn) tally(snd, rcv *End, seg *decode.Segment) {
	snd.packets++
	add32(&snd.bytes, &snd.carry.bytes, uint64(seg.Wire))
	add32(&snd.payload, &snd.carry.payload, uint64(seg.Len))
	c.notes |= c.examine(snd, rcv, seg)
	if c.notes&NoteRetransmission != 0 {
		add8(&snd.retransmits, &snd.carry.retransmits, 1)
	}
	if seg.Len > 0 && c.notes&NoteKeepAlive == 0 {
		snd.noteData(seg.Time, seg.Frame)
	}
	f := seg.Flags
	if f.Has(decode.SYN) {
		add8(&snd.syns, &snd.carry.syns, 1)
	}
	if f.Has(decode.FIN) {
		add8(&snd.fins, &snd.carry.fins, 1)
		c.completeness |= SawFIN
	}
	if f.Has(decode.RST) {
		add8(&snd.rsts, &snd.carry.rsts, 1)
		c.completeness |= SawRST
	}
	switch {
	case f.Has(decode.SYN | decode.ACK):
		c.completeness |= SawSYNACK
	case f.Has(decode.SYN):
		c.completeness |= SawSYN
	case f.Has(decode.ACK) && seg.Len == 0:
		c.completeness |= SawACK
	}
	if seg.Len > 0 {
		c.completeness |= SawData
	}
	c.collect(snd, rcv, seg)
}

// open makes c, which must be empty, a connection with its first segment, which is
// yet to be counted.
func (c *Conn) open(id uint64, seg *decode.Segment) {
	c.ID, c.First, c.Start, c.stream = id, seg.Frame, seg.Time, seg.Stream
	c.swapped = seg.SrcPort != c.key.ap || seg.Src != c.key.a
	c.assignRoles(seg)
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

// settle keeps account of whether both ends are over.
func (t *Tracker) settle(c *Conn) {
	was := c.isOver
	c.isOver = c.reused || c.ends[0].isOver() && c.ends[1].isOver()
	if !c.isOver {
		return
	}
	if !was {
		c.over = t.clock
	}
	for i := range c.ends {
		if e := &c.ends[i]; e.State() == TimeWait {
			if e.timeWait() == c.now {
				e.linger(t.clock) // by which it ends
			}
			c.over = max(c.over, e.timeWait())
		}
	}
	if !c.queued {
		t.over.push(c)
	}
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

// expire ends TIME_WAIT by the clock.
func (t *Tracker) expire(c *Conn) {
	for i := range c.ends {
		e := &c.ends[i]
		if e.state == TimeWait && !e.cover.on && t.clock.Sub(e.timeWait()) >= t.timeWait {
			e.take(timeout2MSL, cause{e.timeWait().Add(t.timeWait - t.skew), t.frame, Timer})
		}
	}
}

// finish closes the record of c and forgets it.
func (t *Tracker) finish(c *Conn) {
	t.openLeft(c)
	c.EndReason = c.reason()
	t.report(c)
}

func (c *Conn) reason() EndReason {
	_, reset := c.Reset()
	switch {
	case c.evicted:
		return Evicted
	case c.idle:
		return Idle
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
		t.tell(c)
		t.Done(c)
	}
	t.zeek.free(c)
	if c.queued {
		t.over.remove(c)
	}
	switch {
	case c.succeeded:
		r, _ := t.store.find(&c.key, c.hash)
		n := t.store.conn(r) // which it has, because of the older ones
		for n.older != c {
			n = n.older
		}
		n.older = c.older
	case c.older != nil:
		c.older.succeeded = false
		t.store.table.Replace(c.hash, uint32(c.ref), uint32(c.older.ref))
	default:
		t.store.table.Remove(c.hash, uint32(c.ref))
	}
	t.store.drop(c)
}

// Each calls f with every connection whose record is still open, in order of ID,
// as it is now. The connection is valid until f returns, and f must not change it.
func (t *Tracker) Each(f func(*Conn)) {
	for _, r := range t.store.all() {
		c := t.load(r)
		t.expire(c)
		t.tell(c)
		f(c)
	}
}

// Finish ends the observation: what waits is decided, and what is still open is
// handed to Done, in order of ID. Another one may begin then, later in time.
func (t *Tracker) Finish() {
	t.Flush()
	for i := 0; i < len(t.store.conns); i++ {
		if c := t.store.conns[i]; c != nil {
			t.conclude(c)
		}
	}
	for _, r := range t.store.all() {
		c := t.load(r)
		t.expire(c)
		t.finish(c)
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
