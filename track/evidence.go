package track

import (
	"time"

	"tcplife/decode"
	"tcplife/decode/capture"
)

// Repeats are segments in a row with which an end sent again what it had sent, or
// probed, and heard nothing from its peer since.
type Repeats struct {
	Kind                  Notes // of the last: NoteRetransmission, NoteKeepAlive or NoteZeroWindowProbe
	N                     int
	Before                capture.Time // of the end's last segment before them
	First, Last           capture.Time
	FirstFrame, LastFrame uint64
	Gap                   time.Duration // between the last two; of one, since Before
}

// Repeats returns the end's repetitions that have got no answer of any kind; N is
// 0 if there are none, or its peer has sent a segment since.
func (e *End) Repeats() Repeats { return value(e.repeats) }

// A ZeroWindow tells of the times that an end had its receive window closed while
// its peer had something to send: it probed, or sent as soon as the window was open.
type ZeroWindow struct {
	Times     int
	Total     time.Duration
	Longest   time.Duration
	From      capture.Time // of the longest
	FromFrame uint64       // that closed the window then
	ToFrame   uint64       // that opened it again; 0: none did
	Probes    int          // of the window, in all of them
}

// zeroWindow is how a ZeroWindow comes about.
type zeroWindow struct {
	ZeroWindow
	from      capture.Time // closed since, 0: open
	fromFrame uint64
	probes    int          // since
	opened    capture.Time // from is valid still, and whether anybody waited is not known yet; 0: no such
	toFrame   uint64
}

// ZeroWindow returns how the end's receive window was closed, up to now.
func (e *End) ZeroWindow(now capture.Time) ZeroWindow {
	z := value(e.zero)
	if z.from != 0 && z.opened == 0 && z.probes > 0 {
		z.add(now, 0)
	}
	return z.ZeroWindow
}

// add counts the time that the window was closed, until it was opened by a frame.
func (z *zeroWindow) add(until capture.Time, frame uint64) {
	d := until.Sub(z.from)
	z.Times++
	z.Total += d
	z.Probes += z.probes
	if d > z.Longest {
		z.Longest, z.From, z.FromFrame, z.ToFrame = d, z.from, z.fromFrame, frame
	}
	z.open()
}

// open forgets the time at hand.
func (z *zeroWindow) open() { z.from, z.fromFrame, z.probes, z.opened, z.toFrame = 0, 0, 0, 0, 0 }

// Invalid are segments with flags that no stack sends.
type Invalid struct {
	N     int
	By    Role // of the first, as are the others
	Flags decode.Flags
	Time  capture.Time
	Frame uint64
}

// Invalid returns the segments with impossible flags; N is 0 if there are none.
func (c *Conn) Invalid() Invalid {
	i := value(c.invalid)
	i.By = c.Role(&c.ends[i.By])
	return i
}

// SYNData is payload on a SYN that did not ask for Fast Open (RFC 7413).
type SYNData struct {
	Octets uint32 // 0: there is none
	Time   capture.Time
	Frame  uint64
}

// SYNData returns the payload on the client's SYN, unless the SYN,ACK acknowledged
// it: that is Fast Open, agreed on without the option.
func (c *Conn) SYNData() SYNData {
	if c.ends[0].is(fastOpen) && c.completeness&SawSYNACK != 0 {
		return SYNData{}
	}
	return value(c.synData)
}

// A BadAck is an acknowledgment in the handshake of what was never sent.
type BadAck struct {
	By       Role // who sent it
	Time     capture.Time
	Frame    uint64 // 0: there is none
	Ack      uint32
	Off      int32  // by how much it differs from the right one
	Answered uint64 // frame of the RST that refused it; 0: none did
}

// BadAck returns the first acknowledgment in the handshake of what was never sent.
func (c *Conn) BadAck() BadAck {
	b := value(c.badAck)
	b.By = c.Role(&c.ends[b.By])
	return b
}

// maxTries is how many SYNs an end's times are kept of: Linux sends eleven.
const maxTries = 12

// Tries returns when each of the end's SYNs or SYN,ACKs was sent, the first
// maxTries of them, since the first one.
func (e *End) Tries() []time.Duration {
	if e.SYN() == 0 {
		return nil
	}
	all := []time.Duration{0}
	tries := value(e.tries)
	for _, ms := range tries[:min(maxTries, int(e.SYN()))-1] {
		all = append(all, time.Duration(ms)*time.Millisecond)
	}
	return all
}

// Refuted returns how often the end repeated its SYN,ACK although it had been
// acknowledged.
func (e *End) Refuted() int { return int(e.refuted) }

// Acted reports whether the end did what proves that its SYN was acknowledged.
func (e *End) Acted() bool { return e.is(acted) }

// wantedWithin is how soon after a window is open again its peer sends, if it had
// been waiting for that.
const wantedWithin = time.Second

// collect keeps what rules need of seg that the connection's state does not: all
// of it is zero for the common connection.
func (c *Conn) collect(snd, rcv *End, seg *decode.Segment) {
	f, n := seg.Flags, c.notes
	rcv.repeats = nil // answered
	if n&(NoteRetransmission|NoteKeepAlive|NoteZeroWindowProbe) != 0 && !f.Has(decode.SYN) {
		snd.repeat(seg, n)
		if z := rcv.zero; z != nil && z.from != 0 && z.opened == 0 && n&(NoteKeepAlive|NoteZeroWindowProbe) != 0 {
			z.probes++
		}
	}
	if f.Any(decode.SYN|decode.RST) || seg.NoWnd {
		c.collectSYN(snd, seg)
	} else if n&NoteZeroWindow != 0 || snd.zero != nil && snd.zero.from != 0 {
		snd.window(seg)
	}
	if z := rcv.zero; z != nil && z.opened != 0 {
		switch {
		case seg.Time.Sub(z.opened) > wantedWithin:
			z.open()
		case seg.Len > 0:
			z.add(z.opened, z.toFrame)
		}
		if *z == (zeroWindow{}) {
			rcv.zero = nil
		}
	}
	if neverCounts(seg) && seg.Checksum != decode.ChecksumBad {
		if c.invalid == nil {
			c.invalid = &Invalid{By: Role(c.index(snd)), Flags: f, Time: seg.Time, Frame: seg.Frame}
		}
		c.invalid.N++
	}
}

// repeat counts a repetition.
func (e *End) repeat(seg *decode.Segment, n Notes) {
	r := own(&e.repeats)
	if r.N == 0 {
		r.Before, r.First, r.FirstFrame = e.Sent(), seg.Time, seg.Frame
		r.Gap = seg.Time.Sub(e.Sent())
	} else {
		r.Gap = seg.Time.Sub(r.Last)
	}
	r.N++
	r.Kind, r.Last, r.LastFrame = n&(NoteRetransmission|NoteKeepAlive|NoteZeroWindowProbe), seg.Time, seg.Frame
}

// window follows the end's receive window through closed and open.
func (e *End) window(seg *decode.Segment) {
	z := own(&e.zero)
	switch {
	case seg.Wnd == 0 && z.from == 0:
		z.from, z.fromFrame = seg.Time, seg.Frame
	case seg.Wnd == 0 && z.opened != 0: // closed again before anybody sent
		z.open()
		z.from, z.fromFrame = seg.Time, seg.Frame
	case seg.Wnd == 0 || z.from == 0 || z.opened != 0:
	case z.probes > 0:
		z.add(seg.Time, seg.Frame)
	default:
		z.opened, z.toFrame = seg.Time, seg.Frame
	}
}

// collectSYN keeps the time of a repeated SYN, and payload on one.
func (c *Conn) collectSYN(snd *End, seg *decode.Segment) {
	f := seg.Flags
	if !f.Has(decode.SYN) {
		return
	}
	if i := int(snd.SYN()) - 2; i >= 0 && i < maxTries-1 {
		first, _ := snd.SYNs()
		own(&snd.tries)[i] = uint32(min(max(0, seg.Time.Sub(first)/time.Millisecond), 1<<32-1))
	}
	if seg.Len > 0 && !f.Any(decode.ACK|decode.FIN|decode.RST) && !seg.Opts.Has(decode.OptFastOpen) && !seg.Opts.Has(decode.OptUnknown) && c.synData == nil {
		c.synData = &SYNData{seg.Len, seg.Time, seg.Frame}
	}
}

// refuseAck keeps an acknowledgment by snd, in the handshake, of what rcv never
// sent.
func (c *Conn) refuseAck(snd, rcv *End, seg *decode.Segment) {
	if c.badAck == nil && rcv.is(issKnown) {
		c.badAck = &BadAck{By: Role(c.index(snd)), Time: seg.Time, Frame: seg.Frame, Ack: seg.Ack, Off: int32(seg.Ack - rcv.nxt)}
	}
}

// answerBadAck keeps the RST by snd that refuses an acknowledgment in the
// handshake.
func (c *Conn) answerBadAck(snd, rcv *End, seg *decode.Segment) {
	if snd.state == SynReceived && c.badAck == nil && !seg.Flags.Has(decode.ACK) {
		for i := range c.held {
			if h := &c.held[i]; h.why == unseenAck && h.seg.Ack == seg.Seq {
				if from, _ := c.direction(&h.seg); from == rcv {
					c.refuseAck(rcv, snd, &h.seg)
				}
			}
		}
	}
	if b := c.badAck; b != nil && b.Answered == 0 && int(b.By) == int(c.index(rcv)) && seg.Seq == b.Ack {
		b.Answered = seg.Frame
	}
}
