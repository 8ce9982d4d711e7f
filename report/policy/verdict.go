package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"tcplife/decode/capture"
	"tcplife/internal/fold"
	"tcplife/report/anomaly"
)

// A Verdict is what came of holding captures to a policy.
type Verdict struct {
	Policy      *Policy
	Results     []Result // broken ones first, the severest of them, else in the order of the policy
	Notes       []string // on exceptions of the policy, and how the packets were captured
	Captures    []string // names of the inputs, the first of them
	Inputs      uint64
	Packets     uint64
	Connections uint64
	First, Last capture.Time // meaningful if Packets > 0
	Blocks      []Applied    // the most specific first
	Exceptions  []Excepted   // in the order of the policy
	Trace       []string     // of the connection that Judge.Trace names

	all       []*number // of all connections, by Metrics
	timeWaits timeWaits
	ports     fold.Map[uint16, PortCount]
	findings  []*RuleRecord // of all connections, by anomaly.All; whatever the policy says of them
}

// A PortCount counts the connections to one port of any servers.
type PortCount struct {
	Port               uint16
	Connections, Clean uint64 // Clean: ended with both FINs
}

// An Applied tells how a block of a policy applied.
type Applied struct {
	*Block
	Connections uint64 // that its selector chose
}

// An Excepted tells how an exception of a policy applied.
type Excepted struct {
	*Exception
	Findings uint64 // let pass
	Over     bool   // its day was past when the capture ended
}

// Status is what came of one check.
type Status uint8

// Statuses, in the order of reports.
const (
	Broken  Status = iota
	Told           // worth telling, breaks nothing
	Kept           //
	Skipped        // there was nothing to hold to it
)

func (s Status) String() string { return [...]string{"broken", "told", "kept", "skipped"}[s] }

// Kind says what a check looks at.
type Kind uint8

// Kinds of checks.
const (
	RuleCheck     Kind = iota // the findings of a rule
	LimitCheck                // a number
	ExpectCheck               // that connections exist
	BaselineCheck             // what changed since an earlier run
)

func (k Kind) String() string { return [...]string{"rule", "limit", "expect", "baseline"}[k] }

// A Result is what came of one check.
type Result struct {
	Kind     Kind
	Name     string // of the rule, the number, or the expectation
	Scope    string // the block's name; "" for what holds for all connections
	Line     int    // of the policy
	Status   Status
	Severity anomaly.Severity // of findings, the worst
	Count    uint64           // findings, those let pass left out
	Allowed  uint64           // findings let pass
	Message  string
	Suspect  anomaly.Suspect // who is suspected most often
	Examples []Example       // the worst first

	// Early says that the status is none yet, if more connections are to come: it is
	// of those that must exist, or a share of few.
	Early bool
}

// fewConnections are too few for a share or a percentile of them to say much.
const fewConnections = 100

// ID names the check, and no other of the policy.
func (r *Result) ID() string {
	id := r.Kind.String() + " " + r.Name
	if r.Scope != "" {
		id += " (" + r.Scope + ")"
	}
	return id
}

// An Example is a connection that shows what is wrong.
type Example struct {
	Conn           uint64 // 0: none in particular
	Client, Server string // address and port
	About          string // address and port, if it concerns several connections
	Capture        string
	Frames         []string
	Time           capture.Time
	Severity       anomaly.Severity // of findings
	Suspect        anomaly.Suspect
	Message        string
	Explain        string // the command that prints the connection
}

// String describes the example in a line.
func (x *Example) String() string {
	var b strings.Builder
	switch {
	case x.About != "":
		fmt.Fprintf(&b, "%s: ", x.About)
	case x.Client != "":
		fmt.Fprintf(&b, "#%d %s to %s: ", x.Conn, x.Client, x.Server)
	}
	b.WriteString(x.Message)
	if len(x.Frames) > 0 {
		noun := " (frame "
		if len(x.Frames) > 1 {
			noun = " (frames "
		}
		b.WriteString(noun + strings.Join(x.Frames, ", ") + ")")
	}
	return b.String()
}

// Broken reports whether any check is.
func (v *Verdict) Broken() bool { return v.Count(Broken) > 0 }

// Count returns how many checks have that status.
func (v *Verdict) Count(s Status) (n int) {
	for i := range v.Results {
		if v.Results[i].Status == s {
			n++
		}
	}
	return n
}

// Verdict returns what came of everything that was judged.
func (j *Judge) Verdict() *Verdict {
	v := j.verdict
	v.Policy = j.policy
	for i, b := range j.policy.Blocks {
		scope := b.Name
		if i == 0 {
			scope = ""
		}
		t := j.tally[b]
		for _, r := range anomaly.All {
			if tally := t.rules[r.Name]; tally != nil || b.Rules[r.Name] != nil || i == 0 {
				v.Results = append(v.Results, ruleResult(b, scope, r, tally, t.governs[r.Name]))
			}
		}
		for _, m := range Metrics {
			n := t.numbers[m]
			if n == nil {
				continue
			}
			for _, l := range n.limits {
				v.Results = append(v.Results, limitResult(scope, n, l))
			}
		}
	}
	for i, want := range j.policy.Expect {
		v.Results = append(v.Results, expectResult(want, &j.expect[i]))
	}
	for _, b := range j.order {
		v.Blocks = append(v.Blocks, Applied{b, j.tally[b].matched})
	}
	for i, e := range j.policy.Allow {
		x := Excepted{e, j.allow[i], j.last != 0 && !j.last.UTC().Before(e.Until)}
		v.Exceptions = append(v.Exceptions, x)
		switch {
		case x.Over:
			v.Notes = append(v.Notes, fmt.Sprintf("%s:%d: the exception for %s has run out on %s; its reason was: %s",
				j.policy.Name, x.Line, x.Rule.Name, x.LastDay(), x.Reason))
		case x.Findings == 0:
			v.Notes = append(v.Notes, fmt.Sprintf("%s:%d: the exception for %s was not needed", j.policy.Name, x.Line, x.Rule.Name))
		}
	}
	v.sort()
	return &v
}

// sort puts what is broken first, the severest of that, and leaves the order of the
// policy else.
func (v *Verdict) sort() {
	slices.SortStableFunc(v.Results, func(a, b Result) int {
		return cmp.Or(int(a.Status)-int(b.Status), int(b.Severity)-int(a.Severity))
	})
}

func ruleResult(b *Block, scope string, r *anomaly.Rule, t *ruleTally, connections uint64) Result {
	res := Result{Kind: RuleCheck, Name: r.Name, Scope: scope, Line: b.Line, Status: Kept, Severity: r.Severity}
	var most Amount
	if set := b.Rules[r.Name]; set != nil {
		res.Line, most = set.Line, set.Max
	}
	if t == nil {
		res.Message = "no findings"
		return res
	}
	res.Count, res.Allowed = t.failing+t.telling, t.allowed
	if res.Count > 0 {
		res.Severity = t.worst
		for s, n := range t.suspects {
			if n > t.suspects[res.Suspect] {
				res.Suspect = anomaly.Suspect(s)
			}
		}
		res.Examples = t.examples.list()
		res.Status = Told
	}
	res.Message = counts(res.Count, "finding")
	if res.Count == 0 {
		res.Message = "no findings that count"
	}
	failing := t.failing
	if most.share {
		failing = t.failingConns
		res.Early = connections < fewConnections
	}
	among := ""
	if connections > 0 { // else they are open still, or the findings about others
		among = " in " + counts(connections, "connection")
	}
	if most.exceeded(failing, connections) {
		res.Status = Broken
		if most == (Amount{}) {
			res.Message += ", none is allowed"
		} else {
			res.Message += fmt.Sprintf("%s, at most %v allowed", among, most)
		}
	} else if t.failing > 0 {
		res.Message += fmt.Sprintf("%s, %v allowed", among, most)
	}
	if t.allowed > 0 {
		res.Message += fmt.Sprintf(", %d let pass by an exception", t.allowed)
	}
	return res
}

func limitResult(scope string, n *number, l *limitTally) Result {
	res := Result{Kind: LimitCheck, Name: l.Name(), Scope: scope, Line: l.Line, Status: Kept, Severity: anomaly.Error}
	if !n.measured() {
		res.Status, res.Message = Skipped, "nothing to measure"
		return res
	}
	switch {
	case l.least:
		res.Early = true
	case n.metric.kind == timed:
		res.Early = n.times.n < fewConnections
	case l.Max.share:
		res.Early = n.of < fewConnections
	}
	broken, have := n.exceeds(l)
	res.Message = have + ", " + l.bound()
	if broken {
		res.Status = Broken
		if !l.least {
			res.Examples = l.examples.list()
		}
		for _, x := range res.Examples {
			if res.Suspect == anomaly.NoSuspect {
				res.Suspect = x.Suspect
			}
		}
	}
	return res
}

// Name names what is limited: "resets", "handshake_time p99".
func (l *Limit) Name() string {
	switch {
	case l.Metric.kind == timed:
		return l.Metric.Name + " " + quantileName(l.Quantile)
	case l.least:
		return l.Metric.Name + " min"
	}
	return l.Metric.Name
}

func (l *Limit) bound() string {
	switch {
	case l.Metric.kind == timed:
		return "at most " + l.Duration.String()
	case l.least:
		return fmt.Sprintf("at least %d", l.Min)
	}
	return "at most " + l.Max.String()
}

func expectResult(want *Expectation, t *expected) Result {
	res := Result{Kind: ExpectCheck, Name: want.Name, Line: want.Line, Status: Kept, Severity: anomaly.Error, Early: true}
	have, how := t.there, ""
	if want.Clean {
		have, how = t.clean, " that ended cleanly"
	}
	res.Message = fmt.Sprintf("%s%s, at least %d expected", counts(have, "connection"), how, want.AtLeast)
	if have < want.AtLeast {
		res.Status = Broken
		if want.Clean {
			res.Examples = t.unclean.list()
			if n := t.there - t.clean; n > 0 {
				res.Message += fmt.Sprintf("; %d did not", n)
			}
		}
	}
	return res
}

func counts(n uint64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
