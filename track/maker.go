package track

import (
	"time"

	"tcplife/decode"
	"tcplife/decode/capture"
)

// A Maker is who made a RST.
type Maker uint8

// Who makes RSTs.
const (
	UnknownMaker Maker = iota
	Application        // the program at its supposed sender, which aborted: RST,ACK with the next number
	Host               // its supposed sender's host, which has no such socket: the stateless reply to a segment (RFC 9293 §3.10.7.1)
	Middlebox          // a box between the two, in the name of its supposed sender
	Forger             // somebody else: its supposed sender went on
	numMakers
)

func (m Maker) String() string {
	return [numMakers]string{"", "application", "host", "middlebox", "forger"}[m]
}

// Marks are what of a RST tells who made it.
type Marks uint16

// Marks of a RST, compared with the other segments of its supposed sender.
const (
	MarkACK          Marks = 1 << iota // it acknowledges: an abort, or the reply to a segment without ACK
	MarkWindow                         // it has a window: a stateless reply has none to offer
	MarkTimestamps                     // it carries timestamps
	MarkNoTimestamps                   // it carries none, where the others do
	MarkNoID                           // its IPv4 identification is 0, the others' is not
	MarkIDJump                         // its IPv4 identification is not near the last one, where the others' step evenly
	MarkSameTTL                        // its TTL is the others'
	MarkOtherTTL                       // it has come another number of hops than the others; a stack may begin its RSTs with another TTL
	MarkAnswers                        // it follows a segment of its target and has the number which that acknowledged
	MarkTooSoon                        // bare, it follows that segment sooner than its supposed sender ever answered
	MarkAhead                          // another RST lay ahead of it in the window: a guess at what was in flight
	MarkWentOn                         // its supposed sender went on with the connection
	numMarks         = iota
)

var markNames = [numMarks]string{
	"ack", "window", "timestamps", "no-timestamps", "ip-id-0", "ip-id-jump", "ttl-same", "ttl-other",
	"answers", "too-soon", "others-ahead", "sender-went-on",
}

// Has reports whether all marks of n are there.
func (m Marks) Has(n Marks) bool { return m&n == n }

// List returns the names of the marks.
func (m Marks) List() []string {
	var l []string
	for i, name := range markNames {
		if m&(1<<i) != 0 {
			l = append(l, name)
		}
	}
	return l
}

// Maker tells who made the RST, as far as the capture shows, and who else may
// have.
func (r *Reset) Maker() (m Maker, mayBe []Maker) {
	switch {
	case r.Marks.Has(MarkWentOn) || r.Marks.Has(MarkAhead):
		return Forger, []Maker{Middlebox}
	case r.Marks.Has(MarkOtherTTL):
		return Middlebox, []Maker{Forger}
	case r.Marks.Has(MarkACK) && !r.Stateless:
		m = Application
		if r.Marks.Has(MarkNoTimestamps) && !r.Marks.Has(MarkWindow) {
			mayBe = append(mayBe, Host) // some stacks strip what they abort with
		}
	case r.Stateless,
		r.Marks&(MarkWindow|MarkTimestamps) == 0 && r.Marks&(MarkAnswers|MarkNoTimestamps) != 0:
		m = Host
	case r.Marks.Has(MarkAnswers):
		m, mayBe = Host, append(mayBe, Application) // some stacks abort with a bare RST
	default:
		m, mayBe = Application, append(mayBe, Host)
	}
	if !r.Marks.Has(MarkSameTTL) || r.Marks.Has(MarkIDJump) || r.Marks.Has(MarkTooSoon) {
		mayBe = append(mayBe, Middlebox)
	}
	return m, mayBe
}

// aborts reports whether the RST shows that its sender's program aborted.
func (r *Reset) aborts() bool {
	m, _ := r.Maker()
	return r.ACK && m == Application && !r.Probing
}

// marks compares a RST with the other segments of its supposed sender, snd.
func (c *Conn) marks(snd, rcv *End, seg *decode.Segment) (m Marks) {
	set := func(ok bool, bit Marks) {
		if ok {
			m |= bit
		}
	}
	set(seg.Flags.Has(decode.ACK), MarkACK)
	set(seg.Wnd != 0 && !seg.NoWnd, MarkWindow)
	set(seg.Opts.Has(decode.OptTimestamps), MarkTimestamps)
	set(seg.Opts&(decode.OptTimestamps|decode.OptUnknown) == 0 && snd.is(counted) && snd.lastCopy().hasTS, MarkNoTimestamps)
	set(!seg.HasIPID && snd.is(counted) && snd.lastCopy().hasID, MarkNoID)
	set(seg.HasIPID && snd.idSteps >= minIDSteps && seg.Time.Sub(snd.Sent()) < idRunMax && !nearID(seg.IPID, snd.lastCopy().ipID), MarkIDJump)
	if snd.maxTTL != 0 && seg.TTL != 0 {
		h, least, most := hops(seg.TTL), hops(snd.maxTTL), hops(snd.minTTL)
		if least > most {
			least, most = most, least // of two initial values
		}
		near := least <= h && h <= most
		set(near && snd.minTTL <= seg.TTL && seg.TTL <= snd.maxTTL, MarkSameTTL)
		set(!near, MarkOtherTTL)
	}
	asked := rcv.Sent()
	if rcv.packets > 0 && asked >= snd.Sent() && (snd.is(unaKnown) && seg.Seq == snd.una || snd.is(finCounts) && seg.Seq == snd.finSeq) {
		took := seg.Time.Sub(asked)
		set(took <= max(answerMax, snd.roundTrip()), MarkAnswers)
		set(!seg.Flags.Has(decode.ACK) && snd.least() >= tooSoonFrom && took >= 0 && took < snd.least()/4, MarkTooSoon)
	}
	return m
}

const (
	// answerMax is how long after a segment a host may answer it: the initial
	// retransmission timeout (RFC 6298 §2.1), after which the segment comes again.
	answerMax = time.Second
	// tooSoonFrom is the shortest answer, of those measured, that a quarter of it can be told from:
	// below it, the time a host takes says as much as the way.
	tooSoonFrom = 4 * time.Millisecond
	// minIDSteps is how many even steps of the IPv4 identification make a run.
	minIDSteps = 4
	// idRunMax is how long a run of the IPv4 identification is believed to go on:
	// hosts that count for all their connections together go through it meanwhile.
	idRunMax = time.Second
	// maxIDStep is the largest even step: a host that counts for all its
	// connections together sends to others in between.
	maxIDStep = 256
)

// nearID reports whether an IPv4 identification goes on from the one before.
func nearID(id, before uint16) bool { return id-before-1 < maxIDStep }

// hops returns how far a packet has come, if it began with one of the values
// that stacks use.
func hops(ttl uint8) int {
	for _, initial := range []int{32, 64, 128} {
		if int(ttl) <= initial {
			return initial - int(ttl)
		}
	}
	return 255 - int(ttl)
}

// fingerprint keeps what the end's RSTs are compared with. seg is one that
// counts, and not a RST.
func (e *End) fingerprint(seg *decode.Segment) {
	e.fingerprintTTL(seg)
	switch {
	case !e.is(counted) || !e.lastCopy().hasID || !seg.HasIPID:
	case !nearID(seg.IPID, e.lastCopy().ipID):
		e.idSteps = 0
	case e.idSteps < minIDSteps:
		e.idSteps++
	}
}

// fingerprintTTL keeps how far the end's segments come. The second copy of one
// that is captured before and behind a router counts too: which is the first to
// be captured may be otherwise with the RST.
func (e *End) fingerprintTTL(seg *decode.Segment) {
	if seg.TTL == 0 || seg.Flags.Has(decode.RST) {
		return
	}
	e.maxTTL = max(e.maxTTL, seg.TTL)
	if e.minTTL == 0 || seg.TTL < e.minTTL {
		e.minTTL = seg.TTL
	}
}

// A Refuted is a RST that counted until its supposed sender went on.
type Refuted struct {
	Reset
	WentOn uint64 // the frame by which it did
}

// A Blind is a segment that a modern stack doesn't let act on a connection: a RST
// in or beyond the window but not at the next number, or a SYN (RFC 5961 §3, §4);
// a FIN with a timestamp from the past, or beyond the window.
type Blind struct {
	Time      capture.Time
	Frame     uint64
	By        Role // its supposed sender
	Flags     decode.Flags
	InWindow  bool   // its number lies in the window of its target
	Marks     Marks  // of a RST
	Challenge uint64 // the acknowledgment that it drew; 0: none
	WentOn    uint64 // by which its supposed sender went on, or its peer did; 0: neither

	seq   uint32 // of a FIN: its own number
	taken bool   // a FIN that its target acknowledged: it was in its place
}

const (
	maxRefutedRSTs = 4 // kept of one connection
	maxBlind       = 8 // kept of one connection; all are counted
)

// addBlind notes a segment that has no effect on a connection that is in use.
func (c *Conn) addBlind(snd, rcv *End, seg *decode.Segment) {
	switch {
	case c.ends[0].cover.on || c.ends[1].cover.on || !snd.is(nxtKnown) || !snd.is(unaKnown):
		return // over, or no number is known to be the right one
	case seg.Flags.Has(decode.RST) && !after(seg.Seq, snd.una):
		return // an old duplicate, or the answer to one
	case seg.Flags.Has(decode.FIN) && !after(seg.End(), snd.nxt):
		return // likewise
	}
	c.blinds++
	if len(c.blind) == maxBlind {
		return
	}
	b := Blind{
		Time: seg.Time, Frame: seg.Frame, By: c.Role(snd), Flags: seg.Flags,
		InWindow: snd.inWindow(seg.Seq), seq: seg.Seq,
	}
	switch {
	case seg.Flags.Has(decode.RST):
		b.Marks = c.marks(snd, rcv, seg)
	case seg.Flags.Has(decode.FIN):
		b.seq = seg.End() - 1
	}
	c.blind = append(c.blind, b)
}

// blindSYN notes a SYN whose sender goes on with its old numbers, by seg: a
// stack takes it for no new connection. A copy of the connection's own SYN, or an
// older one's, may be the network's.
func (c *Conn) blindSYN(d *candidate, seg *decode.Segment) {
	if d.seg.Flags.Has(decode.ACK) || d.usedISN || d.stale {
		return
	}
	snd, rcv := c.direction(&d.seg)
	n := len(c.blind)
	if c.addBlind(snd, rcv, &d.seg); len(c.blind) > n {
		c.blind[n].WentOn, c.blind[n].Challenge = seg.Frame, d.challenger
	}
}

// witness lets seg, of snd, tell what became of segments without effect: that
// they were challenged, that the connection went on, or that they were in their
// place after all, and only captured before what precedes them.
func (c *Conn) witness(snd *End, seg *decode.Segment) {
	by, f := c.Role(snd), seg.Flags
	if f.Any(decode.SYN | decode.RST) {
		return
	}
	for i := range c.blind {
		b := &c.blind[i]
		switch {
		case b.taken:
		case by != b.By && b.Flags.Has(decode.FIN) && f.Has(decode.ACK) && seg.Ack == b.seq+1:
			b.taken, b.WentOn = true, 0
		case by != b.By:
			if b.Challenge == 0 && f == decode.ACK && seg.Len == 0 && seg.Time.Sub(b.Time) <= max(answerMax, snd.roundTrip()) &&
				c.Peer(snd).is(unaKnown) && seg.Ack == c.Peer(snd).una {
				b.Challenge = seg.Frame
			}
		case b.WentOn == 0 && seg.Time > b.Time && !before(seg.End(), snd.una) && snd.isNew(seg) && b.contradictedBy(snd, seg):
			b.WentOn = seg.Frame
		}
	}
}

// contradictedBy reports whether seg, a new one of snd in whose name b was sent,
// shows that snd did not send b.
func (b *Blind) contradictedBy(snd *End, seg *decode.Segment) bool {
	switch {
	case b.Flags.Has(decode.SYN):
		return true
	case b.Flags.Has(decode.FIN):
		return seg.Len > 0 && seg.Seq == snd.nxt // it goes on where it was
	}
	return before(seg.End(), b.seq) || seg.Time.Sub(b.Time) > max(outOfOrderWithin, snd.least())
}

// Refuted returns the first RSTs that counted until their supposed sender went
// on. The slice is valid until the next segment.
func (c *Conn) Refuted() []Refuted { return c.refuted }

// Blind returns the first segments that were to act on the connection and could
// not, and how many there were. The slice is valid until the next segment.
func (c *Conn) Blind() (first []Blind, n int) { return c.blind, c.blinds }

// A Reuse tells of the incarnation of the same addresses and ports before a
// connection.
type Reuse struct {
	State    [2]State // in which its ends were, by their roles in the new one
	Teardown Teardown
	Since    time.Duration // since its last segment
	Number   bool          // the new SYN's number is beyond its last one
	Stamp    bool          // the new SYN's timestamp is newer than its last one
}

// Reuse returns what is known of the incarnation before, if there was one within
// 2MSL.
func (c *Conn) Reuse() (Reuse, bool) { return value(c.reuse), c.reuse != nil }

// noteReuse keeps what c, of which seg is the first segment, finds of the
// incarnation before.
func (c *Conn) noteReuse(old *Conn, seg *decode.Segment) {
	snd, rcv := old.direction(seg)
	if seg.Flags.Has(decode.ACK) {
		return // a SYN,ACK doesn't tell whether the SYN was taken
	}
	c.reuse = &Reuse{
		State:    [2]State{snd.State(), rcv.State()},
		Teardown: old.Teardown(),
		Since:    seg.Time.Sub(max(snd.Sent(), rcv.Sent())),
		Number:   snd.is(nxtKnown) && after(seg.Seq, snd.nxt),
		Stamp:    snd.is(counted) && snd.lastCopy().hasTS && seg.Opts.Has(decode.OptTimestamps) && after(seg.TSVal, snd.lastCopy().tsVal),
	}
}
