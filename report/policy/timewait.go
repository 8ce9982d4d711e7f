package policy

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"tcplife/decode/capture"
	"tcplife/internal/fold"
	"tcplife/report"
	"tcplife/track"
)

// timeWaits counts the sockets in TIME_WAIT of each host over time, coarsely: its
// memory is bounded.
type timeWaits struct {
	hosts fold.Map[netip.Addr, timeline]
}

const (
	maxHosts = 256  // the busiest are kept
	maxSteps = 2048 // of a host, before its steps become twice as long
)

func newTimeWaits() timeWaits {
	return timeWaits{fold.New[netip.Addr](maxHosts, func(t *timeline) uint64 { return t.n })}
}

// A timeline counts what lasts at a time.
type timeline struct {
	host  netip.Addr
	step  time.Duration
	delta map[int64]int // by step
	n     uint64
}

// add counts the ends of a connection that are, or were, in TIME_WAIT.
func (w *timeWaits) add(c *report.Connection) {
	for _, e := range c.Ends() {
		at, _, ok := e.Entered(track.TimeWait)
		if !ok {
			continue
		}
		until := max(at, c.Now)
		for _, t := range e.Transitions() {
			if t.From == track.TimeWait && t.Time >= at {
				until = t.Time
			}
		}
		host := e.Addr().IP()
		t := w.hosts.At(host)
		if t.delta == nil {
			t.host, t.step, t.delta = host, time.Second, make(map[int64]int)
		}
		t.add(at, until)
	}
}

// peak returns the most at a time at one host, which one that is, and when.
func (w *timeWaits) peak() (most uint64, host netip.Addr, at capture.Time) {
	hosts, _ := w.hosts.Sorted(func(a, b *timeline) int {
		return cmp.Or(cmp.Compare(b.n, a.n), a.host.Compare(b.host))
	})
	for _, t := range hosts {
		if n, when := t.peak(); n > most {
			most, host, at = n, t.host, when
		}
	}
	return most, host, at
}

func (t *timeline) add(from, until capture.Time) {
	t.n++
	t.delta[int64(from)/int64(t.step)]++
	t.delta[int64(until)/int64(t.step)+1]--
	if len(t.delta) <= maxSteps {
		return
	}
	wider := make(map[int64]int, len(t.delta))
	for at, d := range t.delta {
		// A beginning goes to the step that holds it. So does an end, which is the
		// first step after: what ended in its middle lasts to that step's end.
		if d < 0 {
			at++
		}
		wider[at>>1] += d
	}
	t.step, t.delta = 2*t.step, wider
}

func (t *timeline) peak() (most uint64, at capture.Time) {
	steps := make([]int64, 0, len(t.delta))
	for s := range t.delta {
		steps = append(steps, s)
	}
	slices.Sort(steps)
	now := 0
	for _, s := range steps {
		if now += t.delta[s]; now > 0 && uint64(now) > most {
			most, at = uint64(now), capture.Time(s*int64(t.step))
		}
	}
	return most, at
}
