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

// A Tracker follows every connection of one observation.
type Tracker struct {
	// Done is called with each connection when its record is final. The
	// connection is valid until Done returns.
	Done func(*Conn)
	// Observe, if set, is called after each segment with the connection that it
	// was counted in, and what is noteworthy about it.
	Observe func(*Conn, *decode.Segment, Notes)
}

// New returns a Tracker.
func New(cfg Config) *Tracker { return &Tracker{} }

// Segment takes the next segment.
func (t *Tracker) Segment(seg *decode.Segment) {}

// ICMP takes an ICMP error that quotes a segment.
func (t *Tracker) ICMP(e *decode.ICMPError) {}

// Tick moves the clock by a frame that is neither. Every captured frame must
// reach the tracker, by Segment, ICMP or Tick, in capture order.
func (t *Tracker) Tick(now capture.Time, frame uint64) {}

// Finish ends the observation: what is still open is handed to Done.
func (t *Tracker) Finish() {}

// Now returns the capture's clock: the latest time of any frame.
func (t *Tracker) Now() capture.Time { return 0 }

// Conn is one connection: one incarnation of a pair of addresses and ports.
type Conn struct {
	ID           uint64 // counts connections by first segment, from 1; gaps are possible
	Context      uint32 // encapsulation; see decode.Decoder.Context
	RoleBasis    RoleBasis
	EndReason    EndReason
	First, Last  uint64 // frames of the first and last segment
	Start, End   capture.Time
	Midstream    bool // the handshake was not captured
	Gaps         int  // times that segments were acknowledged which were not captured
	Duplicates   int  // mirror duplicates left out
	Withdrawn    int  // moves taken back
	Completeness Completeness
}

// Client and Server return the ends by role.
func (c *Conn) Client() *End { return nil }
func (c *Conn) Server() *End { return nil }

// Ends returns client and server.
func (c *Conn) Ends() [2]*End { return [2]*End{} }

// Role returns the role of e, which must be an end of c.
func (c *Conn) Role(e *End) Role { return 0 }

// Peer returns the other end.
func (c *Conn) Peer(e *End) *End { return nil }

func (c *Conn) OneSided() bool                       { return false } // only one end was ever seen to send
func (c *Conn) Handshake() Handshake                 { return 0 }
func (c *Conn) HandshakeTime() (time.Duration, bool) { return 0, false } // first SYN to the ACK that completes it
func (c *Conn) Teardown() Teardown                   { return 0 }
func (c *Conn) ClosedFirst() ClosedFirst             { return 0 }
func (c *Conn) Reset() (Reset, bool)                 { return Reset{}, false } // the last RST that counts
func (c *Conn) ICMP() (ICMPNote, bool)               { return ICMPNote{}, false }

// End is one end of a connection. Counters are of what it sent.
type End struct {
	Addr          decode.Addr
	Port          uint16
	Packets       uint64
	Bytes         uint64 // octets of frames on the wire
	PayloadBytes  uint64 // octets of TCP payload, retransmissions included
	SYN, FIN, RST uint32 // segments with the flag
	Retransmits   uint32
	Sent          capture.Time // when it last sent a segment
	SentFrame     uint64       // that segment
}

func (e *End) State() State                     { return 0 }
func (e *End) Since() capture.Time              { return 0 } // when it entered State
func (e *End) SinceFrame() uint64               { return 0 } // the frame that shows it
func (e *End) Basis() Basis                     { return 0 }
func (e *End) MayBe(now capture.Time) States    { return 0 }        // other states the same segments allow; empty: State is proved
func (e *End) Transitions() []Transition        { return nil }      // in the order in which the end made them
func (e *End) ISN() (uint32, bool)              { return 0, false } // raw
func (e *End) ClosedWith() Closer               { return 0 }
func (e *End) Unacked() uint32                  { return 0 }    // octets sent (SYN, FIN too) that its peer has not acknowledged
func (e *End) SYNs() (first, last capture.Time) { return 0, 0 } // of its SYNs or SYN,ACKs, if it sent any

// Notes says what is noteworthy about a segment.
type Notes uint32

func (n Notes) String() string { return "" } // comma-separated, such as "retransmission"
func (n Notes) List() []string { return nil }
