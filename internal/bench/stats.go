package main

import (
	"slices"
	"time"
)

// A sample is what one run of a program took.
type sample struct {
	wall, cpu time.Duration // cpu: in user and kernel mode, of all threads
	rss       int64         // octets: the most that was in memory
}

// What a sample is compared by.
func wall(s sample) float64 { return s.wall.Seconds() }
func cpu(s sample) float64  { return s.cpu.Seconds() }
func rss(s sample) float64  { return float64(s.rss) }

// median returns the middle of the values, or of the two in the middle their
// mean. ok is false if there are none.
func median(values []float64) (m float64, ok bool) {
	v := slices.Sorted(slices.Values(values))
	switch n := len(v); {
	case n == 0:
		return 0, false
	case n%2 == 0:
		return (v[n/2-1] + v[n/2]) / 2, true
	default:
		return v[n/2], true
	}
}

// of returns the median of what the samples took.
func of(samples []sample, what func(sample) float64) (float64, bool) {
	values := make([]float64, len(samples))
	for i, s := range samples {
		values[i] = what(s)
	}
	return median(values)
}

// ratio returns the median of a's ratios to b, round by round: a machine that
// slows down for some rounds slows both.
func ratio(a, b []sample, what func(sample) float64) (float64, bool) {
	var values []float64
	for i := range min(len(a), len(b)) {
		if d := what(b[i]); d > 0 {
			values = append(values, what(a[i])/d)
		}
	}
	return median(values)
}
