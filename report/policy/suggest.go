package policy

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"tcplife/report/anomaly"
)

// Suggest writes a policy that the connections of a verdict keep, with room for
// the next run. What was seen stands beside each line. The verdict must be one by
// the policy "version: 1".
func Suggest(v *Verdict) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "# What tcplife check expects, written by tcplife policy init from %s", counts(v.Connections, "connection"))
	if v.Packets > 0 {
		fmt.Fprintf(&b, " in %v", anomaly.Dur(max(v.Last.Sub(v.First), 0)))
	}
	b.WriteString(`.
# Behind each line stands what was seen; the line leaves room for twice that. Take
# away what does not matter, and tighten what does. Editors know the keys by the
# schema that tcplife policy schema prints.
version: 1
fail: error # findings of this severity and above break the policy
tell: warn  # and those of this one are told

rules:
`)
	// What counts as a leak, unless it was seen.
	leaks := true
	for i := range v.Results {
		r := &v.Results[i]
		if r.Kind != RuleCheck || r.Count == 0 {
			continue
		}
		leaks = leaks && r.Name != anomaly.CloseWait.Name
		fmt.Fprintf(&b, "  %s: {from: warn, max: %d} # %s\n", r.Name, roundUp(2*r.Count), counts(r.Count, "finding"))
	}
	if leaks {
		fmt.Fprintf(&b, "  %s: fail # no findings\n", anomaly.CloseWait.Name)
	}

	b.WriteString("\nlimits:\n")
	fmt.Fprintf(&b, "  connections: {min: %d} # %d\n", min(v.Connections, 1), v.Connections)
	for _, n := range v.all {
		suggestLimit(&b, n, v)
	}

	b.WriteString("\n")
	suggestExpect(&b, v)
	return []byte(b.String())
}

// leastTime is the shortest limit of a duration: a busy machine is that late.
const leastTime = 100 * time.Millisecond

func suggestLimit(b *strings.Builder, n *number, v *Verdict) {
	switch {
	case n.metric.kind == counted || !n.measured():
	case n.metric.kind == timed:
		most := roundUpTime(max(2*n.times.longest, leastTime))
		p99 := min(most, roundUpTime(max(2*n.times.quantile(990), leastTime)))
		fmt.Fprintf(b, "  %s: {p99: %s, max: %s} # %v, %v\n", n.metric.Name, timeText(p99), timeText(most),
			anomaly.Dur(n.times.quantile(990)), anomaly.Dur(n.times.longest))
	case n.metric.kind == peak:
		most, _, _ := v.timeWaits.peak()
		fmt.Fprintf(b, "  %s: %d # %d\n", n.metric.Name, max(roundUp(2*most), 10), most)
	default:
		share := roundUpShare(2 * float64(n.hits) / float64(n.of))
		if n.metric.Name == "retransmits" {
			share = max(share, 0.01) // a network may always lose some
		}
		if share < 1 {
			fmt.Fprintf(b, "  %s: %s # %d of %d\n", n.metric.Name, percent(share), n.hits, n.of)
		}
	}
}

// maxSuggested bounds the ports that a policy is suggested for: more are nobody's
// services.
const maxSuggested = 10

// firstEphemeral is the first of the ports that Linux gives to those who ask for
// any: a server there has another one the next time.
const firstEphemeral = 32768

func suggestExpect(b *strings.Builder, v *Verdict) {
	ports, _ := v.ports.Sorted(func(a, b *PortCount) int {
		return cmp.Or(cmp.Compare(b.Clean, a.Clean), cmp.Compare(a.Port, b.Port))
	})
	told := 0
	for _, p := range ports {
		if p.Clean == 0 || p.Port >= firstEphemeral || told == maxSuggested {
			continue
		}
		if told == 0 {
			b.WriteString("expect:\n")
		}
		told++
		fmt.Fprintf(b, "  - {where: {port: %d}, at_least: 1} # %d that ended cleanly\n", p.Port, p.Clean)
	}
	if told == 0 {
		b.WriteString("# expect: connections that must exist; none to a fixed port ended cleanly here\n")
	}
}

// roundUp returns the next of 1, 2, 5, 10, 20, 50 …, 0 for 0.
func roundUp(n uint64) uint64 {
	return uint64(roundUpFloat(float64(n)))
}

// niceTimes are what durations are rounded up to.
var niceTimes = []time.Duration{1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 10e3, 20e3, 30e3, 60e3, 120e3, 300e3, 600e3, 1200e3, 1800e3}

func roundUpTime(d time.Duration) time.Duration {
	for _, n := range niceTimes {
		if n *= time.Millisecond; n >= d {
			return n
		}
	}
	return (d + time.Hour - 1).Truncate(time.Hour)
}

// timeText is a duration without the parts that are zero: "2h", not "2h0m0s".
func timeText(d time.Duration) string {
	s := d.String()
	if short, ok := strings.CutSuffix(s, "m0s"); ok {
		s = short + "m"
	}
	if short, ok := strings.CutSuffix(s, "h0m"); ok {
		s = short + "h"
	}
	return s
}

func roundUpShare(s float64) float64 { return min(roundUpFloat(s*100)/100, 1) }

func roundUpFloat(f float64) float64 {
	if f <= 0 {
		return 0
	}
	unit := math.Pow(10, math.Floor(math.Log10(f)))
	for _, step := range [...]float64{1, 2, 5, 10} {
		if r := step * unit; r >= f*(1-1e-9) {
			// As it is written, without what binary fractions add.
			r, _ = strconv.ParseFloat(strconv.FormatFloat(r, 'g', 3, 64), 64)
			return r
		}
	}
	return 10 * unit
}
