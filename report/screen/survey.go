// Package screen shows on a terminal what connections do while they do it. A user
// sees which are there, in which states both ends are, and what is wrong.
package screen

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"tcplife/decode/capture"
	"tcplife/report/anomaly"
	"tcplife/track"
)

const numStates = track.TimeWait + 1

// A Sort is an order of connections.
type Sort uint8

// Orders, of which the first is the default.
const (
	ByState Sort = iota // what is stuck first: by how unusual the state is to stay in
	ByAge               // the oldest first
	ByBytes             // the most first
	ByIdle              // the longest silent first
	numSorts
)

func (s Sort) String() string { return [numSorts]string{"state", "age", "bytes", "idle"}[s] }

// A Query is which connections the user wants to see.
type Query struct {
	Sort    Sort
	Reverse bool
	Filter  string // a part of an address with port, or of a state's name; capitals are no matter
	Conn    uint64 // the one that is shown alone; 0: none
}

// A Row is a connection.
type Row struct {
	ID          uint64
	Client      netip.AddrPort
	Server      netip.AddrPort
	States      [2]track.State
	MayBe       [2]bool // the same segments allow another state
	Bytes       uint64
	Start, Last capture.Time
}

// A Survey is what there is at one time.
type Survey struct {
	Now             capture.Time
	Open            uint64
	States          [numStates]uint64 // of both ends
	Packets         uint64
	Dropped         uint64 // by the kernel
	Tracking, Limit uint64 // octets that connections take, and may take
	Query           Query
	Matching        uint64 // connections that Query.Filter lets pass
	Rows            []Row  // the first of them
	Alone           *Alone // Query.Conn, nil if its record is closed
}

// maxRows is more than fits on any screen, and few to sort.
const maxRows = 500

// NewSurvey returns a Survey of nothing.
func NewSurvey(now capture.Time, q Query) *Survey {
	q.Filter = strings.ToLower(q.Filter)
	return &Survey{Now: now, Query: q}
}

// Connection takes in an open connection.
func (s *Survey) Connection(id uint64, c *track.Conn) {
	s.Open++
	r := Row{
		ID: id, Client: endpoint(c.Client()), Server: endpoint(c.Server()),
		Bytes: c.Client().Bytes() + c.Server().Bytes(), Start: c.Start, Last: c.End(),
	}
	for i, e := range c.Ends() {
		r.States[i] = e.State()
		s.States[r.States[i]]++
	}
	if id == s.Query.Conn {
		s.Alone = alone(c, r)
	}
	if !s.Query.wants(&r) {
		return
	}
	s.Matching++
	if len(s.Rows) >= maxRows && s.Query.compare(&r, &s.Rows[maxRows-1]) >= 0 {
		return
	}
	for i, e := range c.Ends() {
		r.MayBe[i] = e.MayBe(s.Now) != 0
	}
	if s.Rows = append(s.Rows, r); len(s.Rows) >= 2*maxRows {
		s.Sort()
	}
}

// Sort puts the rows in order and leaves out those too many. It must be called
// after the last connection.
func (s *Survey) Sort() {
	slices.SortFunc(s.Rows, func(a, b Row) int { return s.Query.compare(&a, &b) })
	s.Rows = s.Rows[:min(maxRows, len(s.Rows))]
}

func endpoint(e *track.End) netip.AddrPort { return netip.AddrPortFrom(e.Addr().IP(), e.Port()) }

func (q *Query) wants(r *Row) bool {
	if q.Filter == "" {
		return true
	}
	for _, text := range [...]string{r.Client.String(), r.Server.String(), r.States[0].String(), r.States[1].String()} {
		if strings.Contains(strings.ToLower(text), q.Filter) {
			return true
		}
	}
	return false
}

// stuck is how much a state deserves a look: those that a program or a peer keeps an
// end in come first, and what is in order last.
var stuck = [numStates]int{
	track.CloseWait: 9, track.SynReceived: 8, track.SynSent: 7, track.LastAck: 6, track.FinWait1: 5,
	track.Closing: 4, track.FinWait2: 3, track.Established: 2, track.TimeWait: 1,
}

func (q *Query) compare(a, b *Row) int {
	var c int
	switch q.Sort {
	case ByState:
		worst := func(r *Row) int { return max(stuck[r.States[0]], stuck[r.States[1]]) }
		c = cmp.Compare(worst(b), worst(a))
	case ByBytes:
		c = cmp.Compare(b.Bytes, a.Bytes)
	case ByIdle:
		c = cmp.Compare(a.Last, b.Last)
	}
	c = cmp.Or(c, cmp.Compare(a.Start, b.Start), cmp.Compare(a.ID, b.ID))
	if q.Reverse {
		return -c
	}
	return c
}

// Alone is a connection with its ladder.
type Alone struct {
	Row
	Steps []Step
}

// A Step is a change of state, of one end or, by the same frame, of both.
type Step struct {
	Time   capture.Time
	Frame  uint64         // 0: the clock
	States [2]track.State // after it
	By     track.Role     // who sent the segment
	Timer  bool           // nobody did
}

// alone puts the transitions of both ends into one order.
func alone(c *track.Conn, r Row) *Alone {
	a := &Alone{Row: r}
	type move struct {
		track.Transition
		role track.Role
	}
	var all []move
	now := r.States
	for i, e := range c.Ends() {
		for j, t := range e.Transitions() {
			if j == 0 {
				now[i] = t.From
			}
			all = append(all, move{t, track.Role(i)})
		}
	}
	slices.SortStableFunc(all, func(a, b move) int { return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.Frame, b.Frame)) })
	for _, m := range all {
		now[m.role] = m.To
		by := m.role
		if m.Basis == track.Received {
			by = 1 - by
		}
		if n := len(a.Steps); n > 0 && m.Frame != 0 && a.Steps[n-1].Frame == m.Frame {
			a.Steps[n-1].States = now
			continue
		}
		a.Steps = append(a.Steps, Step{m.Time, m.Frame, now, by, m.Basis == track.Timer})
	}
	return a
}

// A Finding is what was found about a connection, or, if Conn is 0, about several.
type Finding struct {
	Time     capture.Time
	Rule     string
	Severity anomaly.Severity
	At       netip.AddrPort // port 0: all
	Conn     uint64
	Message  string
}

// age returns how long something lasts, in at most 4 columns.
func age(d time.Duration) string {
	for _, unit := range [...]struct {
		of   time.Duration
		name string
	}{{time.Second, "s"}, {time.Minute, "m"}, {time.Hour, "h"}} {
		if d < 100*unit.of {
			return strconv.FormatInt(int64(max(d, 0)/unit.of), 10) + unit.name
		}
	}
	return strconv.FormatInt(int64(d/(24*time.Hour)), 10) + "d"
}
