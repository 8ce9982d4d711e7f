package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"tcplife/decode"
	"tcplife/decode/capture"
	"tcplife/internal/fold"
	"tcplife/report/anomaly"
)

// table is the Sink for people: an overview, then the connections, those with
// the worst findings first. It keeps no more rows than it will show, and tells
// of many vain attempts at one server port in one row, so that a flood costs
// neither memory nor attention.
type table struct {
	overview
	rows     []row // at most opts.Limit, sorted
	left     uint64
	attempts fold.Map[attemptKey, attempt]
}

// row is a connection, or several vain attempts at one server port.
type row struct {
	id       uint64
	many     uint64 // attempts, if more than one
	client   string
	server   string
	start    capture.Time
	duration time.Duration
	bytes    [2]uint64
	states   [2]string
	ended    string
	findings string
	worst    anomaly.Severity
}

// attempt is what came of trying one server port in vain in one way.
type attempt struct {
	n     uint64
	rows  []row // the first, up to maxAttempts
	total row
	last  capture.Time
	from  decode.Addr // of the first
	many  bool        // there are other clients
}

type attemptKey struct {
	addr    decode.Addr
	port    uint16
	outcome Outcome
}

const (
	maxAttempts     = 3    // that are told one by one
	maxAttemptPorts = 1000 // that are told apart; a scan has more
)

func newTable(w io.Writer, o Options) Sink {
	return &table{
		overview: overview{w: w, opts: o, color: newPalette(o.Color)},
		attempts: fold.New[attemptKey](maxAttemptPorts, func(a *attempt) uint64 { return a.n }),
	}
}

func (s *table) Connection(c *Connection) error {
	switch o := OutcomeOf(c.Conn); o {
	case Unanswered, Refused, Unreachable, HalfOpen:
		s.attempt(c, o)
	default:
		if r := (row{id: c.ID, worst: worst(c.Findings)}); s.wants(&r) {
			s.keep(newRow(c))
		} else {
			s.left++
		}
	}
	return nil
}

func worst(findings []anomaly.Finding) anomaly.Severity {
	var w anomaly.Severity
	for i := range findings {
		w = max(w, findings[i].Severity)
	}
	return w
}

func newRow(c *Connection) row {
	cli, srv := c.Client(), c.Server()
	return row{
		id:       c.ID,
		client:   Endpoint(cli.Addr(), cli.Port()),
		server:   Endpoint(srv.Addr(), srv.Port()),
		start:    c.Start,
		duration: time.Duration(c.duration()),
		bytes:    [2]uint64{cli.Bytes(), srv.Bytes()},
		states:   [2]string{state(cli, c.Now), state(srv, c.Now)},
		ended:    ending(c),
		findings: ruleNames(c.Findings),
		worst:    worst(c.Findings),
	}
}

func (s *table) attempt(c *Connection, o Outcome) {
	srv := c.Server()
	a := s.attempts.At(attemptKey{srv.Addr(), srv.Port(), o})
	a.n++
	if a.n <= maxAttempts {
		a.rows = append(a.rows, newRow(c))
	}
	addr := c.Client().Addr()
	if a.n == 1 {
		a.total, a.last, a.from = a.rows[0], c.End(), addr
		return
	}
	a.many = a.many || addr != a.from
	a.last = max(a.last, c.End())
	t := &a.total
	t.many = a.n
	t.id = min(t.id, c.ID)
	t.start = min(t.start, c.Start)
	t.duration = a.last.Sub(t.start)
	t.bytes[0] += c.Client().Bytes()
	t.bytes[1] += srv.Bytes()
	if w := worst(c.Findings); w > t.worst {
		t.worst, t.findings = w, ruleNames(c.Findings)
	}
}

// asRow tells of all attempts in one row.
func (a *attempt) asRow() row {
	r := a.total
	r.client = "*"
	if !a.many {
		r.client = a.from.IP().String() + ":*"
	}
	return r
}

// compareRows puts the worst first, then what is told of many, then the earliest.
func compareRows(a, b *row) int {
	return cmp.Or(
		cmp.Compare(b.worst, a.worst),
		cmp.Compare(b.many, a.many),
		cmp.Compare(a.id, b.id),
	)
}

// wants reports whether a row like r would be kept.
func (s *table) wants(r *row) bool {
	n := len(s.rows)
	return s.opts.Limit == 0 || n < s.opts.Limit || compareRows(r, &s.rows[n-1]) < 0
}

func (s *table) keep(r row) {
	at, _ := slices.BinarySearchFunc(s.rows, r, func(x, r row) int { return compareRows(&x, &r) })
	s.rows = slices.Insert(s.rows, at, r)
	if s.opts.Limit > 0 && len(s.rows) > s.opts.Limit {
		last := &s.rows[s.opts.Limit]
		s.left += max(last.many, 1)
		s.rows = s.rows[:s.opts.Limit]
	}
}

func (s *table) Summary(m *Summary) error {
	if err := s.overview.Summary(m); err != nil {
		return err
	}
	attempts, rest := s.attempts.Sorted(func(a, b *attempt) int { return compareRows(&a.total, &b.total) })
	s.left += rest
	for _, a := range attempts {
		rows := a.rows
		if a.n > maxAttempts {
			rows = []row{a.asRow()}
		}
		for _, r := range rows {
			if s.wants(&r) {
				s.keep(r)
			} else {
				s.left += max(r.many, 1)
			}
		}
	}
	if len(s.rows) > 0 {
		fmt.Fprintln(&s.out)
		s.layout()
	}
	if s.unproved() {
		s.wrap("", "", "? the same segments allow another state too: tcplife explain FILE --conn ID names it")
	}
	if s.left > 0 {
		fmt.Fprintf(&s.out, "and %s; --limit 0 shows all\n", count(s.left, "more connection"))
	}
	return nil
}

// layout prints the rows: a line each if the terminal is wide enough, otherwise
// with the server below the client.
func (s *table) layout() {
	wide := s.wide()
	if s.opts.Width > 0 && wide.width() > s.opts.Width {
		s.stacked().render(&s.out)
		return
	}
	wide.render(&s.out)
}

// unproved reports whether a row has a state that may be another.
func (s *table) unproved() bool {
	return slices.ContainsFunc(s.rows, func(r row) bool {
		return strings.HasSuffix(r.states[0], "?") || strings.HasSuffix(r.states[1], "?")
	})
}

func (s *table) wide() *grid {
	g := newGrid("ID", "CLIENT", "SERVER", "START", ">DURATION", ">BYTES", "CLIENT STATE", "SERVER STATE", "ENDED", "FINDINGS")
	for i := range s.rows {
		r := &s.rows[i]
		g.row(
			r.name(), r.client, r.server, clockTime(r.start), short(r.duration), octets(r.bytes[0]+r.bytes[1]),
			r.states[0], r.states[1], r.ended, s.color.severity(r.worst, r.findings),
		)
	}
	return g
}

// stacked fits 80 columns: addresses are elided if they must be.
func (s *table) stacked() *grid {
	longest := 0
	for i := range s.rows {
		longest = max(longest, len(s.rows[i].client), len(s.rows[i].server))
	}
	g := s.stackedIn(longest)
	if excess := g.width() - s.opts.Width; excess > 0 {
		const shortest = 15 // of an address that can still be recognized
		g = s.stackedIn(max(longest-excess, shortest))
	}
	return g
}

// stackedIn gives addresses that many columns.
func (s *table) stackedIn(room int) *grid {
	g := newGrid("ID", "CLIENT, SERVER", "STATES", ">BYTES", ">START, TAKES", "ENDED, FINDINGS")
	for i := range s.rows {
		r := &s.rows[i]
		var findings []string
		for f := range strings.SplitSeq(r.findings, ", ") {
			findings = append(findings, s.color.severity(r.worst, f))
		}
		g.row(
			r.name(),
			elide(r.client, room)+"\n"+elide(r.server, room),
			r.states[0]+"\n"+r.states[1],
			octets(r.bytes[0])+"\n"+octets(r.bytes[1]),
			clockTime(r.start)+"\n"+short(r.duration),
			strings.TrimRight(r.ended+"\n"+strings.Join(findings, "\n"), "\n"),
		)
	}
	return g
}

// name returns what --conn takes, or how many connections the row stands for.
func (r *row) name() string {
	if r.many > 0 {
		return "×" + digits(r.many)
	}
	return fmt.Sprint(r.id)
}
