package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"tcplife/internal/bench/workload"
)

// summaryCounts reads the counts out of what tcplife --format summary writes for one
// capture.
func summaryCounts(text string) (t workload.Truth, err error) {
	m := summaryLines.FindStringSubmatch(text)
	if m == nil {
		return t, fmt.Errorf("no summary of one capture: %.200q", text)
	}
	t.Packets, t.Connections = number(m[1]), number(m[2])
	t.Outcomes = make(map[string]uint64)
	for part := range strings.SplitSeq(m[3], ", ") {
		n, name, _ := strings.Cut(part, " ")
		t.Outcomes[strings.ReplaceAll(name, " ", "-")] = number(n)
	}
	return t, nil
}

var summaryLines = regexp.MustCompile(`(?m)^.*: pcap.*, ([\d,]+) packets?, .*\n([\d,]+) connections?: (.*)$`)

func number(s string) uint64 {
	n, _ := strconv.ParseUint(strings.ReplaceAll(s, ",", ""), 10, 64)
	return n
}

// sameSummary reports how tcplife's summary departs from the truth.
func sameSummary(text string, truth workload.Truth) error {
	got, err := summaryCounts(text)
	if err != nil {
		return err
	}
	if got.Packets != truth.Packets {
		return fmt.Errorf("%d packets counted, there are %d", got.Packets, truth.Packets)
	}
	if truth.Connections == 0 {
		return nil // not known
	}
	if got.Connections != truth.Connections {
		return fmt.Errorf("%d connections counted, there are %d", got.Connections, truth.Connections)
	}
	for name, n := range truth.Outcomes {
		if got.Outcomes[name] != n {
			return fmt.Errorf("%d connections counted as %s, there are %d", got.Outcomes[name], name, n)
		}
	}
	return nil
}

// sameYardstick reports how the yardstick's counts depart from the truth.
func sameYardstick(text string, truth workload.Truth) error {
	var got workload.Truth
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		return err
	}
	want := truth
	want.Retransmits, want.Outcomes, want.Bytes = 0, nil, 0 // it doesn't count them
	if truth.Connections == 0 {
		want, got = workload.Truth{Packets: want.Packets}, workload.Truth{Packets: got.Packets}
	}
	a, _ := json.Marshal(got)
	b, _ := json.Marshal(want)
	if string(a) != string(b) {
		return fmt.Errorf("counted %s, there is %s", a, b)
	}
	return nil
}

// gcShare returns which share of the cpu time the garbage collector took, by what
// GODEBUG=gctrace=1 wrote.
func gcShare(stderr string, cpu float64) float64 {
	var ms float64
	for _, m := range gcLine.FindAllStringSubmatch(stderr, -1) {
		for part := range strings.FieldsFuncSeq(m[1], func(r rune) bool { return r == '+' || r == '/' }) {
			v, _ := strconv.ParseFloat(part, 64)
			ms += v
		}
	}
	return ms / 1000 / cpu
}

// gcLine's group is, in ms: sweep termination + assists / background / idle
// marking + mark termination.
var gcLine = regexp.MustCompile(`(?m)^gc \d+ @.* ms clock, ([\d.+/]+) ms cpu,`)
