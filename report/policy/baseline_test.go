package policy

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"tcplife/report/anomaly"
)

// TestAtLeast holds the tail to sums of binomials, reckoned by hand.
func TestAtLeast(t *testing.T) {
	for _, c := range []struct {
		k, n, marked, of uint64
		want             float64
	}{
		{3, 3, 3, 6, 0.05},
		{8, 8, 8, 16, 1.0 / 12870},
		{4, 8, 5, 16, (5*330 + 1*165) / 12870.0},
		{3, 8, 4, 12, (4*56 + 1*70) / 495.0},
		{0, 5, 0, 10, 1},
		{6, 5, 6, 10, 0},
	} {
		if got := atLeast(c.k, c.n, c.marked, c.of); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%+v: got %v", c, got)
		}
	}
	begun := time.Now()
	if p := atLeast(600e9, 1e12, 1e12, 2e12); p > 1e-9 || time.Since(begun) > 5*time.Second {
		t.Error(p, time.Since(begun))
	}
}

// run returns a verdict with some numbers, and its record as another run reads it.
func run(t *testing.T, resets, of uint64, times []time.Duration, findings uint64) (*Verdict, *Record) {
	t.Helper()
	p, err := Parse("p", []byte("version: 1\nrules: {close-wait: fail}\n"))
	if err != nil {
		t.Fatal(err)
	}
	j := NewJudge(p)
	v := j.Verdict()
	v.Connections = of
	for _, n := range v.all {
		switch n.metric.Name {
		case "resets":
			n.hits, n.of = resets, of
		case "handshake_time":
			for _, d := range times {
				n.times.add(d)
			}
		case "connections":
			n.hits, n.of = of, of
		}
	}
	for i := range v.Results {
		r := &v.Results[i]
		if r.Name == anomaly.CloseWait.Name && findings > 0 {
			r.Status, r.Count, r.Message = Broken, findings, "some findings"
		}
	}
	for _, f := range v.findings {
		if f.Rule == anomaly.CloseWait.Name {
			f.Findings, f.Connections = findings, findings
		}
	}
	text, err := json.Marshal(v.Record())
	if err != nil {
		t.Fatal(err)
	}
	rec, err := ReadRecord(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return v, rec
}

func repeat(d time.Duration, n int) []time.Duration { return slices.Repeat([]time.Duration{d}, n) }

// TestAgainst compares pairs of runs: what is worse breaks, what is better is noted,
// what may be chance is neither.
func TestAgainst(t *testing.T) {
	ms := time.Millisecond
	type side struct {
		resets, of uint64
		times      []time.Duration
		findings   uint64
	}
	for name, c := range map[string]struct {
		then, now side
		broken    string // the IDs of what is broken
		notes     string // what they begin with
	}{
		"same":                        {side{5, 100, nil, 0}, side{50, 1000, nil, 0}, "", ""},
		"more, by chance":             {side{5, 100, nil, 0}, side{8, 100, nil, 0}, "", ""},
		"more":                        {side{5, 100, nil, 0}, side{25, 100, nil, 0}, "baseline resets", ""},
		"more, of a short run":        {side{5, 100, nil, 0}, side{2, 8, nil, 0}, "", ""},
		"a little more, of very many": {side{10000, 1e6, nil, 0}, side{11000, 1e6, nil, 0}, "", ""},
		"more, of very many":          {side{10000, 1e6, nil, 0}, side{13000, 1e6, nil, 0}, "baseline resets", ""},
		"fewer":                       {side{25, 100, nil, 0}, side{5, 100, nil, 0}, "", "better than the baseline: resets, 5 of 100 (5%), 25 of 100 (25%) in the baseline"},
		"longer":                      {side{0, 9, repeat(10*ms, 50), 0}, side{0, 9, repeat(20*ms, 80), 0}, "baseline handshake_time p50, baseline handshake_time p90, baseline handshake_time p99", ""},
		"longer, of few":              {side{0, 9, repeat(10*ms, 3), 0}, side{0, 9, repeat(20*ms, 3), 0}, "", ""},
		"a little longer":             {side{0, 9, repeat(10*ms, 500), 0}, side{0, 9, repeat(11*ms, 500), 0}, "", ""},
		"a tail": {
			side{0, 9, repeat(10*ms, 1000), 0},
			side{0, 9, append(repeat(10*ms, 960), repeat(time.Second, 40)...), 0},
			"baseline handshake_time p99", "",
		},
		"shorter": {
			side{0, 9, repeat(20*ms, 50), 0},
			side{0, 9, repeat(10*ms, 50), 0},
			"", "better than the baseline: handshake_time p50, 10ms, 20.05ms in the baseline|better than the baseline: handshake_time p90|better than the baseline: handshake_time p99",
		},
		"microseconds":          {side{0, 9, repeat(10*time.Microsecond, 50), 0}, side{0, 9, repeat(500*time.Microsecond, 50), 0}, "", ""},
		"a new finding":         {side{0, 1000, nil, 0}, side{0, 1000, nil, 1}, "rule close-wait, baseline close-wait", ""},
		"a known finding":       {side{0, 1000, nil, 3}, side{0, 1000, nil, 5}, "", ""},
		"a finding, more often": {side{0, 1000, nil, 3}, side{0, 1000, nil, 30}, "baseline close-wait", ""},
		"no more findings":      {side{0, 1000, nil, 3}, side{0, 1000, nil, 0}, "", "better than the baseline: no close-wait any more, 3 of 1000 connections had it"},
	} {
		t.Run(name, func(t *testing.T) {
			_, then := run(t, c.then.resets, c.then.of, c.then.times, c.then.findings)
			v, _ := run(t, c.now.resets, c.now.of, c.now.times, c.now.findings)
			v.Against(then)
			var broken []string
			for i := range v.Results {
				if r := &v.Results[i]; r.Status == Broken {
					broken = append(broken, r.ID())
				}
			}
			want := strings.Split(c.broken, ", ")
			slices.Sort(want)
			slices.Sort(broken)
			if got := strings.Join(broken, ", "); got != strings.Join(want, ", ") {
				t.Errorf("broken: %s", got)
			}
			notes := strings.Split(c.notes, "|")
			if c.notes == "" {
				notes = nil
			}
			if len(notes) != len(v.Notes) {
				t.Fatalf("notes: %q", v.Notes)
			}
			for i, n := range notes {
				if !strings.HasPrefix(v.Notes[i], n) {
					t.Errorf("note: %s", v.Notes[i])
				}
			}
		})
	}
}

// TestAgainstBursts: many retransmissions of one connection are one event; of many
// connections they are many, if they are more of the segments too.
func TestAgainstBursts(t *testing.T) {
	type side struct{ hits, of, connHits, conns uint64 } // segments, connections
	for name, c := range map[string]struct {
		then, now    side
		worse, notes string
	}{
		"a burst":         {side{10, 100000, 8, 1000}, side{500, 100000, 9, 1000}, "", ""},
		"everywhere":      {side{10, 100000, 8, 1000}, side{500, 100000, 300, 1000}, "baseline retransmits", ""},
		"spread":          {side{500, 100000, 10, 1000}, side{500, 100000, 300, 1000}, "", ""},
		"nowhere":         {side{500, 100000, 300, 1000}, side{10, 100000, 8, 1000}, "", "better than the baseline: retransmits, 10 of 100000 (0.01%), 500 of 100000 (0.5%) in the baseline"},
		"in fewer":        {side{500, 100000, 300, 1000}, side{500, 100000, 8, 1000}, "", ""},
		"not known then":  {side{0, 100000, 0, 0}, side{500, 100000, 300, 1000}, "", ""},
		"of other length": {side{50, 10000, 30, 100}, side{5000, 1000000, 3000, 10000}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			verdict := func(s side) *Verdict {
				v, _ := run(t, 0, 10, nil, 0)
				for _, n := range v.all {
					if n.metric.Name == "retransmits" {
						n.hits, n.of, n.conns = s.hits, s.of, connections{s.connHits, s.conns}
					}
				}
				return v
			}
			v := verdict(c.now)
			v.Against(verdict(c.then).Record())
			worse := ""
			for i := range v.Results {
				if r := &v.Results[i]; r.Status == Broken {
					worse += r.ID()
				}
			}
			if notes := strings.Join(v.Notes, "|"); worse != c.worse || notes != c.notes {
				t.Errorf("worse %q, notes %q", worse, notes)
			}
		})
	}
	// What is counted of connections is: those with segments, and those that lost any.
	v := judge(t, &Policy{Blocks: []*Block{{Fail: anomaly.Error, Tell: anomaly.Warn}}}, `
0        --> S 0:0(0)
+1       --> S 0:0(0)
+2       --> S 0:0(0)

A 10.0.0.1:40001
B 10.0.0.5:5432
5        --> S 0:0(0)
+.010    <-- S. 0:0(0) ack 1
`).Verdict()
	i := slices.IndexFunc(v.Record().Numbers, func(n NumberRecord) bool { return n.Name == "retransmits" })
	if n := v.Record().Numbers[i]; n.Hits != 2 || n.Of != 5 || n.ConnectionHits != 1 || n.Connections != 2 {
		t.Errorf("%+v", n)
	}
}

// TestAgainstNeutral: what is neither good nor bad is not compared, and findings that
// are of no weight are not said to be gone.
func TestAgainstNeutral(t *testing.T) {
	verdict := func(hits uint64, d time.Duration) *Verdict {
		v, _ := run(t, 0, 1000, nil, 3)
		for _, n := range v.all {
			switch {
			case n.metric.neutral && n.metric.kind == shared:
				n.hits, n.of = hits, 1000
			case n.metric.neutral && n.metric.kind == timed:
				for range 1000 {
					n.times.add(d)
				}
			}
		}
		return v
	}
	then, now := verdict(1, time.Second), verdict(900, time.Minute)
	now.Results = slices.DeleteFunc(now.Results, func(r Result) bool { return r.Count > 0 })
	if now.Against(then.Record()); now.Broken() || len(now.Notes) > 0 {
		t.Errorf("%q\n%s", now.Notes, dump(now))
	}
}

func TestReadRecordErrors(t *testing.T) {
	for text, want := range map[string]string{
		``:               "unexpected end of JSON input; want what check --report json=FILE writes",
		`[]`:             "cannot unmarshal array",
		`{"schema":"x"}`: `has the schema "x", want "tcplife-check/1", as check --report json=FILE writes`,
		`{"schema":"tcplife-check/1","numbers":[{"name":"resets","hits":2,"of":1}]}`:                          "resets: 2 of 1",
		`{"schema":"tcplife-check/1","numbers":[{"name":"retransmits","connection_hits":2,"connections":1}]}`: "retransmits: ",
		`{"schema":"tcplife-check/1","numbers":[{"name":"duration","count":2,"buckets":[[1,1]]}]}`:            "duration: 1 in buckets of 2",
		`{"schema":"tcplife-check/1","findings":[{"rule":"a","findings":1,"connections":2}]}`:                 "more connections than findings: a",
		`{"schema":"tcplife-check/1","connections":1000000000001}`:                                            "1000000000001 connections",
	} {
		if _, err := ReadRecord(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func FuzzReadRecord(f *testing.F) {
	f.Add([]byte(`{"schema":"tcplife-check/1","connections":9,"numbers":[{"name":"resets","hits":1,"of":2},{"name":"handshake_time","count":3,"buckets":[[1,1],[9,2]]}],"findings":[{"rule":"close-wait","findings":1,"connections":1}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		rec, err := ReadRecord(bytes.NewReader(data))
		if err != nil {
			return
		}
		p, err := Parse("p", []byte("version: 1\n"))
		if err != nil {
			t.Fatal(err)
		}
		NewJudge(p).Verdict().Against(rec)
	})
}

func TestHistogram(t *testing.T) {
	var h histogram
	for i := 1; i <= 1000; i++ {
		h.add(time.Duration(i) * time.Millisecond)
	}
	for q, want := range map[int]time.Duration{500: 500, 900: 900, 990: 990, 1000: 1000, 1: 1} {
		want *= time.Millisecond
		if got := h.quantile(q); got < want || float64(got) > float64(want)*1.008 {
			t.Errorf("%d: got %v, want %v", q, got, want)
		}
	}
	h = histogram{}
	for _, d := range []time.Duration{-1, 0, 1, 127, 128, 129, 255, 256, 257, 1<<40 + 1, math.MaxInt64} {
		if b := bucketOf(d); bucketEnd(b) < d || b > 0 && bucketEnd(b-1) >= d {
			t.Errorf("%d: in bucket %d, to %d", d, b, bucketEnd(b))
		}
		h.add(d)
	}
	if h.quantile(1000) != math.MaxInt64 {
		t.Error(h.quantile(1000))
	}
}
