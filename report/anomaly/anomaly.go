// Package anomaly looks at finished connections and reports what deserves a
// person's minute: which end to look at, what the wire shows, and in which frames.
//
// To add a rule, write NAME.go with a variable of type *[Rule], list it in [All],
// and write testdata/NAME.txtar with a script in which it fires and a near miss
// in which it is silent. The tests refuse a rule that lacks one of them.
package anomaly

import (
	"strings"

	"tcplife/decode"
	"tcplife/decode/capture"
	"tcplife/track"
)

// All is every rule, in the order of reports. The commented ones are planned.
var All = []*Rule{
	// The handshake.
	SynUnanswered,
	ConnectionRefused,
	ICMPRejected,
	HalfOpenHandshake,
	AcceptQueueFull,
	HandshakeRetried,
	HandshakeReset,
	BadHandshakeAck,
	SimultaneousOpen,
	SYNData,
	InvalidFlags,

	// Resets.
	ResetByClient,
	ResetByServer,
	IdleTimeoutReset,
	ForgedReset,
	BlindSegments,
	HalfOpenPeer,

	// Silence.
	PeerDead,
	KeepaliveUnanswered,
	ZeroWindowStall,

	// The close.
	CloseWait,
	FinWait2,
	FinUnanswered,
	DataAfterClose,
	RequestLostToClose,
	CloseWithUnreadData,
	DataBeyondFIN,
	TimeWaitKilled,
	PortReused,
	NeverClosed,

	// Many connections.
	SYNFlood,
	PortScan,
	BacklogPressure,
	PortExhaustion,
	TimeWaitBuildUp,
	ServerClosesFirst,
	CloseWaitLeak,
	ConnectionChurn,
	PredictableISN,
	ResetsCluster,

	// The capture itself.
	OneSidedCapture,
	CaptureGaps,
	DuplicatePackets,
	StartedLate,
	CutShort,
	BadChecksum,
	ClockBackwards,
}

// A Rule tells one kind of trouble. It has either Check, to look at one connection,
// or Start, to look at many, or Flaw, to look at the capture itself.
type Rule struct {
	Name     string   // as in flags and reports: lower case, hyphenated
	Severity Severity // of its findings, unless one says otherwise
	Ref      string   // the text the connection departs from, such as "RFC 9293 §3.6.1"
	Doc      string   // first line a title; then cause; then when it is harmless or the rule silent
	Settings []*Setting
	// Explains names the rules whose findings are echoes of this one's: about the
	// same connection, or one that a Watch covers, they are left out.
	Explains []string
	// Also tells which common connections Check or Look want to see, besides the
	// rare ones.
	Also  Kinds
	Check func(*Pass)
	Start func() Watch
	// Flaw returns what there is to say of a capture with that many packets and
	// connections, "" if nothing.
	Flaw func(f *Flaws, packets, connections uint64) string
}

// Kinds are common kinds of connections. What is told of neither by track.Conn is
// in the doc of its method Plain. Nearly all connections are plain, and nearly all
// rules have nothing to say of those, so they aren't asked.
type Kinds uint8

// Kinds of connections.
const (
	Plain   Kinds = 1 << plain   // nothing about them is rare, and there is more than a SYN
	LoneSYN Kinds = 1 << loneSYN // a SYN and nothing else, as in a flood
)

// A class is what Kinds are sets of.
type class uint8

const (
	rare class = iota
	plain
	loneSYN
	numClasses
)

// asked calls do with each class that the rule wants to see.
func (r *Rule) asked(do func(class)) {
	for of := range numClasses {
		if of == rare || r.Also&(1<<of) != 0 {
			do(of)
		}
	}
}

// A Watch is one run of a rule that looks at many connections. What it keeps is
// bounded, whatever the capture holds.
type Watch struct {
	// Look is called with each connection once, in the order in which their
	// records are closed, which is not that of time; findings in it are not of the
	// connection.
	Look func(*Pass)
	// Judge reports what has become true and was not reported before. It is called
	// at the end and, while a capture goes on live, from time to time.
	Judge func(*Pass)
	// Covers reports whether the connection is one of those that a finding is
	// about, or will be. Nil covers none.
	Covers func(*Pass) bool
}

// Title returns the first line of the rule's Doc.
func (r *Rule) Title() string {
	title, _, _ := strings.Cut(r.Doc, "\n")
	return title
}

// Find returns the rule of that name, or nil.
func Find(name string) *Rule {
	for _, r := range All {
		if r.Name == name {
			return r
		}
	}
	return nil
}

// Severity is the weight of a finding.
type Severity uint8

// Severities, the lightest first. The zero Severity is that of the rule.
const (
	_     Severity = iota
	Note           // worth knowing
	Warn           // likely hurts
	Error          // did hurt, or an attack
)

func (s Severity) String() string { return [...]string{"", "note", "warn", "error"}[s] }

// A Suspect is who to look at first.
type Suspect uint8

// Suspects.
const (
	NoSuspect Suspect = iota
	ClientApp
	ServerApp
	ClientHost
	ServerHost
	Network
	Middlebox
	Attacker
	TheCapture
)

func (s Suspect) String() string {
	return [...]string{
		"", "client-app", "server-app", "client-host", "server-host",
		"network", "middlebox", "attacker", "capture",
	}[s]
}

// HostOf returns the host at the end of that role.
func HostOf(r track.Role) Suspect { return [...]Suspect{ClientHost, ServerHost}[r] }

// AppOf returns the program at the end of that role.
func AppOf(r track.Role) Suspect { return [...]Suspect{ClientApp, ServerApp}[r] }

// A Finding is what a rule has to say.
type Finding struct {
	Rule     *Rule
	Severity Severity
	Side     Side
	Suspect  Suspect
	Time     capture.Time // of what is found, not of its discovery
	Packets  []uint64     // frames that show it, ascending
	Message  string       // what the wire shows: values, no adjectives
	Weight   int64        // how bad it is beside others of its rule: ns, octets or a count; 0 if nothing tells

	// Of a finding about several connections: some of their ids, the first of them,
	// and the address that it is about, with its port if it has one.
	Conns []uint64
	Addr  decode.Addr
	Port  uint16
}

// Side is the end that a finding is about, if it is about one.
type Side uint8

// Sides.
const (
	NoSide Side = iota
	ClientSide
	ServerSide
)

// SideOf returns the side of the end of that role.
func SideOf(r track.Role) Side { return Side(r) + 1 }

func (s Side) String() string { return [...]string{"", "client", "server"}[s] }
