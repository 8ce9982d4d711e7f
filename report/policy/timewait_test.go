package policy

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"tcplife/decode/capture"
)

// TestTimeline holds the peaks to those of a count without bounds: to the second, and
// no less, where time is coarser.
func TestTimeline(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		n, span int // intervals, seconds that they begin in
		coarse  bool
	}{{1, 1, false}, {100, 300, false}, {900, 500, false}, {5000, 100000, true}, {20000, 10, false}} {
		l := timeline{step: time.Second, delta: make(map[int64]int)}
		type change struct {
			at int64
			by int
		}
		var all []change
		for range c.n {
			from := int64(1e9) + r.Int64N(int64(c.span))
			until := from + r.Int64N(60)
			l.add(capture.Time(from*1e9+r.Int64N(1e9)), capture.Time(until*1e9+r.Int64N(1e9)))
			all = append(all, change{from, 1}, change{until + 1, -1})
			if len(l.delta) > 2*maxSteps {
				t.Fatalf("%d steps", len(l.delta))
			}
		}
		slices.SortFunc(all, func(a, b change) int { return cmp.Or(cmp.Compare(a.at, b.at), a.by-b.by) })
		now, most := 0, 0
		for _, x := range all {
			now += x.by
			most = max(most, now)
		}
		got, at := l.peak()
		if c.coarse != (l.step > time.Second) {
			t.Errorf("%+v: steps of %v", c, l.step)
		}
		if int(got) < most || !c.coarse && int(got) != most || at == 0 {
			t.Errorf("%+v: got %d, want %d", c, got, most)
		}
	}
	// Where steps become longer, what ended within one lasts to its end.
	short := timeline{step: time.Second, delta: make(map[int64]int)}
	for i := range int64(maxSteps/2 + 1) {
		short.add(capture.Time(4*i*1e9), capture.Time(4*i*1e9+1))
	}
	if got, _ := short.peak(); got != 1 || short.step != 2*time.Second {
		t.Errorf("got %d, steps of %v", got, short.step)
	}
	// Clocks that are far apart.
	l := timeline{step: time.Second, delta: make(map[int64]int)}
	for range 3 * maxSteps {
		at := capture.Time(r.Int64())
		l.add(at, at+1)
	}
	if got, _ := l.peak(); got == 0 || len(l.delta) > 2*maxSteps {
		t.Error(got, len(l.delta))
	}
}

// TestTimeWaitEnds: sockets are in TIME_WAIT until it is over, or the capture.
func TestTimeWaitEnds(t *testing.T) {
	closes := func(port int, at string) string {
		return fmt.Sprintf("A 10.0.0.1:%d\nB 10.0.0.5:80\n%s --> S 0:0(0)\n+.01 <-- S. 0:0(0) ack 1\n+.01 --> . 1:1(0) ack 1\n"+
			"+.01 --> F. 1:1(0) ack 1\n+.01 <-- F. 1:1(0) ack 2\n+.01 --> . 2:2(0) ack 2\n\n", port, at)
	}
	for later, want := range map[string]uint64{"30": 2, "58": 2, "62": 1, "600": 1} {
		p, err := Parse("p", []byte("version: 1\n"))
		if err != nil {
			t.Fatal(err)
		}
		v := judge(t, p, closes(40000, "0")+closes(40001, later)).Verdict()
		if most, host, _ := v.timeWaits.peak(); most != want || host.String() != "10.0.0.1" {
			t.Errorf("%s s later: %d at %v", later, most, host)
		}
	}
}
