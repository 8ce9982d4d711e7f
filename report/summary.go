package report

import (
	"cmp"
	"slices"

	"tcplife/decode"
	"tcplife/decode/capture"
	"tcplife/internal/fold"
	"tcplife/report/anomaly"
	"tcplife/track"
)

// numStates is the number of track's states: TIME_WAIT is the last of them.
const numStates = track.TimeWait + 1

// Outcome is how a connection ended, in one word or two, for people and totals.
type Outcome uint8

// Outcomes.
const (
	Closed        Outcome = iota // both ends sent FIN
	ResetByClient                //
	ResetByServer                //
	HalfClosed                   // one end sent FIN
	Open                         // neither FIN nor RST was captured
	Unanswered                   // SYN, and nothing came back
	Refused                      // RST answered the SYN
	Unreachable                  // ICMP error answered the SYN, and nothing else
	HalfOpen                     // SYN,ACK never acknowledged by the client
	numOutcomes
)

func (o Outcome) String() string {
	return [...]string{
		"closed", "reset-by-client", "reset-by-server", "half-closed", "open",
		"unanswered", "refused", "unreachable", "half-open-handshake",
	}[o]
}

// Outcomes returns all outcomes.
func Outcomes() []Outcome {
	all := make([]Outcome, numOutcomes)
	for i := range all {
		all[i] = Outcome(i)
	}
	return all
}

// OutcomeOf returns the outcome of a finished connection.
func OutcomeOf(c *track.Conn) Outcome {
	if c.Teardown() == track.ByRST {
		rst, ok := c.Reset()
		switch {
		case c.Handshake() == track.Refused:
			return Refused
		case ok && rst.By == track.Client:
			return ResetByClient
		default:
			return ResetByServer
		}
	}
	switch c.Handshake() {
	case track.Unanswered:
		if _, ok := c.ICMP(); ok {
			return Unreachable
		}
		return Unanswered
	case track.Refused:
		return Refused
	case track.HalfOpen:
		return HalfOpen
	}
	switch c.Teardown() {
	case track.ByFIN:
		return Closed
	case track.HalfClosed:
		return HalfClosed
	}
	return Open
}

// A Summary counts what a whole run has seen. Its memory is bounded, whatever
// the captures hold: rare servers and findings are folded into a remainder.
type Summary struct {
	Captures       uint64
	Packets, Bytes uint64 // of all frames
	First, Last    capture.Time
	Connections    uint64
	Segments       uint64
	PayloadBytes   uint64
	Retransmits    uint64
	Unseen         // of them
	Withdrawn      uint64
	Outcomes       [numOutcomes]uint64
	States         [2][numStates]uint64 // where clients and servers were at the end of their record
	ByRule         map[string]uint64    // findings
	LeftOut        uint64               // connections that were not asked for and are in none of these
	Filtered       uint64               // packets that were not wanted
	Skipped        uint64               // packets that are no TCP segment
	Warnings       uint64

	flaws    Flaws  // of the captures
	captured uint64 // connections in them, those left out too
	servers  fold.Map[serverKey, Server]
	groups   fold.Map[groupKey, Group]
	unjudged map[anomaly.NotJudged]uint64
}

func (m *Summary) init() {
	if m.ByRule != nil {
		return
	}
	m.ByRule = make(map[string]uint64)
	m.servers = fold.New[serverKey](maxServers, func(v *Server) uint64 { return v.Connections })
	m.groups = fold.New[groupKey](maxGroups, func(g *Group) uint64 { return g.Count })
	m.unjudged = make(map[anomaly.NotJudged]uint64)
}

// A Server is one address and port that connections went to.
type Server struct {
	Addr         decode.Addr
	Port         uint16
	Connections  uint64
	Bytes        uint64
	PayloadBytes uint64
	Outcomes     [numOutcomes]uint64
	Findings     uint64
}

type serverKey struct {
	addr decode.Addr
	port uint16
}

// A Group is the findings of one rule about one server with one suspect.
type Group struct {
	Rule     *anomaly.Rule
	Suspect  anomaly.Suspect
	Addr     decode.Addr
	Port     uint16
	Count    uint64 // of findings
	Several  bool   // each is about several connections
	Worst    anomaly.Severity
	Examples []Example // three of the worst severity, the worst first
}

// An Example is one finding of a Group.
type Example struct {
	Conn    uint64
	Frame   uint64 // the first that shows it, 0 if none
	Inputs  *Inputs
	Message string

	weight int64
}

type groupKey struct {
	rule    *anomaly.Rule
	suspect anomaly.Suspect
	serverKey
}

const (
	maxServers  = 1000 // what one screenful after another is still read for
	maxGroups   = 1000
	maxExamples = 3
)

// Connection counts a finished connection.
func (m *Summary) Connection(c *Connection) {
	m.init()
	cli, srv := c.Client(), c.Server()
	o := OutcomeOf(c.Conn)
	m.Connections++
	m.Segments += cli.Packets() + srv.Packets()
	m.PayloadBytes += cli.PayloadBytes() + srv.PayloadBytes()
	m.Retransmits += uint64(cli.Retransmits()) + uint64(srv.Retransmits())
	m.Tally(c.Conn)
	m.Withdrawn += uint64(c.Withdrawn())
	m.Outcomes[o]++
	m.States[track.Client][cli.State()]++
	m.States[track.Server][srv.State()]++

	key := serverKey{srv.Addr(), srv.Port()}
	v := m.servers.At(key)
	v.Addr, v.Port = srv.Addr(), srv.Port()
	v.Connections++
	v.Bytes += cli.Bytes() + srv.Bytes()
	v.PayloadBytes += cli.PayloadBytes() + srv.PayloadBytes()
	v.Outcomes[o]++
	v.Findings += uint64(len(c.Findings))

	for i := range c.Findings {
		f := &c.Findings[i]
		m.finding(f, key, c.ID, c.Inputs)
	}
	for _, n := range c.NotJudged {
		m.unjudged[n]++
	}
}

// Finding counts a finding that concerns several connections, or none.
func (m *Summary) Finding(f *Finding) {
	m.init()
	var conn uint64
	if len(f.Conns) > 0 {
		conn = f.Conns[0]
	}
	m.finding(&f.Finding, serverKey{f.Addr, f.Port}, conn, f.Inputs)
}

func (m *Summary) finding(f *anomaly.Finding, at serverKey, conn uint64, in *Inputs) {
	m.ByRule[f.Rule.Name]++
	if f.Rule.Flaw != nil {
		return // people are told by a note
	}
	g := m.groups.At(groupKey{f.Rule, f.Suspect, at})
	g.Rule, g.Suspect, g.Addr, g.Port = f.Rule, f.Suspect, at.addr, at.port
	g.Count++
	g.Several = f.Rule.Start != nil
	if f.Severity > g.Worst {
		g.Worst, g.Examples = f.Severity, g.Examples[:0]
	}
	if f.Severity < g.Worst || len(g.Examples) == maxExamples && f.Weight <= g.Examples[maxExamples-1].weight {
		return
	}
	x := Example{Conn: conn, Inputs: in, Message: f.Message, weight: f.Weight}
	if len(f.Packets) > 0 {
		x.Frame = f.Packets[0]
	}
	place := slices.IndexFunc(g.Examples, func(y Example) bool { return x.weight > y.weight })
	if place < 0 {
		place = len(g.Examples)
	}
	g.Examples = slices.Insert(g.Examples, place, x)
	g.Examples = g.Examples[:min(len(g.Examples), maxExamples)]
}

// Capture counts an input.
func (m *Summary) Capture(c *Capture) {
	m.Captures++
	if c.Packets > 0 {
		if m.Packets == 0 || c.First < m.First {
			m.First = c.First
		}
		if m.Packets == 0 || c.Last > m.Last {
			m.Last = c.Last
		}
	}
	m.Packets += c.Packets
	m.Bytes += c.Bytes
	m.Filtered += c.Filtered
	m.flaws.Add(&c.Flaws)
	m.captured += c.Connections
	for _, s := range c.Skipped {
		m.Skipped += s.Packets
	}
	m.Warnings += uint64(len(c.Warnings))
}

// Servers returns the servers, the busiest first, and how many connections went
// to others, which are not listed.
func (m *Summary) Servers() (list []*Server, rest uint64) {
	list, dropped := m.servers.Sorted(compareServers)
	return list, dropped
}

func compareServers(a, b *Server) int {
	return cmp.Or(
		cmp.Compare(b.Connections, a.Connections),
		a.Addr.IP().Compare(b.Addr.IP()),
		cmp.Compare(a.Port, b.Port),
	)
}

// Groups returns the findings by rule, server and suspect, the worst and most
// frequent first, and how many findings belong to groups that are not listed.
func (m *Summary) Groups() (list []*Group, rest uint64) {
	return m.groups.Sorted(func(a, b *Group) int {
		return cmp.Or(
			cmp.Compare(b.Worst, a.Worst),
			cmp.Compare(b.Count, a.Count),
			cmp.Compare(slices.Index(anomaly.All, a.Rule), slices.Index(anomaly.All, b.Rule)),
			a.Addr.IP().Compare(b.Addr.IP()),
			cmp.Compare(a.Port, b.Port),
			cmp.Compare(a.Suspect, b.Suspect),
		)
	})
}

// An Unjudged is how often a rule had reason to look closer, and could not tell.
type Unjudged struct {
	anomaly.NotJudged
	Connections uint64
}

// NotJudged returns what could not be judged, in the order of the rules.
func (m *Summary) NotJudged() (list []Unjudged) {
	for n, k := range m.unjudged {
		list = append(list, Unjudged{n, k})
	}
	slices.SortFunc(list, func(a, b Unjudged) int {
		return cmp.Or(
			cmp.Compare(slices.Index(anomaly.All, a.Rule), slices.Index(anomaly.All, b.Rule)),
			cmp.Compare(a.Why, b.Why),
		)
	})
	return list
}

// Findings returns the number of findings, but for those about the captures
// themselves.
func (m *Summary) Findings() uint64 {
	var n uint64
	for _, r := range anomaly.All {
		if r.Flaw == nil {
			n += m.ByRule[r.Name]
		}
	}
	return n
}
