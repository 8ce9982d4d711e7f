// Package anomaly looks at finished connections and reports what deserves a
// person's minute: which end to look at, what the wire shows, and in which frames.
//
// To add a rule, write NAME.go with a variable of type *[Rule], list it in [All],
// and write testdata/NAME.txtar with a script in which it fires and a near miss
// in which it is silent. The tests refuse a rule that lacks one of them.
package anomaly

import (
	"fmt"
	"strings"

	"tcplife/decode/capture"
	"tcplife/track"
)

// All is every rule, in the order of reports. The commented ones are planned.
var All = []*Rule{
	// The handshake.
	SynUnanswered,
	ConnectionRefused,
	// icmp-rejected
	HalfOpenHandshake,
	// handshake-retried
	// accept-queue-full
	// handshake-reset
	// bad-handshake-ack
	// simultaneous-open
	// syn-data

	// Resets.
	ResetByClient,
	ResetByServer,
	// idle-timeout-reset
	// forged-reset
	// blind-segments
	// half-open-peer

	// Silence.
	// peer-dead
	// keepalive-unanswered
	// zero-window-stall

	// The close.
	CloseWait,
	// fin-wait-2
	// fin-unanswered
	// data-after-close
	// request-lost-to-close
	// close-with-unread-data
	// data-beyond-fin
	// time-wait-killed
	// port-reused
	// never-closed
	// invalid-flags

	// Many connections: these need a Start field beside Check, which the first
	// of them will add: syn-flood, port-scan, time-wait-build-up,
	// port-exhaustion, close-wait-leak, backlog-pressure, connection-churn,
	// server-closes-first, predictable-isn, resets-cluster.
}

// A Rule tells one kind of trouble.
type Rule struct {
	Name     string   // as in flags and reports: lower case, hyphenated
	Severity Severity // of its findings, unless one says otherwise
	Ref      string   // the text the connection departs from, such as "RFC 9293 §3.6.1"
	Doc      string   // first line a title; then cause; then when it is harmless or the rule silent
	Check    func(*Pass)
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
	Conns    []uint64     // ids of the connections, if it concerns several
	Message  string       // what the wire shows: values, no adjectives
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

// A Pass is one look of one rule at one connection.
type Pass struct {
	Conn *track.Conn
	// Now is the capture's clock when the connection's record was closed. That
	// nothing has happened for a minute is known by it alone: by a later frame of
	// any other connection or protocol, or by the last frame of the capture.
	Now capture.Time

	rule     *Rule
	findings []Finding
}

// Report adds a finding. Rule, and Severity if it is zero, are filled in.
func (p *Pass) Report(f Finding) {
	f.Rule = p.rule
	if f.Severity == 0 {
		f.Severity = p.rule.Severity
	}
	p.findings = append(p.findings, f)
}

// Reportf adds a finding about the end e.
func (p *Pass) Reportf(e *track.End, by Suspect, at capture.Time, frames []uint64, format string, args ...any) {
	p.Report(Finding{
		Side: SideOf(p.Conn.Role(e)), Suspect: by, Time: at, Packets: frames,
		Message: fmt.Sprintf(format, args...),
	})
}

// A Checker applies rules to connections, one after the other.
type Checker struct {
	rules []*Rule
	pass  Pass
}

// NewChecker returns a Checker for the rules.
func NewChecker(rules []*Rule) *Checker { return &Checker{rules: rules} }

// Check returns the findings about a connection whose record was closed at now,
// in the order of the rules. They are valid until the next call.
func (k *Checker) Check(c *track.Conn, now capture.Time) []Finding {
	k.pass.Conn, k.pass.Now = c, now
	clear(k.pass.findings)
	k.pass.findings = k.pass.findings[:0]
	for _, r := range k.rules {
		k.pass.rule = r
		r.Check(&k.pass)
	}
	return k.pass.findings
}
