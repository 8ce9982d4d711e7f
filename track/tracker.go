// Package track rebuilds the life of every TCP connection from its captured
// segments. A user learns from it which RFC 9293 state each end was in, when it
// changed, and which frame shows it.
package track

import (
	"cmp"
	"slices"
	"time"

	"tcplife/decode"
	"tcplife/decode/capture"
)

// Config sets how connections are tracked. The zero value means the defaults.
type Config struct {
	TimeWait time.Duration // 2MSL; 0 means 60 s, as Linux has it
	// MaxBytes is how much memory connections may take, about; 0 means any. When
	// it is reached, handshakes that no client has completed are evicted, and then
	// those connections that are idle for long: their records are closed as they
	// are.
	MaxBytes int
	// Workers is how many goroutines connections are spread over, up to maxWorkers;
	// 0 and 1 mean none but the caller's. What comes out, and in which order, does
	// not depend on it, but for what is evicted.
	Workers int
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
//
// What is added is gathered in blocks (see block). With Workers, every block is
// handed to all shards, of which each looks at the segments of its own
// connections, while the caller reads on; what the shards have finished is put in
// order, and handed to the functions below, when the caller comes back to the
// block. So these functions run in the caller's goroutine, within Add, Flush, Each
// and Finish.
type Tracker struct {
	// Done is called with each connection when its record is final. The
	// connection is valid until Done returns.
	Done func(*Conn)
	// Last, if set, is called by Finish with every connection that is still open, as
	// it is in the end, before any of them is handed to Done.
	Last func(*Conn)
	// Noted, if set, is called with the frame of each segment with one of
	// NotesOfCapture.
	Noted func(frame uint64, n Notes)
	// Observe, if set before the first segment, is called after each segment with
	// the connection that it was counted in, and what is noteworthy about it. Then
	// there are no workers.
	Observe func(*Conn, *decode.Segment, Notes)
	// ObserveICMP, likewise, is called after each ICMP error with the connection
	// of which it quotes a segment.
	ObserveICMP func(*Conn, *decode.ICMPError)

	config Config
	seed   [2]uint64
	clock  clock
	frame  uint64 // the latest
	mirror mirror
	now    capture.Time // see Now
	lastID uint64

	shards  []*shard
	running bool // the shards run in goroutines of their own
	ring    []*block
	filling int // the block of the ring that is being filled
	flying  int // how many blocks before it are with the shards
	blocks  uint64
	raw     capture.Time        // of the latest frame, whatever the clock makes of it
	ids     [][blockSize]uint64 // of the connections that the segments of the latest 2*len(ring) blocks began
	order   []*ended
	shown   *Conn
}

// New returns a Tracker.
func New(cfg Config) *Tracker {
	if cfg.TimeWait == 0 {
		cfg.TimeWait = timeWaitLinux
	}
	return &Tracker{config: cfg, seed: newSeed(), shown: newConn()}
}

// maxWorkers bounds the shards: beyond, the one goroutine that reads and decodes
// can't keep them busy.
const maxWorkers = 8

// start makes the shards, when it is known whether anybody observes.
func (t *Tracker) start() {
	n, blocks := min(t.config.Workers, maxWorkers), 8
	if n < 2 || t.Observe != nil || t.ObserveICMP != nil || t.config.ZeekSplit {
		n, blocks = 1, 1
	}
	for i := range n {
		t.shards = append(t.shards, newShard(t, i, n))
	}
	for range blocks {
		t.ring = append(t.ring, &block{of: make([]share, n)})
	}
	t.ids = make([][blockSize]uint64, 2*blocks)
	t.begin()
}

// Now returns the time by the capture's clock: that of the latest frame that was
// taken, as long as times don't step back; within Done, of the frame at which the
// connection's record became final.
func (t *Tracker) Now() capture.Time { return t.now }

// Segment takes the next segment.
func (t *Tracker) Segment(seg *decode.Segment) {
	t.Add(seg)
	t.Flush()
}

// Tick moves the clock by a frame that is neither segment nor ICMP error. Every
// captured frame must reach the tracker, in capture order.
func (t *Tracker) Tick(now capture.Time, frame uint64) {
	t.AddTick(now, frame)
	t.Flush()
}

// ICMP takes an ICMP error that quotes a segment.
func (t *Tracker) ICMP(e *decode.ICMPError) {
	t.AddICMP(e)
	t.Flush()
}

// Slot returns a place for the next segment. If it is added, it needs not be
// copied.
func (t *Tracker) Slot() *decode.Segment {
	b := t.open()
	return &b.items[b.n].seg
}

// Add takes a segment as Segment does, but later, at the latest when Flush is
// called: it is for captures, where many are at hand.
func (t *Tracker) Add(seg *decode.Segment) {
	b := t.open()
	it := &b.items[b.n]
	if seg != &it.seg {
		it.seg = *seg
	}
	t.tick(b, seg.Time, seg.Frame)
	context := seg.Context
	if t.config.ZeekSplit {
		context = 0
	}
	it.key = makeKey(&seg.Src, &seg.Dst, seg.SrcPort, seg.DstPort, context)
	it.mirrored = t.mirror.seen(&it.seg, &t.seed)
	t.put(b, it, quotesNone)
}

// AddTick takes a clock tick as Tick does, in its place among what was added.
func (t *Tracker) AddTick(now capture.Time, frame uint64) {
	b := t.open()
	t.tick(b, now, frame)
	t.dispatchFull(b)
}

// AddICMP takes an ICMP error as ICMP does, in its place among what was added.
func (t *Tracker) AddICMP(e *decode.ICMPError) {
	b := t.open()
	it := &b.items[b.n]
	t.tick(b, e.Time, e.Frame)
	it.key = makeKey(&e.Src, &e.Dst, e.SrcPort, e.DstPort, e.Context)
	b.quotes = append(b.quotes, *e)
	t.put(b, it, len(b.quotes)-1)
}

// open returns the block that is being filled, which has room.
func (t *Tracker) open() *block {
	if t.ring == nil {
		t.start()
	}
	return t.ring[t.filling]
}

// tick moves the clock.
func (t *Tracker) tick(b *block, at capture.Time, frame uint64) {
	t.clock.tick(at)
	t.frame, t.raw = frame, at
	b.times[b.events], b.frames[b.events] = t.clock.now, frame
	b.skews[b.events] = t.clock.skew
	b.events++
}

// put hands it, the next item, to the shard of its key.
func (t *Tracker) put(b *block, it *item, quote int) {
	h := hash(&it.key, &t.seed)
	it.hash, it.event, it.quote, it.opens, it.notes = uint32(h), b.events-1, quote, false, 0
	of := &b.of[int(h>>32*uint64(len(b.of))>>32)]
	of.items = append(of.items, uint16(b.n))
	b.n++
	t.dispatchFull(b)
}

func (t *Tracker) dispatchFull(b *block) {
	if b.events == blockSize || t.config.ZeekSplit { // Zeek's timers go off at every packet
		t.dispatch()
	}
}

// dispatch hands the block that was filled to the shards, and opens the next one.
func (t *Tracker) dispatch() {
	b := t.ring[t.filling]
	if len(t.shards) == 1 {
		t.shards[0].run(b)
		t.take(b)
		t.begin()
		return
	}
	if !t.running {
		t.running = true
		for _, s := range t.shards {
			s.in = make(chan *block, len(t.ring))
			go s.loop()
		}
	}
	b.left.Add(len(t.shards))
	for _, s := range t.shards {
		s.in <- b
	}
	t.flying++
	t.filling = (t.filling + 1) % len(t.ring)
	if t.flying == len(t.ring) {
		t.land()
	}
	t.begin()
}

// begin empties the block to be filled.
func (t *Tracker) begin() {
	b := t.ring[t.filling]
	b.seq = t.blocks
	t.blocks++
	b.n, b.events, b.quotes, b.before = 0, 0, b.quotes[:0], t.clock.now
	for i := range b.of {
		b.of[i].items = b.of[i].items[:0]
	}
}

// land waits for the oldest block that is with the shards, and takes it back.
func (t *Tracker) land() {
	b := t.ring[(t.filling-t.flying+len(t.ring))%len(t.ring)]
	b.left.Wait()
	t.flying--
	t.take(b)
}

// Flush takes what was added.
func (t *Tracker) Flush() {
	if t.ring == nil {
		return
	}
	if b := t.ring[t.filling]; b.events > 0 {
		t.dispatch()
	}
	for t.flying > 0 {
		t.land()
	}
}

// take numbers the connections that a block's segments began, and hands over what
// became final.
func (t *Tracker) take(b *block) {
	if len(t.shards) > 1 {
		ids := &t.ids[b.seq%uint64(len(t.ids))]
		for i := range b.items[:b.n] {
			if b.items[i].opens {
				t.lastID++
				ids[i] = t.lastID
			}
		}
	}
	noted := false
	for i := range b.of {
		noted = noted || b.of[i].noted
		t.collect(b.of[i].ended)
	}
	if noted && t.Noted != nil {
		for i := range b.items[:b.n] {
			if it := &b.items[i]; it.notes != 0 {
				t.Noted(it.seg.Frame, it.notes)
			}
		}
	}
	t.handAll()
	t.now = b.times[b.events-1].Add(-b.skews[b.events-1])
}

// collect adds connections that ended to those that are handed over next.
func (t *Tracker) collect(l []ended) {
	for i := range l {
		l[i].record.ID = t.resolve(l[i].record.ID)
		t.order = append(t.order, &l[i])
	}
}

// handAll hands over what was collected, in the order in which it ended, and of what
// ended at one frame in order of ID.
func (t *Tracker) handAll() {
	slices.SortFunc(t.order, func(a, b *ended) int {
		return cmp.Or(cmp.Compare(a.event, b.event), cmp.Compare(a.record.ID, b.record.ID))
	})
	for _, e := range t.order {
		t.hand(e)
	}
	t.order = t.order[:0]
}

// hand hands over a connection that ended.
func (t *Tracker) hand(e *ended) {
	if t.Done == nil {
		return
	}
	c := t.shown
	if e.conn != nil {
		c = e.conn
	}
	c.attach(&e.record, noRef, &e.key, 0)
	c.EndReason, c.told, t.now = e.reason, e.told, e.now
	t.Done(c)
}

// resolve returns the number that a provisional one stands for.
func (t *Tracker) resolve(id uint64) uint64 {
	if id&provisional == 0 {
		return id
	}
	seq, i := id&^provisional/blockSize, id%blockSize
	return t.ids[seq%uint64(len(t.ids))][i]
}

// Each calls f with every connection whose record is still open, in order of ID,
// as it is now. The connection is valid until f returns, and f must not change it.
func (t *Tracker) Each(f func(*Conn)) {
	t.Flush()
	t.stop()
	t.each(func(s *shard, c *Conn) {
		s.tell(c)
		f(c)
		c.told = nil
	})
}

// stop lets every shard know of the latest frame, and what its connections' numbers
// are. No block is with them.
func (t *Tracker) stop() {
	for _, s := range t.shards {
		s.settleIDs()
		s.event, s.clock, s.skew, s.frame, s.block = 0, t.clock.now, t.clock.skew, t.frame, nil
		s.refs = nil
	}
}

// each calls f with every connection, in order of ID.
func (t *Tracker) each(f func(*shard, *Conn)) {
	var next [maxWorkers]int
	for _, s := range t.shards {
		s.refs = s.store.all()
	}
	for {
		least, of := uint64(0), -1
		for i, s := range t.shards {
			if next[i] < len(s.refs) {
				if id := s.store.id(s.refs[next[i]]); of < 0 || id < least {
					least, of = id, i
				}
			}
		}
		if of < 0 {
			return
		}
		s := t.shards[of]
		s.sink += s.store.touchSome(s.refs, next[of])
		c := s.load(s.refs[next[of]])
		next[of]++
		s.expire(c)
		f(s, c)
	}
}

// Finish ends the observation: what waits is decided, and what is still open is
// handed to Last and then to Done, in order of ID. Another one may begin then, later
// in time.
func (t *Tracker) Finish() {
	t.Flush()
	t.stop()
	if t.running {
		t.running = false
		for _, s := range t.shards {
			close(s.in) // its goroutine ends
		}
	}
	t.now = t.clock.now.Add(-t.clock.skew)
	for _, s := range t.shards {
		s.concludeAll()
		t.collect(s.ended)
	}
	if t.Last != nil {
		t.each(func(_ *shard, c *Conn) { t.Last(c) })
	}
	t.handAll()
	if len(t.shards) == 1 {
		s := t.shards[0]
		s.finishAll(func(l []ended) {
			for i := range l {
				t.hand(&l[i])
			}
			s.store.reclaim(l)
		})
		return
	}
	// The shards go on at the same time, and what they hand over is merged.
	var from []*handover
	for _, s := range t.shards {
		from = append(from, s.finishing())
	}
	for {
		var first *ended
		var of *handover
		for _, h := range from {
			if e := h.head(); e != nil && (first == nil || e.record.ID < first.record.ID) {
				first, of = e, h
			}
		}
		if first == nil {
			return
		}
		t.hand(first)
		of.next++
	}
}
