package track

import (
	"cmp"
	"slices"
	"sync"
	"time"
	"unsafe"

	"tcplife/decode"
	"tcplife/decode/capture"
)

// blockSize is how many frames make a block, and chunkSize how many segments of
// it are looked up together. Each needs a slot of the table and then a record, far
// apart in memory: fetched one by one, the waiting for them takes more time than
// all the rest; together, the waits overlap. 64 records are as much as the
// first-level cache holds.
const (
	blockSize = 512
	chunkSize = 64
)

// A block is a run of frames. Where blocks begin does not depend on the number of
// shards, and what ends, ends with a block: so the order in which connections are
// handed over doesn't depend on it either.
type block struct {
	seq    uint64
	before capture.Time // the clock at its begin
	events int          // frames in it
	times  [blockSize]capture.Time
	frames [blockSize]uint64
	skews  [blockSize]time.Duration
	n      int // of those, segments and ICMP errors
	items  [blockSize]item
	quotes []decode.ICMPError
	of     []share // by shard
	left   sync.WaitGroup
}

// An item is a segment, or stands for an ICMP error.
type item struct {
	seg      decode.Segment
	key      key
	hash     uint32
	event    int // which frame of the block it is
	quote    int // in block.quotes; quotesNone: it is a segment
	notes    Notes
	ref      ref
	mirrored bool // the frame was captured before
	opens    bool // it began a connection
}

const quotesNone = -1

// A share is one shard's part in a block.
type share struct {
	items []uint16
	ended []ended
	noted bool
}

// An ended is a connection whose record is final.
type ended struct {
	record record
	key    key
	reason EndReason
	event  int          // frame of the block at which it ended
	now    capture.Time // its time
	conn   *Conn        // with what is rare about it; nil if nothing is
	told   *Zeek
}

// A shard follows the connections whose keys are its own. No two shards share
// anything.
type shard struct {
	t        *Tracker
	in       chan *block
	of       int  // which shard it is
	numbers  bool // it is the only one, and numbers connections itself
	timeWait time.Duration
	limit    int
	opened   uint // connections, so far

	store store
	zeek  zeeks
	over  queue   // connections whose ends are both over
	fresh []fresh // connections whose numbers are provisional, in the order of their blocks
	refs  []ref   // of all connections, in order of ID, if they were listed and nothing happened since
	sink  uint32  // keeps the touching from being optimized away

	// Of the segment at hand.
	block *block // nil: the capture has ended
	item  *item
	event int
	clock capture.Time
	skew  time.Duration
	frame uint64
	ended []ended

	evictions []evictable // the batch at hand
}

// A fresh is where a connection, or a candidate for one, is kept whose number is
// provisional.
type fresh struct {
	id uint64
	at ref
}

// provisional marks the number of a connection that stands for its block and
// item: how many connections other shards have begun before is not known yet.
const provisional = 1 << 63

func newShard(t *Tracker, i, of int) *shard {
	s := &shard{t: t, of: i, numbers: of == 1, timeWait: t.config.TimeWait, limit: t.config.MaxBytes / of, store: newStore()}
	s.store.seed = t.seed
	s.zeek.on, s.zeek.splits = t.config.History || t.config.ZeekSplit, t.config.ZeekSplit
	return s
}

// loop runs the shard until its tracker finishes.
func (s *shard) loop() {
	for b := range s.in {
		s.run(b)
		b.left.Done()
	}
}

// run takes the shard's share of a block.
func (s *shard) run(b *block) {
	mine := &b.of[s.of]
	s.store.reclaim(mine.ended)
	s.block, s.ended = b, mine.ended[:0]
	mine.noted = false
	s.numberUntil(int(b.seq) - len(s.t.ring))
	if s.zeek.splits {
		s.goTo(b, 0)
		s.clock = b.before
		s.runOut(s.t.raw)
	}
	for items := mine.items; len(items) > 0; {
		chunk := items[:min(chunkSize, len(items))]
		items = items[len(chunk):]
		s.touch(b, chunk)
		for _, i := range chunk {
			it := &b.items[i]
			s.item = it
			s.goTo(b, it.event)
			switch {
			case it.quote != quotesNone:
				s.quoted(&b.quotes[it.quote], it)
			case s.zeek.splits:
				s.takeSplit(&it.seg, &it.key, it.hash)
			default:
				s.segment(&it.seg, it)
			}
			mine.noted = mine.noted || it.notes != 0
		}
	}
	s.item = nil
	if !s.zeek.splits {
		s.lapse(b)
	}
	mine.ended = s.ended
}

// touch loads what the items need into the cache.
func (s *shard) touch(b *block, chunk []uint16) {
	for _, i := range chunk {
		s.store.table.Touch(b.items[i].hash)
	}
	for _, i := range chunk {
		p := s.store.table.Find(b.items[i].hash)
		if r, ok := p.Next(); ok {
			s.sink += s.store.touch(ref(r))
		}
	}
}

// lapse finishes the connections whose 2MSL have passed in the block, at the frame
// at which they had.
func (s *shard) lapse(b *block) {
	for at := 0; ; {
		r, ok := s.over.front()
		if !ok {
			return
		}
		over := s.store.records.At(uint32(r)).over
		if b.times[b.events-1].Sub(over) < s.timeWait {
			return
		}
		i, _ := slices.BinarySearch(b.times[:b.events], over.Add(s.timeWait))
		at = max(at, i)
		s.goTo(b, at)
		c := s.load(r)
		s.over.remove(c)
		if !c.isOver {
			s.store.save(c)
			continue
		}
		s.expire(c)
		s.finish(c)
	}
}

// goTo makes the frame of the block with that number the one at hand.
func (s *shard) goTo(b *block, event int) {
	s.event, s.clock, s.skew, s.frame = event, b.times[event], b.skews[event], b.frames[event]
}

// due reports whether the record of c is to be closed: its 2MSL have passed.
func (s *shard) due(c *Conn) bool { return c.isOver && s.clock.Sub(c.over) >= s.timeWait }

// finishDue finishes c, which is due, at the frame since which it was, if that is in
// the block.
func (s *shard) finishDue(c *Conn) {
	here := s.event
	if at := c.over.Add(s.timeWait); at > s.block.before {
		i, _ := slices.BinarySearch(s.block.times[:s.block.events], at)
		s.goTo(s.block, i)
	}
	s.expire(c)
	s.finish(c)
	s.goTo(s.block, here)
}

// newID returns the number of a connection that the item at hand begins, or may
// turn out to have begun.
func (s *shard) newID() uint64 {
	if s.numbers {
		s.t.lastID++
		return s.t.lastID
	}
	s.item.opens = true
	i := int(uintptr(unsafe.Pointer(s.item))-uintptr(unsafe.Pointer(&s.block.items))) / int(unsafe.Sizeof(item{}))
	return provisional | s.block.seq*blockSize | uint64(i)
}

// keeps notes that a connection or candidate with this number is kept at r.
func (s *shard) keeps(id uint64, r ref) {
	if id&provisional != 0 {
		s.fresh = append(s.fresh, fresh{id, r})
	}
}

// numberUntil gives the connections their numbers that were begun in blocks up to
// seq.
func (s *shard) numberUntil(seq int) {
	n := 0
	for ; n < len(s.fresh); n++ {
		f := s.fresh[n]
		if int(f.id&^provisional/blockSize) > seq {
			break
		}
		s.number(f)
	}
	s.fresh = append(s.fresh[:0], s.fresh[n:]...)
}

// number gives a connection its number, if it is still where it was.
func (s *shard) number(f fresh) {
	id := s.t.resolve(f.id)
	if f.at&loneRef != 0 {
		if l := s.store.lones.At(uint32(f.at &^ loneRef)); l.id() == f.id {
			l.setID(id)
		}
		return
	}
	r := s.store.records.At(uint32(f.at))
	if r.ID == f.id {
		r.ID = id
	}
	if c := s.store.conn(f.at); c != nil {
		for i := range c.candidates {
			if d := &c.candidates[i]; d.id == f.id {
				d.id = id
			}
		}
	}
}

// settleIDs gives all connections their numbers: no block is with the shards.
func (s *shard) settleIDs() {
	for _, f := range s.fresh {
		s.number(f)
	}
	s.fresh = s.fresh[:0]
}

// segment takes a segment.
func (s *shard) segment(seg *decode.Segment, it *item) {
	k, hash := &it.key, it.hash
	r, found := s.store.find(k, hash)
	var c *Conn
	for found {
		c = s.grow(r, k, hash)
		if !s.due(c) {
			break
		}
		s.finishDue(c)
		r, found = s.store.find(k, hash)
	}
	if !found {
		if it.mirrored {
			return
		}
		s.makeRoom()
		id := s.newID()
		if r, ok := s.addLone(seg, id, hash); ok {
			if s.t.Observe != nil {
				c = s.store.loadLone(r)
				s.observe(c, seg, c.notes)
			}
			return
		}
		s.begin(id, seg, k, hash)
		return
	}
	if it.mirrored {
		add8(&c.duplicates, &c.moreDuplicates, 1)
		snd, _ := c.direction(seg)
		snd.fingerprintTTL(seg)
		s.zeek.note(c, seg)
		s.observe(c, seg, NoteMirrored)
		s.store.save(c)
		return
	}
	for o := c.older; o != nil; {
		older := o.older
		if s.due(o) {
			s.finishDue(o)
		}
		o = older
	}
	for o := c; o != nil; o = o.older {
		s.expire(o)
	}
	to := s.route(c, seg)
	if to != nil {
		s.count(to, seg)
	}
	// What was looked at: the connection that was the newest, and the newest now.
	if c.record != nil && c.key == *k {
		s.store.save(c)
	}
	if to != nil && to != c && to.key == *k {
		s.store.save(to)
	}
}

// begin opens the connection with that number, the first of its key.
func (s *shard) begin(id uint64, seg *decode.Segment, k *key, hash uint32) {
	c := s.store.newConn(*k, hash)
	s.keeps(id, c.ref)
	s.store.table.Insert(hash, uint32(c.ref))
	c.open(id, seg)
	s.count(c, seg)
	s.store.save(c)
}

// grow returns the connection at r, which is about to get another segment: a lone
// SYN becomes a connection with a record.
func (s *shard) grow(r ref, k *key, hash uint32) *Conn {
	if r&loneRef == 0 {
		return s.store.load(r, k, hash)
	}
	id, seg := s.store.lone(r)
	s.store.lones.Free(uint32(r &^ loneRef))
	c := s.store.newConn(*k, hash)
	s.keeps(id, c.ref)
	s.store.table.Replace(hash, uint32(r), uint32(c.ref))
	c.replay(id, &seg)
	s.zeek.note(c, &seg)
	return c
}

// load returns the connection at r. If it has no Conn of its own, it is valid
// until another one is loaded, and if it was changed it must be saved before that.
func (s *shard) load(r ref) *Conn {
	st := &s.store
	if r&loneRef == 0 {
		k := st.key(st.records.At(uint32(r)))
		return st.load(r, &k, st.hash(&k))
	}
	return st.loadLone(r)
}

// count lets seg count in c.
func (s *shard) count(c *Conn, seg *decode.Segment) {
	snd, rcv := c.direction(seg)
	c.notes, c.order, c.now = 0, c.ends[0].packets+c.ends[1].packets, seg.Time
	c.reused = false // it goes on, whatever was opened after it
	c.tally(snd, rcv, seg)
	c.segment(snd, rcv, seg)
	if seg.Flags.Has(decode.SYN) {
		snd.noteSYN(seg.Time)
	}
	s.zeek.note(c, seg)
	s.settle(c)
	s.observe(c, seg, c.notes)
}

func (s *shard) observe(c *Conn, seg *decode.Segment, n Notes) {
	if s.item != nil {
		s.item.notes |= n & NotesOfCapture
	}
	if s.t.Observe != nil {
		s.t.Observe(c, seg, n)
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
func (s *shard) settle(c *Conn) {
	was := c.isOver
	c.isOver = c.reused || c.ends[0].isOver() && c.ends[1].isOver()
	if !c.isOver {
		return
	}
	if !was {
		c.over = s.clock
	}
	for i := range c.ends {
		if e := &c.ends[i]; e.State() == TimeWait {
			if e.timeWait() == c.now {
				e.linger(s.clock) // by which it ends
			}
			c.over = max(c.over, e.timeWait())
		}
	}
	if !c.queued {
		s.over.push(c)
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
func (s *shard) expire(c *Conn) {
	for i := range c.ends {
		e := &c.ends[i]
		if e.state == TimeWait && !e.cover.on && s.clock.Sub(e.timeWait()) >= s.timeWait {
			at := e.timeWait().Add(s.timeWait)
			e.take(timeout2MSL, cause{at.Add(-s.skew), s.frameAt(at), Timer})
		}
	}
}

// frameAt returns the first frame at which the clock was as late as that, or the
// one at hand if it was so before the block.
func (s *shard) frameAt(at capture.Time) uint64 {
	if b := s.block; b != nil && at > b.before {
		if i, _ := slices.BinarySearch(b.times[:b.events], at); i < b.events {
			return b.frames[i]
		}
	}
	return s.frame
}

// finish closes the record of c and forgets it.
func (s *shard) finish(c *Conn) {
	s.openLeft(c)
	c.EndReason = c.reason()
	s.report(c)
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

func (s *shard) report(c *Conn) {
	s.tell(c)
	s.zeek.free(c)
	if c.queued {
		s.over.remove(c)
	}
	switch {
	case c.succeeded:
		r, _ := s.store.find(&c.key, c.hash)
		n := s.store.conn(r) // which it has, because of the older ones
		for n != nil && n.older != c {
			n = n.older
		}
		if n != nil { // else it ended before, with all else
			n.older = c.older
		}
	case c.older != nil:
		c.older.succeeded = false
		s.store.table.Replace(c.hash, uint32(c.ref), uint32(c.older.ref))
	case !s.store.ending:
		s.store.table.Remove(c.hash, uint32(c.ref))
	}
	c.older = nil
	s.ended = append(s.ended, ended{record: *c.record, key: c.key, reason: c.EndReason, event: s.event, now: s.clock.Add(-s.skew), told: c.told})
	c.told = nil
	if c.Plain() {
		s.store.drop(c)
		return
	}
	s.store.keep(c)
	s.ended[len(s.ended)-1].conn = c
	s.store.forget(c)
}

// concludeAll decides what only more segments could have told: a segment that
// waits counts unless a RST closed the connection; a SYN that may have begun a new
// connection did, if it was repeated or its sender had no other. What it ends is in
// s.ended.
func (s *shard) concludeAll() {
	s.ended = nil // what it held is the last block's
	var undecided []*Conn
	for _, c := range s.store.conns {
		if c == nil {
			continue
		}
		s.expire(c)
		if _, reset := c.Reset(); !reset {
			c.releaseAll()
		}
		s.settle(c)
		if len(c.candidates) > 0 {
			undecided = append(undecided, c)
		}
	}
	slices.SortFunc(undecided, func(a, b *Conn) int { return cmp.Compare(a.ID, b.ID) })
	for _, c := range undecided {
		s.openLeft(c)
	}
}

// finishAll closes the records of all connections, in order of ID, and hands them
// over a few at a time. What was handed over is valid until the next.
func (s *shard) finishAll(hand func([]ended)) {
	s.ended = nil
	refs := s.refs
	if refs == nil {
		refs = s.store.all()
	}
	s.store.ending, s.refs = true, nil
	for i, r := range refs {
		s.sink += s.store.touchSome(refs, i)
		c := s.load(r)
		s.expire(c)
		s.finish(c)
		if len(s.ended) >= chunkSize {
			hand(s.ended)
			s.ended = s.ended[:0]
		}
	}
	hand(s.ended)
	s.ended = nil
	s.store.clear()
	s.over = queue{}
}

// A handover is what a shard hands over while it finishes in a goroutine of its own.
// Lists that were read go back, to be filled again.
type handover struct {
	lists, back chan []ended
	list        []ended // that is read
	next        int     // in list
}

// finishing does what finishAll does, in a goroutine of its own.
func (s *shard) finishing() *handover {
	const ahead = 8
	h := &handover{lists: make(chan []ended, ahead), back: make(chan []ended, ahead+2)}
	for range cap(h.back) {
		h.back <- nil
	}
	go func() {
		s.finishAll(func(l []ended) {
			if len(l) > 0 {
				h.lists <- append((<-h.back)[:0], l...)
			}
		})
		close(h.lists)
	}()
	return h
}

// head returns the first that was not read; nil at the end.
func (h *handover) head() *ended {
	if h.next == len(h.list) {
		if h.list != nil {
			h.back <- h.list
		}
		h.list, h.next = <-h.lists, 0
	}
	if h.next == len(h.list) {
		return nil
	}
	return &h.list[h.next]
}
