package track

import (
	"strings"
	"time"

	"tcplife/decode"
)

// Notes says what is noteworthy about a segment. The kinds of retransmission and
// probe are told apart as Wireshark's documentation of tcp.analysis does.
type Notes uint32

// What may be noteworthy about a segment.
const (
	NoteMirrored        Notes = 1 << iota // the same frame captured before
	NoteBadChecksum                       // its TCP checksum is wrong
	NoteInvalid                           // flags that no stack takes
	NoteRetransmission                    // octets sent before
	NoteOutOfOrder                        // fills a hole that the network made
	NoteKeepAlive                         // one octet below the next, or none
	NoteKeepAliveAck                      // answers that
	NoteZeroWindow                        // closes the window
	NoteZeroWindowProbe                   // one octet into a closed window
	NoteWindowUpdate                      // changes nothing but the window
	NoteWindowFull                        // fills the window
	NoteDupAck                            // acknowledges the same again, octets being under way
	NoteGap                               // octets before it were not captured
	NoteUnseenAck                         // acknowledges octets that were not captured
	NoteWaits                             // it is not yet known whether it counts
	NoteOld                               // all of it was acknowledged before
	NoteStale                             // its timestamp is too old (RFC 7323 §5)
	NoteOutside                           // does not fit the connection's numbers
	NoteResetIgnored                      // a RST whose number closes nothing (RFC 5961 §3.2)
	NoteChallenge                         // acknowledges something older than the connection
	NoteCandidate                         // may begin a new incarnation
	NoteWithdrawn                         // contradicts a state presumed before
	NoteOffload                           // longer than its receiver takes: a network card is to split it, or has put it together
	numNotes            = iota
)

// NotesOfCapture are those that tell of the capture, and not of the connection.
const NotesOfCapture = NoteBadChecksum | NoteOffload

var noteNames = [numNotes]string{
	"mirror duplicate", "bad checksum", "invalid flags", "retransmission", "out of order",
	"keep-alive", "keep-alive ack", "zero window", "zero-window probe", "window update", "window full",
	"dup ack", "previous segment not captured", "acked unseen segment", "waits for confirmation",
	"old duplicate", "stale timestamp", "outside the connection", "reset ignored", "challenge ack",
	"new incarnation?", "withdraws a state", "segmentation offload",
}

// List returns the names of the notes.
func (n Notes) List() []string {
	var l []string
	for i, name := range noteNames {
		if n&(1<<i) != 0 {
			l = append(l, name)
		}
	}
	return l
}

// String returns the names of the notes, comma-separated.
func (n Notes) String() string { return strings.Join(n.List(), ", ") }

// outOfOrderWithin is how soon after the segments behind it a segment is still
// one that the network reordered, as Wireshark has it where no round trip is
// known.
const outOfOrderWithin = 3 * time.Millisecond

// examine compares seg with what its sender sent and received before.
func (c *Conn) examine(snd, rcv *End, seg *decode.Segment) (n Notes) {
	f, end := seg.Flags, seg.End()
	if neverCounts(seg) || f.Has(decode.RST) || seg.Checksum == decode.ChecksumBad {
		return 0
	}
	data := seg.Len > 0 || f.Any(decode.SYN|decode.FIN)
	if snd.is(nxtKnown) {
		switch {
		case seg.Len <= 1 && !f.Any(decode.SYN|decode.FIN) && seg.Seq == snd.nxt-1 && snd.state != SynSent && snd.state != SynReceived:
			n |= NoteKeepAlive
		case data && rcv.is(zeroWnd) && seg.Len == 1 && seg.Seq == snd.nxt:
			n |= NoteZeroWindowProbe
		case data && atMost(end, snd.nxt) && !(f.Has(decode.SYN) && !snd.is(sentSYN)) && !(f.Has(decode.SYN) && seg.Seq != snd.iss):
			if snd.holed() && seg.Time.Sub(snd.Sent()) < max(outOfOrderWithin, snd.least()) {
				n |= NoteOutOfOrder
			} else {
				n |= NoteRetransmission
			}
		case after(seg.Seq, snd.nxt) && !f.Has(decode.SYN):
			n |= NoteGap
		}
	}
	if f.Has(decode.ACK) && rcv.is(nxtKnown) && rcv.packets > 0 && after(seg.Ack, rcv.highest()) && !f.Has(decode.SYN) {
		n |= NoteUnseenAck
	}
	if seg.Wnd == 0 && !f.Any(decode.SYN|decode.FIN) && !seg.NoWnd {
		n |= NoteZeroWindow
	}
	if !data && n == 0 && snd.is(acks) && seg.Seq == snd.nxt && rcv.is(unaKnown) && seg.Ack == rcv.una {
		switch {
		case seg.Wnd != snd.lastWnd && !seg.Opts.Has(decode.OptSACK):
			n |= NoteWindowUpdate
		case rcv.is(keptAlive):
			n |= NoteKeepAliveAck
		case rcv.Unacked() > 0:
			n |= NoteDupAck
		}
	}
	if rcv.mss != 0 && seg.Len > uint32(rcv.mss) && !f.Has(decode.SYN) {
		n |= NoteOffload
	}
	if seg.Len > 0 && snd.is(edgeKnown) && end == snd.edge && n&NoteRetransmission == 0 {
		n |= NoteWindowFull
	}
	c.trail(snd, rcv, seg, n)
	return n
}

// trail keeps what later segments are compared with: how often in a row the end
// sent the same, and the octets whose acknowledgment measures a round trip.
func (c *Conn) trail(snd, rcv *End, seg *decode.Segment, n Notes) {
	snd.set(keptAlive, n&NoteKeepAlive != 0)
	switch again := n & (NoteRetransmission | NoteKeepAlive | NoteZeroWindowProbe); {
	case again != 0:
		if snd.streak.n++; snd.streak.n == 1 {
			snd.streak.from = snd.Sent()
		}
		snd.streak.gap = seg.Time.Sub(snd.Sent())
		rcv.probe.on = false
	case seg.Len > 0 || seg.Flags.Any(decode.SYN|decode.FIN):
		if p := &rcv.probe; rcv.rtt == 0 && !p.on && c.RoleBasis != BySYN {
			p.on, p.at, p.end = true, seg.Time, seg.End()
		}
	}
}
