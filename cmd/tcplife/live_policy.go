package main

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"tcplife/decode/capture"
	"tcplife/report"
	"tcplife/report/anomaly"
	"tcplife/report/policy"
	"tcplife/track"
)

// A livePolicy holds to a policy what comes to be known live: each finding as soon as
// it is told, and the rest of a connection when its record is closed. Which checks are
// broken is told once a second, if that changes.
type livePolicy struct {
	name     string
	rules    ruleFlags // of the command line: they hold before those of the policy
	track    *trackFlags
	asked    atomic.Bool // to read it again
	readings int
	judge    *policy.Judge
	told     map[string]toldCheck // by Result.ID
	conn     report.Connection    // scratch
}

// A toldCheck is what was told of a check last.
type toldCheck struct {
	broken bool
	at     time.Time
}

// tellAgainAfter is how long nothing more is told of a check whose status has changed:
// a share may swing about its limit.
const tellAgainAfter = time.Minute

// reading tells the readings of the policy apart; there are none without one.
func (l *livePolicy) reading() int {
	if l == nil {
		return 0
	}
	return l.readings
}

// read reads the policy, and returns what rules go by then. After an error the one
// before holds.
func (l *livePolicy) read() (anomaly.Config, error) {
	p, err := policy.Load(l.name)
	if err != nil {
		return anomaly.Config{}, err
	}
	set := ruleFlags{slices.Concat(p.Set, l.rules.set)} // of two, the later holds
	config, err := set.config(l.track)
	if err != nil {
		return config, err
	}
	l.judge, l.told = policy.NewJudge(p), make(map[string]toldCheck)
	l.readings++
	return config, nil
}

// about judges findings about a connection that is open.
func (l *livePolicy) about(id uint64, c *track.Conn, findings []anomaly.Finding, in *report.Inputs, now capture.Time) {
	if len(findings) == 0 {
		return
	}
	l.conn = report.Connection{Conn: c, ID: id, Capture: in.Name(c.First), Inputs: in, Now: now, Findings: findings}
	l.judge.Findings(&l.conn)
}

// connection judges a connection whose record is closed, with those of its findings
// that were not judged before.
func (l *livePolicy) connection(c *report.Connection, findings []anomaly.Finding) {
	l.conn = *c
	l.conn.Findings = findings
	_ = l.judge.Connection(&l.conn) // it writes nothing
}

// aboutMany judges a finding about many connections.
func (l *livePolicy) aboutMany(f *report.Finding) { _ = l.judge.Finding(f) } // it writes nothing

// tell tells the checks that are broken and were not, and those that are kept again.
// At the end it knows of all; before, what is to come may keep some. It reports
// whether any is broken.
func (l *livePolicy) tell(over bool, say func(string)) (broken bool) {
	v := l.judge.Verdict()
	now := time.Now()
	for i := range v.Results {
		r := &v.Results[i]
		is := r.Status == policy.Broken
		broken = broken || is
		told := l.told[r.ID()]
		if is == told.broken || !over && (r.Early || now.Sub(told.at) < tellAgainAfter) {
			continue
		}
		l.told[r.ID()] = toldCheck{is, now}
		say(describe(r))
	}
	return broken
}

// describe tells in a line that a check is broken, and by which connection, or that
// it is kept again.
func describe(r *policy.Result) string {
	if r.Status != policy.Broken {
		return fmt.Sprintf("policy kept again: %s: %s", r.ID(), r.Message)
	}
	text := fmt.Sprintf("policy broken: %s: %s", r.ID(), r.Message)
	if len(r.Examples) > 0 {
		text += "; " + r.Examples[0].String()
	}
	if r.Suspect != anomaly.NoSuspect {
		text += "; suspect: " + r.Suspect.String()
	}
	return text
}

// reread reads the policy again, if it was asked to, and has the checkers go by it.
func (l *livePolicy) reread(checkers []*anomaly.Checker, fail, note func(string)) {
	if !l.asked.CompareAndSwap(true, false) {
		return
	}
	config, err := l.read()
	if err != nil {
		first, rest, _ := strings.Cut(err.Error(), "\n")
		if rest != "" {
			first += fmt.Sprintf(" (and %d more)", strings.Count(rest, "\n")+1)
		}
		fail("the policy is as it was: " + first)
		return
	}
	for _, k := range checkers {
		k.Configure(config)
	}
	note("the policy was read again: " + l.name)
}
