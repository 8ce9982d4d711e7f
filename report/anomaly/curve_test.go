package anomaly

import (
	"math/rand/v2"
	"testing"
	"time"

	"tcplife/decode/capture"
)

// TestCurve compares curves with exact counts: they never say more, and where steps
// are short enough, no less.
func TestCurve(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		n := 1 + r.IntN(50)
		all := make([]interval, n)
		var c curve
		reach := time.Duration(1+r.IntN(1e6)) * time.Millisecond
		for i := range all {
			from := capture.Time(r.Int64N(int64(reach)))
			all[i] = interval{from, from.Add(time.Duration(r.Int64N(int64(reach))))}
			if r.IntN(5) == 0 {
				all[i].to = forever
			}
			c.add(all[i].from, all[i].to)
		}
		if len(c.delta) > maxSteps {
			t.Fatalf("%d steps", len(c.delta))
		}
		exact := 0
		for _, a := range all {
			k := 0
			for _, b := range all {
				if b.from <= a.from && a.from < b.to {
					k++
				}
			}
			exact = max(exact, k)
		}
		most, at := c.peak()
		if most > exact || most != c.at(at) {
			t.Fatalf("peak %d, %d at its time, where there were %d", most, c.at(at), exact)
		}
		open := 0
		for _, a := range all {
			if a.to == forever {
				open++
			}
		}
		if got := c.at(forever - 1); got != open {
			t.Fatalf("%d at the end, where there are %d", got, open)
		}
	}
	var same curve
	for range 1000 {
		same.add(5e9, 65e9)
	}
	if n, _ := same.peak(); n != 1000 {
		t.Errorf("peak %d of 1000 at once", n)
	}
}

// TestCurveExtremes: times of a hostile capture harm nothing, and what is of use
// among them counts.
func TestCurveExtremes(t *testing.T) {
	var c curve
	times := []capture.Time{forever - 1, -forever, 0, 1, forever / 2, -forever / 2, 1 << 60, -1 << 60}
	for range 3 {
		for _, from := range times {
			for _, to := range append(times, forever) {
				c.add(from, to)
			}
		}
		for i := range 20 {
			c.add(capture.Time(i), 1e9)
		}
		if n, _ := c.peak(); len(c.delta) > maxSteps || n < 0 {
			t.Fatalf("%d steps, peak %d", len(c.delta), n)
		}
	}
	var d curve
	for range 9 {
		d.add(0, forever)
	}
	d.add(forever-1, forever)
	d.add(-forever, forever)
	if n, _ := d.peak(); n != 9 {
		t.Errorf("peak %d of 9", n)
	}
}
