package track

import (
	"time"

	"tcplife/decode"
	"tcplife/decode/capture"
)

// A Basis says what shows that an end changed its state.
type Basis uint8

// Bases of a transition.
const (
	Sent     Basis = iota // the end's own segment
	Received              // a segment of its peer that is taken to have arrived
	Timer                 // the capture's clock
)

func (b Basis) String() string { return [...]string{"sent", "received", "timer"}[b] }

// A Transition is one change of one end's state.
type Transition struct {
	From, To State
	Basis    Basis
	Time     capture.Time
	Frame    uint64 // that shows it
}

// A Role is one of the two parties to a connection.
type Role uint8

// The two roles.
const (
	Client Role = iota
	Server
)

func (r Role) String() string { return [...]string{"client", "server"}[r] }

// A RoleBasis says what tells the client from the server.
type RoleBasis uint8

// Bases of roles, the surest first.
const (
	BySYN    RoleBasis = iota // sent the first SYN
	BySYNACK                  // received the first SYN,ACK
	ByPort                    // the other port is likelier to serve
	ByFirst                   // sent the first segment captured
)

func (b RoleBasis) String() string { return [...]string{"syn", "synack", "port", "first"}[b] }

// A Handshake says how a connection began.
type Handshake uint8

// Ways to begin.
const (
	Missed       Handshake = iota // before the capture, or not captured
	Unanswered                    // SYN, and nothing came back
	Refused                       // RST answered the SYN
	HalfOpen                      // SYN,ACK never acknowledged by the client
	Complete                      // SYN, SYN,ACK, ACK
	Simultaneous                  // both ends sent SYN (RFC 9293 Figure 7)
)

func (h Handshake) String() string {
	return [...]string{"missed", "unanswered", "refused", "half-open", "complete", "simultaneous"}[h]
}

// A Teardown says how a connection ended.
type Teardown uint8

// Ways to end.
const (
	NotClosed  Teardown = iota // no FIN and no RST that counts
	HalfClosed                 // one end sent FIN
	ByFIN                      // both ends sent FIN
	ByRST                      // a RST that counts, before both FINs
)

func (t Teardown) String() string {
	return [...]string{"none", "half-closed", "fin", "rst"}[t]
}

// An EndReason says why the record of a connection was closed.
type EndReason uint8

// Reasons to close a record.
const (
	CaptureEnd   EndReason = iota // the capture ended first
	EndClosed                     // both ends are closed
	EndReset                      // closed by a RST
	TimeWaitOver                  // 2MSL passed
	Reused                        // the ports were used again
	Evicted                       // the memory limit was reached
)

func (r EndReason) String() string {
	return [...]string{"capture-end", "closed", "reset", "time-wait-over", "reused", "evicted"}[r]
}

// A Closer is how an application ended its half of a connection, as far as the
// wire tells.
type Closer uint8

// Ways to close.
const (
	NoCloser   Closer = iota // the wire does not tell
	ByClose                  // close(): later data met a RST
	ByShutdown               // shutdown(SHUT_WR): later data was acknowledged
	ByAbort                  // its RST ended the connection
)

func (c Closer) String() string { return [...]string{"", "close", "shutdown", "reset"}[c] }

// ClosedFirst says which end began to close the connection.
type ClosedFirst uint8

// Who closed first.
const (
	NoneFirst ClosedFirst = iota
	ClientFirst
	ServerFirst
	BothFirst
)

func (c ClosedFirst) String() string { return [...]string{"none", "client", "server", "both"}[c] }

// Completeness tells what of a connection's life was captured, with the bits of
// Wireshark's tcp.completeness.
type Completeness uint8

// What was captured.
const (
	SawSYN Completeness = 1 << iota
	SawSYNACK
	SawACK
	SawData
	SawFIN
	SawRST
)

// A Reset describes a RST that closed a connection.
type Reset struct {
	Time  capture.Time
	Frame uint64
	By    Role
	ACK   bool   // RST,ACK: an abort; a bare RST is a host's stateless reply
	Wnd   uint16 // 0 in stateless replies
	TTL   uint8
	Idle  time.Duration // since the last segment before it, from either end
	State [2]State      // of client and server when it passed
}

// An ICMPNote describes an ICMP error that quoted a segment of a connection.
type ICMPNote struct {
	Time       capture.Time
	Frame      uint64
	From       decode.Addr
	Type, Code uint8
	V6         bool
}
