package main

import (
	"slices"

	"tcplife/decode"
	"tcplife/report"
	"tcplife/report/anomaly"
	"tcplife/track"
)

// eventKinds are what a stream of events may have, in --events.
var eventKinds = []string{"transitions", "findings", "connections"}

// A teller tells transitions and findings as they come to be known: each once,
// while the connection is open. The records of connections tell them again.
type teller struct {
	sink        report.Sink
	transitions report.TransitionSink // nil: they are not told
	findings    bool
	heard       []func(*anomaly.Finding) // who else wants to know of each finding, once
	inputs      *report.Inputs
	fresh       []anomaly.Finding // scratch
	policy      *livePolicy       // nil: nobody holds it to one
	err         error             // the sink's

	ends  map[uint64]toldEnds // by id, of open connections
	found map[uint64][]foundOf
	group map[groupOf]int // findings about many connections: for which reading of the policy they were judged
}

// toldEnds is which transitions of the two ends were told: how many, and the last.
type toldEnds [2]struct {
	n     int32
	to    track.State
	frame uint64
}

// foundOf tells a finding from the others about a connection.
type foundOf struct {
	rule   *anomaly.Rule
	side   anomaly.Side
	judged int // for which reading of the policy
}

// groupOf tells a finding about many connections from the others.
type groupOf struct {
	rule *anomaly.Rule
	addr decode.Addr
	port uint16
}

// maxGroupsTold bounds the findings about many connections that are remembered.
// What is told again beyond it is told twice.
const maxGroupsTold = 10_000

func newTeller(sink report.Sink, inputs *report.Inputs) *teller {
	return &teller{
		sink: sink, inputs: inputs, ends: make(map[uint64]toldEnds), found: make(map[uint64][]foundOf), group: make(map[groupOf]int),
	}
}

// moved tells the transitions of c that were not told. first says that it has had
// one segment, the one at hand. If that is a SYN, nothing is remembered: a flood
// has many such.
func (t *teller) moved(id uint64, c *track.Conn, first bool) {
	if t.transitions == nil {
		return
	}
	sentSYN := toldEnds{{n: 1, to: track.SynSent, frame: c.First}}
	told, known := t.ends[id]
	if !known && !first {
		told = sentSYN
	}
	changed := first
	for i, e := range c.Ends() {
		all := e.Transitions()
		n, last := int(told[i].n), len(all)-1
		same := func(at int) bool {
			return 0 <= at && at <= last && all[at].To == told[i].to && all[at].Frame == told[i].frame
		}
		switch {
		case n == len(all) && (n == 0 || same(last)):
			continue
		case n == 0 || same(n-1):
			t.tell(id, c, i, all[n:])
		case n < len(all) && same(last): // moves that were under way when a RST closed the end, and that again
			t.tell(id, c, i, all[n-1:])
		default: // withdrawn, or replaced by others
			t.withdraw(id, c, i, told[i].to)
		}
		told[i].n = int32(len(all))
		if last >= 0 {
			told[i].to, told[i].frame = all[last].To, all[last].Frame
		}
		changed = true
	}
	if changed && !(first && told == sentSYN) {
		t.ends[id] = told
	}
}

func (t *teller) tell(id uint64, c *track.Conn, side int, all []track.Transition) {
	for i := range all {
		t.transition(&report.Transition{Conn: c, ID: id, Role: track.Role(side), Transition: all[i]})
	}
}

// withdraw tells that an end is not in the state that was told last, and what it is
// in.
func (t *teller) withdraw(id uint64, c *track.Conn, side int, from track.State) {
	e := c.Ends()[side]
	frame, at := c.Last(), c.End()
	for _, w := range c.Withdrawals() {
		if w.To == from {
			frame = w.By
		}
	}
	t.transition(&report.Transition{
		Conn: c, ID: id, Role: track.Role(side), Withdrawn: true,
		Transition: track.Transition{From: from, To: e.State(), Basis: track.Sent, Time: at, Frame: frame},
	})
}

func (t *teller) transition(tr *report.Transition) {
	if t.err == nil {
		tr.Inputs = t.inputs
		t.err = t.transitions.Transition(tr)
	}
}

// about tells those findings about c that were not told, and returns those that are
// to be held to the policy: these, and what was held to an earlier reading of it.
// They are valid until the next call.
func (t *teller) about(id uint64, c *track.Conn, findings []anomaly.Finding) []anomaly.Finding {
	t.fresh = t.fresh[:0]
	if !t.judges() {
		return nil
	}
	for i := range findings {
		f := findings[i]
		at := slices.IndexFunc(t.found[id], func(o foundOf) bool { return o.rule == f.Rule && o.side == f.Side })
		told := at >= 0
		if told && t.found[id][at].judged == t.policy.reading() {
			continue
		}
		t.fresh = append(t.fresh, f)
		if told {
			t.found[id][at].judged = t.policy.reading()
			continue
		}
		t.found[id] = append(t.found[id], foundOf{f.Rule, f.Side, t.policy.reading()})
		e := c.Server()
		if f.Side == anomaly.ClientSide {
			e = c.Client()
		}
		f.Conns, f.Addr, f.Port = []uint64{id}, e.Addr(), e.Port()
		t.finding(&f)
	}
	return t.fresh
}

// aboutMany tells those findings about many connections that were not told.
func (t *teller) aboutMany(findings []anomaly.Finding) {
	for i := range findings {
		if f := &findings[i]; t.judges() && t.isNew(f) {
			t.finding(f)
		}
	}
}

// final takes a finding about many connections that the report has, whether it was
// told before or not: it may have grown since.
func (t *teller) final(f *anomaly.Finding) {
	if t.isNew(f) {
		t.hear(f)
	}
}

// isNew reports whether no finding of that rule about that address was told. What
// was not held to the present reading of the policy is.
func (t *teller) isNew(f *anomaly.Finding) bool {
	key := groupOf{f.Rule, f.Addr, f.Port}
	judged, told := t.group[key]
	if told && judged == t.policy.reading() {
		return false
	}
	if len(t.group) == maxGroupsTold {
		clear(t.group)
	}
	t.group[key] = t.policy.reading()
	if t.policy != nil {
		t.policy.aboutMany(&report.Finding{Finding: *f, Inputs: t.inputs, Capture: t.inputs.Name(0)})
	}
	return !told
}

// judges reports whether anybody wants to know of findings.
func (t *teller) judges() bool { return t.findings || len(t.heard) > 0 || t.policy != nil }

func (t *teller) finding(f *anomaly.Finding) {
	t.hear(f)
	if t.findings && t.err == nil {
		t.err = t.sink.Finding(&report.Finding{Finding: *f, Inputs: t.inputs, Capture: t.inputs.Name(0)})
	}
}

func (t *teller) hear(f *anomaly.Finding) {
	for _, hear := range t.heard {
		hear(f)
	}
}

// forget forgets a connection whose record is closed.
func (t *teller) forget(id uint64) {
	delete(t.ends, id)
	delete(t.found, id)
}
