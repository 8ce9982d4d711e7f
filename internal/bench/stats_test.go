package main

import (
	"math"
	"testing"
	"time"
)

func TestMedian(t *testing.T) {
	for _, test := range []struct {
		values []float64
		want   float64
		ok     bool
	}{
		{nil, 0, false},
		{[]float64{7}, 7, true},
		{[]float64{9, 1}, 5, true},
		{[]float64{100, 1, 3}, 3, true},
		{[]float64{4, 100, 1, 2}, 3, true},
	} {
		values := append([]float64{}, test.values...)
		if got, ok := median(values); got != test.want || ok != test.ok {
			t.Errorf("median of %v: %v, %v", test.values, got, ok)
		}
		for i, v := range test.values {
			if values[i] != v {
				t.Errorf("median put %v in order", test.values)
			}
		}
	}
}

// A machine three times as slow in one round is so for both, and the ratio of the
// medians would be wrong.
func TestRatio(t *testing.T) {
	took := func(seconds ...int) (all []sample) {
		for _, s := range seconds {
			all = append(all, sample{wall: time.Hour, cpu: time.Duration(s) * time.Second})
		}
		return all
	}
	for _, test := range []struct {
		name string
		a, b []sample
		want float64
		ok   bool
	}{
		{"nothing", nil, nil, 0, false},
		{"one was not measured", took(1, 2, 3), nil, 0, false},
		{"each round by itself", took(2, 6, 2), took(1, 3, 1), 2, true},
		{"of the ratios", took(1, 6, 9), took(1, 3, 3), 2, true},
		{"a round is missing", took(2, 6), took(1, 3, 100), 2, true},
		{"too short to be measured", took(2, 6), took(0, 3), 2, true},
	} {
		if got, ok := ratio(test.a, test.b, cpu); got != test.want || ok != test.ok {
			t.Errorf("%s: %v, %v", test.name, got, ok)
		}
	}
	if got, ok := ratio(took(1), took(5), wall); got != 1 || !ok {
		t.Errorf("wall: %v, %v", got, ok)
	}
}

// Lines that the runtime of Go 1.26 wrote, between others.
func TestGCShare(t *testing.T) {
	const trace = `gc 1 @0.005s 2%: 0.018+0.55+0.004 ms clock, 0.036+0.12/0.50/0.30+0.009 ms cpu, 4->4->0 MB, 4 MB goal, 0 MB stacks, 0 MB globals, 2 P
tcplife: x.pcap: frame 5: unexpected EOF
gc 2 @0.100s 1%: 0.1+1+0.1 ms clock, 1+0/2/3+4 ms cpu, 8->8->8 MB, 8 MB goal, 0 MB stacks, 0 MB globals, 2 P (forced)
`
	want := (0.036 + 0.12 + 0.50 + 0.30 + 0.009 + 10) / 1000 / 0.5
	if got := gcShare(trace, 0.5); math.Abs(got-want) > 1e-12 {
		t.Errorf("%v, want %v", got, want)
	}
	if got := gcShare("", 0.5); got != 0 {
		t.Errorf("%v of nothing", got)
	}
}
