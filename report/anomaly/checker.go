package anomaly

import (
	"fmt"
	"slices"

	"tcplife/decode/capture"
	"tcplife/track"
)

// A Pass is one look of one rule: at one connection, or, in [Watch.Judge], at what
// it has seen of many.
type Pass struct {
	Conn *track.Conn
	ID   uint64 // of Conn, over the whole run
	// Now is the capture's clock when the connection's record was closed. That
	// nothing has happened for a minute is known by it alone: by a later frame of
	// any other connection or protocol, or by the last frame of the capture.
	Now capture.Time

	*Config
	plain     bool // Conn.Plain, as the next are of Conn
	handshake track.Handshake
	been      [2]track.States // by role
	waits     [2]timeWait     // by role
	looking   bool            // the rules about many connections look at it
	looked    bool            // they have looked at all that are still open
	crowd     *crowd
	spots     spots
	covers    map[*Rule][]func(*Pass) bool // of the rules about many connections that explain a rule's findings
	rule      *Rule
	findings  []Finding
	unjudged  []NotJudged
}

// A NotJudged tells that a rule had reason to look closer at a connection, and
// could not tell because of what the capture lacks.
type NotJudged struct {
	Rule *Rule
	Why  Why
}

// Why is what a capture lacks.
type Why string

// What may be lacking.
const (
	OneSided Why = "one-sided"     // only one end was seen to send
	Gaps     Why = "gaps"          // segments are missing in the capture
	EndsSoon Why = "ends too soon" // the capture, or the record, ends before anybody could know
	Evicted  Why = "evicted"       // it had to make room
)

// NotJudged says why the rule does not tell whether it should report, where it
// otherwise might.
func (p *Pass) NotJudged(why Why) {
	if why == EndsSoon && p.Conn.EndReason == track.Evicted {
		why = Evicted
	}
	p.unjudged = append(p.unjudged, NotJudged{p.rule, why})
}

// Judged reports whether the connection was captured well enough to blame an end
// for what it did not send: from both directions and without gaps. If not, that is
// noted.
func (p *Pass) Judged() bool {
	switch c := p.Conn; {
	case c.OneSided():
		p.NotJudged(OneSided)
	case c.Gaps() > 0:
		p.NotJudged(Gaps)
	default:
		return true
	}
	return false
}

// Echo reports whether a finding of the rule about the connection would be left
// out, because one about many connections explains it. Asking spares a rule that
// finds something in each connection of a flood what it costs to tell it.
func (p *Pass) Echo() bool {
	for _, covers := range p.covers[p.rule] {
		if covers(p) {
			return true
		}
	}
	return false
}

// Report adds a finding, and returns it as it was added. Rule, and Severity if it is
// zero, are filled in.
func (p *Pass) Report(f Finding) *Finding {
	f.Rule = p.rule
	if f.Severity == 0 {
		f.Severity = p.rule.Severity
	}
	p.findings = append(p.findings, f)
	return &p.findings[len(p.findings)-1]
}

// Reportf adds a finding about the end e, and returns it as it was added.
func (p *Pass) Reportf(e *track.End, by Suspect, at capture.Time, frames []uint64, format string, args ...any) *Finding {
	return p.Report(Finding{
		Side: SideOf(p.Conn.Role(e)), Suspect: by, Time: at, Packets: frames,
		Message: fmt.Sprintf(format, args...),
	})
}

// A Checker applies rules to the connections of one observation after the other.
type Checker struct {
	rules    []*Rule
	config   Config
	pass     Pass
	crowd    crowd
	checks   [numClasses][]*Rule // to be asked of each kind of connection
	watches  []watch
	looks    [numClasses][]*watch
	explains []explanation
}

type watch struct {
	*Rule
	Watch
}

// An explanation is a rule whose findings make those of others echoes.
type explanation struct {
	cause  *Rule
	echoes []*Rule
}

// NewChecker returns a Checker for the rules.
func NewChecker(rules []*Rule, c Config) *Checker {
	k := &Checker{rules: rules, config: c}
	k.pass.Config, k.pass.crowd = &k.config, &k.crowd
	for _, r := range rules {
		if r.Check != nil {
			r.asked(func(of class) { k.checks[of] = append(k.checks[of], r) })
		}
		if len(r.Explains) == 0 {
			continue
		}
		e := explanation{cause: r}
		for _, name := range r.Explains {
			if echo := Find(name); echo != nil {
				e.echoes = append(e.echoes, echo)
			}
		}
		k.explains = append(k.explains, e)
	}
	k.start()
	return k
}

// Configure changes what the rules go by from now on.
func (k *Checker) Configure(c Config) { k.config = c }

// start begins the runs of the rules about many connections.
func (k *Checker) start() {
	k.crowd, k.pass.covers = crowd{}, make(map[*Rule][]func(*Pass) bool)
	k.watches, k.looks, k.pass.looked = k.watches[:0], [numClasses][]*watch{}, false
	for _, r := range k.rules {
		if r.Start != nil {
			k.watches = append(k.watches, watch{r, r.Start()})
		}
	}
	for i := range k.watches {
		w := &k.watches[i]
		if w.Covers != nil {
			for _, name := range w.Explains {
				echo := Find(name)
				k.pass.covers[echo] = append(k.pass.covers[echo], w.Covers)
			}
		}
		w.asked(func(of class) { k.looks[of] = append(k.looks[of], w) })
	}
}

// begin makes c the connection at hand, and tells its class.
func (k *Checker) begin(c *track.Conn, id uint64, now capture.Time) class {
	p := &k.pass
	k.forget()
	p.Conn, p.ID, p.Now, p.spots.have = c, id, now, 0
	p.waits[0].asked, p.waits[1].asked = false, false
	cli, srv := c.Client(), c.Server()
	p.plain = c.Plain()
	if p.plain && c.RoleBasis == track.BySYN && cli.Packets() == 1 && srv.Packets() == 0 {
		p.handshake = track.Unanswered
		p.been = [2]track.States{} // which no rule asks for that looks at one
		return loneSYN
	}
	p.handshake = c.Handshake()
	p.been = [2]track.States{cli.Been(), srv.Been()}
	if p.plain {
		return plain
	}
	return rare
}

// forget drops the findings of the last pass.
func (k *Checker) forget() {
	clear(k.pass.findings)
	k.pass.findings, k.pass.unjudged = k.pass.findings[:0], k.pass.unjudged[:0]
}

// Look lets the rules about many connections look at one that is still open at the
// end of the observation, before Check is called with any of those: so they know
// of a flood before its members are reported.
func (k *Checker) Look(c *track.Conn, id uint64, now capture.Time) {
	k.pass.looked = true
	k.look(k.begin(c, id, now))
}

func (k *Checker) look(of class) {
	k.pass.looking = true
	for _, w := range k.looks[of] {
		k.pass.rule = w.Rule
		w.Look(&k.pass)
	}
	k.pass.looking = false
}

// Check returns the findings about a connection whose record was closed at now,
// in the order of the rules, and which rules could not be judged. Both are valid
// until the next call.
func (k *Checker) Check(c *track.Conn, id uint64, now capture.Time) ([]Finding, []NotJudged) {
	of := k.begin(c, id, now)
	if !k.pass.looked {
		k.look(of)
	}
	for _, r := range k.checks[of] {
		k.pass.rule = r
		r.Check(&k.pass)
	}
	if len(k.pass.findings) > 0 {
		k.dropEchoes()
	}
	return k.pass.findings, k.pass.unjudged
}

// dropEchoes leaves out the findings that others explain.
func (k *Checker) dropEchoes() {
	p := &k.pass
	for i := range k.explains {
		e := &k.explains[i]
		if slices.ContainsFunc(p.findings, func(f Finding) bool { return slices.Contains(e.echoes, f.Rule) }) && k.explained(e.cause) {
			p.findings = slices.DeleteFunc(p.findings, func(f Finding) bool { return slices.Contains(e.echoes, f.Rule) })
		}
	}
}

// explained reports whether the rule has a finding about the connection, or covers
// it.
func (k *Checker) explained(by *Rule) bool {
	if slices.ContainsFunc(k.pass.findings, func(f Finding) bool { return f.Rule == by }) {
		return true
	}
	for i := range k.watches {
		if w := &k.watches[i]; w.Rule == by && w.Covers != nil {
			return w.Covers(&k.pass)
		}
	}
	return false
}

// Judge returns the findings about many connections that are due and were not
// returned before. They are valid until the next call.
func (k *Checker) Judge(now capture.Time) []Finding {
	k.forget()
	k.pass.Conn, k.pass.ID, k.pass.Now = nil, 0, now
	for i := range k.watches {
		w := &k.watches[i]
		k.pass.rule = w.Rule
		w.Judge(&k.pass)
	}
	k.dropJudged()
	return k.pass.findings
}

// dropJudged leaves out the findings about many connections at one address that
// others there explain.
func (k *Checker) dropJudged() {
	p := &k.pass
	p.findings = slices.DeleteFunc(p.findings, func(f Finding) bool {
		return slices.ContainsFunc(p.findings, func(cause Finding) bool {
			return slices.Contains(cause.Rule.Explains, f.Rule.Name) && cause.Addr == f.Addr
		})
	})
}

// Finish ends the observation, and returns the last findings about many
// connections. Another observation may begin then.
func (k *Checker) Finish(now capture.Time) []Finding {
	findings := k.Judge(now)
	k.start()
	return findings
}
