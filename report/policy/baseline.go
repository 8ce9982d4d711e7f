package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"tcplife/report/anomaly"
)

// maxRecord bounds the records that are read: a hundred times a large one.
const maxRecord = 64 << 20

// ReadRecord reads the record of an earlier run.
func ReadRecord(r io.Reader) (*Record, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxRecord+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxRecord {
		return nil, fmt.Errorf("longer than %d octets", maxRecord)
	}
	var rec Record
	if err := json.Unmarshal(data, &rec); err != nil {
		return nil, fmt.Errorf("%w; want what check --report json=FILE writes", err)
	}
	if rec.Schema != RecordSchema {
		return nil, fmt.Errorf("has the schema %q, want %q, as check --report json=FILE writes", rec.Schema, RecordSchema)
	}
	return &rec, rec.check()
}

// mostCounted is more than a run counts, and little enough to reckon with.
const mostCounted = 1e12

// check refuses a record whose numbers can't be.
func (r *Record) check() error {
	if r.Connections > mostCounted {
		return fmt.Errorf("%d connections", r.Connections)
	}
	for _, n := range r.Numbers {
		if n.Hits > n.Of || n.Of > mostCounted || n.Count > mostCounted || n.ConnectionHits > n.Connections || n.Connections > mostCounted {
			return fmt.Errorf("%s: %d of %d, %d", n.Name, n.Hits, n.Of, n.Count)
		}
		var sum uint64
		for _, b := range n.Buckets {
			sum += min(b[1], mostCounted)
		}
		if sum != n.Count {
			return fmt.Errorf("%s: %d in buckets of %d", n.Name, sum, n.Count)
		}
	}
	for _, f := range r.Findings {
		if f.Connections > f.Findings {
			return errors.New("more connections than findings: " + f.Rule)
		}
	}
	return nil
}

// Against compares the verdict with an earlier run's. A check that was broken then
// too is told, and breaks nothing; what is new since, or worse, is a check of its
// own that is broken; what is better is noted.
//
// Two runs differ in length, so shares of connections are compared, by Fisher's
// exact test: they differ if chance alone makes such a difference in one of a
// hundred pairs of runs, and if it is a fifth or more. A percentile of a duration is
// compared by the share of connections that take longer than the earlier one and a
// fifth, and a millisecond, above it. Retransmissions come in bursts, so that those of
// one connection are no independent events: their share must differ by the fifth, and
// the share of connections that have any as above. Findings of a rule that had none are new
// whatever their number. What is neither better nor worse when it is more, such as
// the number of connections, is not compared.
func (v *Verdict) Against(then *Record) {
	broken := map[string]bool{}
	for _, c := range then.Checks {
		broken[c.ID] = broken[c.ID] || c.Status == Broken.String()
	}
	told := map[string]*Result{} // with findings now, the worst of each rule
	for i := range v.Results {
		r := &v.Results[i]
		if r.Kind == RuleCheck && r.Count > 0 && told[r.Name] == nil {
			told[r.Name] = r
		}
		if r.Status == Broken && broken[r.ID()] {
			r.Status = Told
			r.Message += "; broken in the baseline too"
		}
	}
	v.compareRules(then, told)
	v.compareNumbers(then)
	v.sort()
}

func (v *Verdict) compareRules(then *Record, told map[string]*Result) {
	before := map[string]RuleRecord{}
	for _, f := range then.Findings {
		before[f.Rule] = f
	}
	for _, f := range v.findings {
		was := sharePair{
			k1: min(before[f.Rule].Connections, then.Connections), n1: then.Connections,
			k2: min(f.Connections, v.Connections), n2: v.Connections, // a finding may be about none
		}
		r := told[f.Rule]
		switch {
		case r == nil && (f.Findings > 0 || was.k1 == 0):
			continue // of no weight, or never there
		case r == nil:
			v.Notes = append(v.Notes, fmt.Sprintf("better than the baseline: no %s any more, %d of %d connections had it", f.Rule, was.k1, was.n1))
			continue
		}
		res := Result{
			Kind: BaselineCheck, Name: f.Rule, Line: r.Line, Status: Kept, Severity: r.Severity, Count: r.Count, Suspect: r.Suspect, Message: was.String(),
		}
		switch {
		case was.k1 == 0:
			res.Status, res.Examples = Broken, r.Examples
			res.Message = "new: " + counts(f.Findings, "finding") + ", none in the baseline"
		case was.more():
			res.Status, res.Examples = Broken, r.Examples
			res.Message = "worse: " + res.Message
		case was.fewer():
			v.Notes = append(v.Notes, "better than the baseline: "+f.Rule+", "+was.String())
		}
		v.Results = append(v.Results, res)
	}
}

// percentiles are those that are compared, in thousandths.
var percentiles = [...]int{500, 900, 990}

func (v *Verdict) compareNumbers(then *Record) {
	before := map[string]NumberRecord{}
	for _, n := range then.Numbers {
		before[n.Name] = n
	}
	for _, n := range v.all {
		was, ok := before[n.metric.Name]
		switch {
		case !ok || n.metric.neutral:
		case n.metric.kind == shared:
			s := sharePair{k1: was.Hits, n1: was.Of, k2: n.hits, n2: n.of}
			if n.metric.clustered {
				s = sharePair{
					what: s.String(), noMore: !s.grown(), noFewer: !s.shrunk(),
					k1: was.ConnectionHits, n1: was.Connections, k2: n.conns.hits, n2: n.conns.of,
				}
			}
			v.compare(n.metric.Name, s)
		case n.metric.kind == timed && was.Count > 0:
			for _, q := range percentiles {
				v.compareTimes(n, &was, q)
			}
		}
	}
}

// compareTimes compares a percentile.
func (v *Verdict) compareTimes(n *number, was *NumberRecord, q int) {
	then, now := was.quantile(q), n.times.quantile(q)
	limit := max(then+then/5, then+time.Millisecond)
	s := sharePair{k1: was.beyond(limit), n1: was.Count, k2: n.times.beyond(limit), n2: n.times.n}
	s.what = fmt.Sprintf("%v, %v in the baseline", anomaly.Dur(now), anomaly.Dur(then))
	if now <= limit {
		// It may be shorter: what was beyond the new one and a fifth is then fewer.
		limit = max(now+now/5, now+time.Millisecond)
		s.k1, s.k2 = was.beyond(limit), n.times.beyond(limit)
		s.noMore = true
	}
	v.compare(n.metric.Name+" "+quantileName(q), s)
}

func (v *Verdict) compare(name string, s sharePair) {
	if s.n1 == 0 || s.n2 == 0 {
		return
	}
	res := Result{Kind: BaselineCheck, Name: name, Status: Kept, Severity: anomaly.Error, Message: s.String()}
	switch {
	case !s.noMore && s.more():
		res.Status, res.Message = Broken, "worse: "+res.Message
	case !s.noFewer && s.fewer():
		v.Notes = append(v.Notes, "better than the baseline: "+name+", "+res.Message)
	}
	v.Results = append(v.Results, res)
}

// A sharePair is k of n in an earlier run and in this one.
type sharePair struct {
	what           string // how it is told, if not as shares
	k1, n1, k2, n2 uint64
	noMore         bool // more of these is nothing worse
	noFewer        bool // and fewer nothing better
}

func (s *sharePair) String() string {
	if s.what != "" {
		return s.what
	}
	return fmt.Sprintf("%s, %s in the baseline", ofText(s.k2, s.n2), ofText(s.k1, s.n1))
}

func ofText(k, n uint64) string {
	text := fmt.Sprintf("%d of %d", k, n)
	if n > 0 {
		text += " (" + percent(float64(k)/float64(n)) + ")"
	}
	return text
}

const (
	significance = 0.01 // of pairs of runs that do not differ, so many are said to
	margin       = 1.2  // below this ratio a difference is not worth a build
)

// more reports whether the share has grown, and not by chance.
func (s *sharePair) more() bool {
	return s.grown() && atLeast(s.k2, s.n2, s.k1+s.k2, s.n1+s.n2) < significance
}

// fewer reports whether the share has shrunk, and not by chance.
func (s *sharePair) fewer() bool {
	return s.shrunk() && atLeast(s.k1, s.n1, s.k1+s.k2, s.n1+s.n2) < significance
}

// grown and shrunk report whether the share is another by more than the margin.
func (s *sharePair) grown() bool {
	return s.n1 > 0 && s.n2 > 0 && float64(s.k2)*float64(s.n1) > margin*float64(s.k1)*float64(s.n2)
}

func (s *sharePair) shrunk() bool {
	return s.n1 > 0 && s.n2 > 0 && float64(s.k1)*float64(s.n2) > margin*float64(s.k2)*float64(s.n1)
}

// atLeast returns the probability that of n drawn from a number of things of which
// some are marked k or more are: the tail of the hypergeometric distribution. k is
// at least what is expected.
func atLeast(k, n, marked, of uint64) float64 {
	if k > min(n, marked) {
		return 0
	}
	choose := func(n, k uint64) float64 {
		a, _ := math.Lgamma(float64(n) + 1)
		b, _ := math.Lgamma(float64(k) + 1)
		c, _ := math.Lgamma(float64(n-k) + 1)
		return a - b - c
	}
	term := math.Exp(choose(marked, k) + choose(of-marked, n-k) - choose(of, n))
	sum := 0.0
	for i := k; ; i++ {
		sum += term
		if i == min(n, marked) || term <= sum*1e-12 {
			return min(sum, 1)
		}
		term *= float64(marked-i) * float64(n-i) / (float64(i+1) * float64(of-marked-n+i+1))
	}
}

// quantile returns the nearest-rank quantile, in thousandths, of what was recorded.
func (r *NumberRecord) quantile(thousandths int) time.Duration {
	rank := (r.Count*uint64(thousandths) + 999) / 1000
	var seen uint64
	for _, b := range r.sorted() {
		if seen += b[1]; seen >= rank {
			return time.Duration(min(b[0], math.MaxInt64/4))
		}
	}
	return 0
}

// beyond returns how many of what was recorded are longer.
func (r *NumberRecord) beyond(d time.Duration) (n uint64) {
	for _, b := range r.Buckets {
		if b[0] > uint64(d) {
			n += b[1]
		}
	}
	return n
}

func (r *NumberRecord) sorted() [][2]uint64 {
	return slices.SortedFunc(slices.Values(r.Buckets), func(a, b [2]uint64) int { return slices.Compare(a[:], b[:]) })
}
