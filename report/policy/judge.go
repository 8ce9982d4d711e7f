package policy

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"tcplife/decode/capture"
	"tcplife/internal/fold"
	"tcplife/report"
	"tcplife/report/anomaly"
)

// A Judge holds connections and findings to a policy. It is the report.Sink of
// `tcplife check`; its memory does not grow with the number of connections.
type Judge struct {
	// Explain returns the command that prints a connection, and finds in it what the
	// rule of that name did, if it is not ""; nil if there is none.
	Explain func(conn uint64, rule string) string

	// Trace is the ID of a connection of which the verdict tells by which block each
	// finding and number of it is judged; 0 for none.
	Trace uint64

	policy *Policy
	order  []*Block // the most specific first
	set    []string // rules that some block sets
	tally  map[*Block]*tallies
	expect []expected
	allow  []uint64 // findings let pass, by exception

	matching []*Block // scratch
	verdict  Verdict
	last     capture.Time
}

// tallies are what was counted for a block.
type tallies struct {
	matched uint64            // connections that its selector chose
	governs map[string]uint64 // of these, those whose findings of a rule it judges, of Judge.set
	rules   map[string]*ruleTally
	numbers map[*Metric]*number
}

// A ruleTally counts the findings of a rule that a block governs.
type ruleTally struct {
	failing, telling, allowed uint64
	failingConns, lastConn    uint64 // connections that have a failing one, and the last of them
	worst                     anomaly.Severity
	suspects                  [1 << 8]uint64 // by anomaly.Suspect
	examples                  examples
}

// An expected counts the connections that an expectation is about.
type expected struct {
	there, clean uint64
	unclean      examples
}

// NewJudge returns a Judge by the policy.
func NewJudge(p *Policy) *Judge {
	j := &Judge{
		policy: p,
		order:  slices.Clone(p.Blocks),
		tally:  make(map[*Block]*tallies, len(p.Blocks)),
		expect: make([]expected, len(p.Expect)),
		allow:  make([]uint64, len(p.Allow)),
	}
	slices.Reverse(j.order) // of equals the later wins
	slices.SortStableFunc(j.order, func(a, b *Block) int {
		x, y := a.Where.specificity(), b.Where.specificity()
		return slices.Compare(y[:], x[:])
	})
	for _, b := range p.Blocks {
		t := &tallies{governs: make(map[string]uint64), rules: make(map[string]*ruleTally), numbers: make(map[*Metric]*number)}
		for rule := range b.Rules {
			if !slices.Contains(j.set, rule) {
				j.set = append(j.set, rule)
			}
		}
		for _, l := range b.Limits {
			if t.numbers[l.Metric] == nil {
				t.numbers[l.Metric] = &number{metric: l.Metric, timeWaits: newTimeWaits()}
			}
			t.numbers[l.Metric].limits = append(t.numbers[l.Metric].limits, &limitTally{Limit: l})
		}
		j.tally[b] = t
	}
	j.verdict.timeWaits = newTimeWaits()
	j.verdict.ports = fold.New[uint16](maxPorts, func(p *PortCount) uint64 { return p.Connections })
	for _, m := range Metrics {
		j.verdict.all = append(j.verdict.all, &number{metric: m})
	}
	for _, r := range anomaly.All {
		j.verdict.findings = append(j.verdict.findings, &RuleRecord{Rule: r.Name})
	}
	return j
}

// Findings judges what was found about a connection that is still open. Connection
// is to be called with the rest of its findings when its record is closed.
func (j *Judge) Findings(c *report.Connection) {
	j.last = max(j.last, c.Now)
	e := j.choose(c)
	j.findings(c, &e)
}

// choose sets the blocks that choose the connection.
func (j *Judge) choose(c *report.Connection) ends {
	e := ends{client: c.Client().Addr().IP(), server: c.Server().Addr().IP(), port: c.Server().Port()}
	e.direction = directionOf(j.policy.Home, e.client, e.server)
	j.match(&e)
	return e
}

func (j *Judge) findings(c *report.Connection, e *ends) {
	for i := range c.Findings {
		j.count(&c.Findings[i], i == 0 || c.Findings[i].Rule != c.Findings[i-1].Rule)
		j.finding(&c.Findings[i], e, c.ID, func() Example {
			x := j.example(c, c.Findings[i].Rule.Name)
			x.Frames = framesOf(c.Inputs, c.Findings[i].Packets...)
			return x
		})
	}
}

// Connection judges a connection.
func (j *Judge) Connection(c *report.Connection) error {
	j.last = max(j.last, c.Now)
	e := j.choose(c)
	for _, b := range j.matching {
		j.tally[b].matched++
	}
	for _, rule := range j.set {
		for _, b := range j.matching {
			if !b.judges(rule) {
				continue
			}
			j.tally[b].governs[rule]++
			if b.Where.Suspect == anomaly.NoSuspect {
				break // else it depends on the finding
			}
		}
	}
	if c.ID == j.Trace {
		j.trace(c.ID, "chosen by %s", names(j.matching))
	}
	example := func() Example { return j.example(c, "") }

	j.findings(c, &e)
	j.measure(c, example)
	o := report.OutcomeOf(c.Conn)
	clean := o == report.Closed
	port := j.verdict.ports.At(e.port)
	port.Port = e.port
	port.Connections++
	if clean {
		port.Clean++
	}
	for i, want := range j.policy.Expect {
		if !want.Where.matches(&e) {
			continue
		}
		j.expect[i].there++
		if clean {
			j.expect[i].clean++
		} else {
			j.expect[i].unclean.offer(0, c.ID, func() Example {
				x := example()
				x.Frames, x.Message = framesOf(c.Inputs, c.First, c.Last()), o.String()
				return x
			})
		}
	}
	j.verdict.Connections++
	return nil
}

// judges reports whether the block says what findings of the rule mean.
func (b *Block) judges(rule string) bool { return b.Rules[rule] != nil || b.Fail != 0 }

// trace tells something of the connection that is traced.
func (j *Judge) trace(conn uint64, format string, args ...any) {
	if conn == j.Trace && conn != 0 {
		j.verdict.Trace = append(j.verdict.Trace, fmt.Sprintf(format, args...))
	}
}

// title names the block and its line.
func (b *Block) title() string {
	if b.Name == "" {
		return b.Where.String()
	}
	return fmt.Sprintf("%s (line %d)", b.Name, b.Line)
}

func names(blocks []*Block) string {
	var list []string
	for _, b := range blocks {
		list = append(list, b.title())
	}
	return strings.Join(list, ", then ")
}

// count counts a finding, the first of its rule about the connection or another.
func (j *Judge) count(f *anomaly.Finding, first bool) {
	i := slices.Index(anomaly.All, f.Rule)
	if i < 0 {
		return // a rule of a test
	}
	r := j.verdict.findings[i]
	r.Findings++
	if first {
		r.Connections++
	}
}

// match sets the blocks that choose the connection, the most specific first.
func (j *Judge) match(e *ends) {
	j.matching = j.matching[:0]
	for _, b := range j.order {
		if b.Where.matches(e) {
			j.matching = append(j.matching, b)
		}
	}
}

// finding counts a finding with the most specific block that says anything of it.
func (j *Judge) finding(f *anomaly.Finding, e *ends, conn uint64, example func() Example) {
	var governs, tells *Block
	var set *RuleSetting
	for _, b := range j.matching {
		if !b.Where.suspects(f.Suspect) {
			continue
		}
		if tells == nil && b.Tell != 0 {
			tells = b
		}
		if b.judges(f.Rule.Name) {
			governs, set = b, b.Rules[f.Rule.Name]
			break
		}
	}
	if governs == nil {
		governs = j.policy.Blocks[0]
	}
	if tells == nil {
		tells = j.policy.Blocks[0]
	}
	j.trace(conn, "finding %s: judged by %s", f.Rule.Name, governs.title())
	t := j.tally[governs].rule(f.Rule.Name)
	fails, told := f.Severity >= governs.Fail, f.Severity >= tells.Tell
	if set != nil {
		counts := f.Severity >= set.From
		fails, told = counts && !set.Tell, counts
	}
	if !fails && !told {
		return
	}
	for i, x := range j.policy.Allow {
		if x.Rule == f.Rule && x.Where.matches(e) && x.Where.suspects(f.Suspect) && f.Time.UTC().Before(x.Until) {
			j.trace(conn, "finding %s: let pass by the exception in line %d", f.Rule.Name, x.Line)
			j.allow[i]++
			t.allowed++
			return
		}
	}
	if fails {
		t.failing++
		if conn == 0 || conn != t.lastConn {
			t.failingConns++
			t.lastConn = conn
		}
	} else {
		t.telling++
	}
	t.worst = max(t.worst, f.Severity)
	t.suspects[f.Suspect]++
	t.examples.offer(int64(f.Severity), conn, func() Example {
		x := example()
		x.Severity, x.Suspect, x.Time, x.Message = f.Severity, f.Suspect, f.Time, f.Message
		if f.Side != anomaly.NoSide {
			x.Message = f.Side.String() + " " + x.Message
		}
		return x
	})
}

func (t *tallies) rule(name string) *ruleTally {
	r := t.rules[name]
	if r == nil {
		r = new(ruleTally)
		t.rules[name] = r
	}
	return r
}

// Finding judges a finding about several connections, or none.
func (j *Judge) Finding(f *report.Finding) error {
	j.count(&f.Finding, true)
	e := ends{server: f.Addr.IP(), port: f.Port, direction: Inbound}
	if j.policy.Home.contain(e.server) == (f.Side == anomaly.ClientSide) {
		e.direction = Outbound // the others are taken to be on the other side
	}
	if f.Side == anomaly.ClientSide {
		e.client, e.server = e.server, netip.Addr{}
	}
	j.match(&e)
	var conn uint64
	if len(f.Conns) > 0 {
		conn = f.Conns[0]
	}
	j.finding(&f.Finding, &e, conn, func() Example {
		x := Example{Conn: conn, About: report.Endpoint(f.Addr, f.Port), Capture: f.Capture, Frames: framesOf(f.Inputs, f.Packets...)}
		if conn != 0 && j.Explain != nil {
			x.Explain = j.Explain(conn, f.Rule.Name)
		}
		return x
	})
	return nil
}

// measure takes the numbers of a connection.
func (j *Judge) measure(c *report.Connection, example func() Example) {
	j.verdict.timeWaits.add(c)
	for i, m := range Metrics {
		var s sample
		if m.kind != peak {
			s = m.of(c)
			j.verdict.all[i].add(&s, c, nil)
		}
		for _, b := range j.matching {
			n := j.tally[b].numbers[m]
			if n == nil {
				continue
			}
			j.trace(c.ID, "number %s: limited by %s", m.Name, b.title())
			if m.kind == peak {
				n.timeWaits.add(c)
			} else {
				n.add(&s, c, example)
			}
			break
		}
	}
}

// Capture counts an input.
func (j *Judge) Capture(c *report.Capture) error {
	j.verdict.Captures = append(j.verdict.Captures, c.Name)
	if len(j.verdict.Captures) > maxCaptures {
		j.verdict.Captures = j.verdict.Captures[:maxCaptures]
	}
	return nil
}

const (
	maxCaptures = 100 // named in a verdict
	maxPorts    = 1000
)

// Summary takes the totals.
func (j *Judge) Summary(m *report.Summary) error {
	v := &j.verdict
	v.Packets, v.First, v.Last, v.Inputs = m.Packets, m.First, m.Last, m.Captures
	j.last = max(j.last, m.Last)
	return nil
}

// Close does nothing: Verdict tells.
func (j *Judge) Close() error { return nil }

// example describes a connection, in which a rule found something unless rule is "".
func (j *Judge) example(c *report.Connection, rule string) Example {
	x := Example{
		Conn: c.ID, Capture: c.Capture, Time: c.Start,
		Client: report.Endpoint(c.Client().Addr(), c.Client().Port()),
		Server: report.Endpoint(c.Server().Addr(), c.Server().Port()),
	}
	if j.Explain != nil {
		x.Explain = j.Explain(c.ID, rule)
	}
	return x
}

func framesOf(in *report.Inputs, frames ...uint64) []string {
	var names []string
	for _, f := range frames {
		if f != 0 {
			names = append(names, in.Frame(f))
		}
	}
	return slices.Compact(names)
}

// A number is what was measured of the connections that a block governs.
type number struct {
	metric    *Metric
	limits    []*limitTally
	hits, of  uint64
	conns     connections
	times     histogram
	timeWaits timeWaits
}

// A limitTally counts the connections that are beyond a limit.
type limitTally struct {
	*Limit
	beyond   uint64 // of durations
	examples examples
}

// connections are those that a share is of, and those of them that have a part in it.
type connections struct{ hits, of uint64 }

func (c *connections) add(s *sample) {
	if s.of > 0 {
		c.of++
	}
	if s.hits > 0 {
		c.hits++
	}
}

func (n *number) add(s *sample, c *report.Connection, example func() Example) {
	if n.metric.kind == timed {
		if !s.valid {
			return
		}
		n.times.add(s.duration)
	} else {
		n.hits += s.hits
		n.of += s.of
		n.conns.add(s)
	}
	for _, l := range n.limits {
		weight := int64(s.duration)
		switch {
		case n.metric.kind == timed && s.duration <= l.Duration, n.metric.kind != timed && s.hits == 0:
			continue
		case n.metric.kind == timed:
			l.beyond++
		default:
			weight = int64(s.hits)
		}
		l.examples.offer(weight, c.ID, func() Example {
			x := example()
			x.Time, x.Message = s.at, n.metric.say(c, s)
			x.Frames = framesOf(c.Inputs, s.frames[:]...)
			if s.side != anomaly.NoSide {
				x.Suspect = anomaly.Suspect(s.side-anomaly.ClientSide) + anomaly.ClientApp
			}
			return x
		})
	}
}

// exceeds reports whether the limit is, and what there is instead.
func (n *number) exceeds(l *limitTally) (broken bool, have string) {
	switch n.metric.kind {
	case timed:
		broken = l.beyond*1000 > n.times.n*uint64(1000-l.Quantile)
		d := n.times.quantile(l.Quantile)
		if !broken {
			d = min(d, l.Duration) // it is told a little too long
		}
		return broken, anomaly.Dur(d).String()
	case peak:
		most, host, at := n.timeWaits.peak()
		have = fmt.Sprint(most)
		if most > 0 {
			have += fmt.Sprintf(" at %v (%s)", host, at.UTC().Format("15:04:05"))
		}
		return l.Max.exceeded(most, 0), have
	case counted:
		if l.least {
			return n.hits < l.Min, fmt.Sprint(n.hits)
		}
		return l.Max.exceeded(n.hits, n.of), fmt.Sprint(n.hits)
	default:
		have = fmt.Sprintf("%d of %d", n.hits, n.of)
		if n.of > 0 {
			have += " (" + percent(float64(n.hits)/float64(n.of)) + ")"
		}
		return l.Max.exceeded(n.hits, n.of), have
	}
}

// measured reports whether there was anything to measure.
func (n *number) measured() bool {
	return n.metric.kind == counted || n.metric.kind == peak || n.of > 0 || n.times.n > 0
}

// examples are the first of the worst connections.
type examples []ranked

type ranked struct {
	weight int64
	conn   uint64
	Example
}

const maxExamples = 3

// offer keeps the example if it is among the worst.
func (x *examples) offer(weight int64, conn uint64, example func() Example) {
	at, _ := slices.BinarySearchFunc(*x, ranked{weight: weight, conn: conn}, func(a, b ranked) int {
		return cmp.Or(cmp.Compare(b.weight, a.weight), cmp.Compare(a.conn, b.conn), -1)
	})
	if at == maxExamples {
		return
	}
	*x = slices.Insert(*x, at, ranked{weight, conn, example()})
	if len(*x) > maxExamples {
		*x = (*x)[:maxExamples]
	}
}

func (x examples) list() []Example {
	var list []Example
	for i := range x {
		list = append(list, x[i].Example)
	}
	return list
}
