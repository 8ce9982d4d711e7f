// Package policy holds captured connections to what a team expects of them, and
// gives a verdict: which checks are kept, which are broken, and the connections
// that show it.
//
// To add a number that can be limited, add a [Metric] to Metrics.
package policy

import (
	_ "embed"
	"time"

	"tcplife/report/anomaly"
)

// FileName is what a policy is called where no name is given.
const FileName = "tcplife.yaml"

// Default is the policy that holds where a team has written none.
//
//go:embed default.yaml
var Default []byte

// A Policy is what is expected of connections.
type Policy struct {
	Name   string // of its file, as given; DefaultName for the one that is built in
	Home   Networks
	Set    []string // settings of rules, as anomaly.Config.Set takes them
	Blocks []*Block // the first has no conditions, so it holds for every connection
	Expect []*Expectation
	Allow  []*Exception
}

// DefaultName is the name of the policy that is built in.
const DefaultName = "default"

// BuiltIn reports whether the policy is the one that is built in, so that there
// is no file to look at.
func (p *Policy) BuiltIn() bool { return p.Name == DefaultName }

// never is the threshold that no severity reaches.
const never = anomaly.Error + 1

// A Block is settings for the connections that its selector chooses.
type Block struct {
	Line  int // of the file
	Name  string
	Where Selector

	// Findings of severity Fail and above break the policy, and those of Tell and
	// above are told, unless Rules says otherwise of their rule. Zero: the block
	// says nothing.
	Fail, Tell anomaly.Severity
	Rules      map[string]*RuleSetting
	Limits     []*Limit // in the order of the file
}

// A RuleSetting says what findings of one rule mean.
type RuleSetting struct {
	Line int
	From anomaly.Severity // findings below it are left alone
	Max  Amount           // of them, beyond which the policy is broken
	Tell bool             // they are told, and never break the policy
}

// A Limit bounds a number.
type Limit struct {
	Line     int
	Metric   *Metric
	Quantile int // of durations, in thousandths: 990 is p99, 1000 the maximum
	Max      Amount
	Min      uint64 // only of counts; Max is not set then
	least    bool   // Min is what is limited
	Duration time.Duration
}

// An Expectation is connections that must exist.
type Expectation struct {
	Line    int
	Name    string
	Where   Selector
	AtLeast uint64
	Clean   bool // only those count that ended with both FINs
}

// An Exception is findings that are let pass, for a time.
type Exception struct {
	Line   int
	Rule   *anomaly.Rule
	Where  Selector
	Reason string
	Until  time.Time // the first moment at which it does not hold any more
}

// LastDay returns the last day on which the exception holds.
func (e *Exception) LastDay() string { return e.Until.AddDate(0, 0, -1).Format(time.DateOnly) }
