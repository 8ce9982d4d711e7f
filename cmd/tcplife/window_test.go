package main

import (
	"math"
	"strings"
	"testing"
	"time"

	"tcplife/decode/capture"
)

func TestMoments(t *testing.T) {
	first := capture.Time(time.Date(2026, 11, 20, 15, 53, 7, 500e6, time.UTC).UnixNano())
	for text, want := range map[string]string{
		"2026-11-20T12:00:00Z":           "2026-11-20T12:00:00Z",
		"2026-11-20T12:00:00.000000001Z": "2026-11-20T12:00:00.000000001Z",
		"2026-11-20T12:00:00+02:00":      "2026-11-20T10:00:00Z",
		"2026-11-20 12:00:00-02:00":      "2026-11-20T14:00:00Z",
		"2026-11-20T12:00:00":            "2026-11-20T12:00:00Z",
		"2026-11-20 12:00:00.5":          "2026-11-20T12:00:00.5Z", // as reports have it
		"2026-11-20 12:00":               "2026-11-20T12:00:00Z",
		"2026-11-20":                     "2026-11-20T00:00:00Z",
		"1969-12-31":                     "1969-12-31T00:00:00Z",
		"12:00:00":                       "2026-11-20T12:00:00Z",
		"12:00:00.25":                    "2026-11-20T12:00:00.25Z",
		"23:59":                          "2026-11-20T23:59:00Z",
		"+0s":                            "2026-11-20T15:53:07.5Z",
		"+1m30s":                         "2026-11-20T15:54:37.5Z",
		"+.5s":                           "2026-11-20T15:53:08Z",
	} {
		m, err := parseMoment(text)
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		if got := m.in(first).UTC().Format(time.RFC3339Nano); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	for _, text := range []string{
		"", "now", "30s", "-30s", "+", "+30", "++30s", "+-30s", "12", "24:00:00", "12:60", "12:00:00Z", "12:00 ",
		"2026-11-31", "2026-11-20T", "20.11.2026", "1500-01-01", "2262-01-01", "1700000000", "+9999999h",
	} {
		if m, err := parseMoment(text); err == nil {
			t.Errorf("%q is %+v", text, m)
		}
	}
	if m, err := parseMoment("+2562047h"); err != nil || m.in(first) != math.MaxInt64 {
		t.Errorf("the end of time: %v", err)
	}
}

func TestWindows(t *testing.T) {
	first := capture.Time(time.Date(2026, 11, 20, 23, 50, 0, 0, time.UTC).UnixNano())
	for _, test := range []struct{ since, until, want string }{
		{"", "", "-Inf to +Inf"},
		{"+10m", "", "2026-11-21 00:00:00 to +Inf"},
		{"", "+10m", "-Inf to 2026-11-21 00:00:00"},
		{"23:55", "23:58", "2026-11-20 23:55:00 to 2026-11-20 23:58:00"},
		{"23:55", "00:05", "2026-11-20 23:55:00 to 2026-11-21 00:05:00"},
		{"23:55", "+20m", "2026-11-20 23:55:00 to 2026-11-21 00:10:00"},
		{"+5m", "2026-11-21", "2026-11-20 23:55:00 to 2026-11-21 00:00:00"},
		{"2026-11-20", "2026-11-21", "2026-11-20 00:00:00 to 2026-11-21 00:00:00"},

		// What is empty whatever the capture holds is a mistake.
		{"12:00", "12:00", "--until 12:00 is not after --since 12:00"},
		{"+30s", "+10s", "--until +10s is not after --since +30s"},
		{"2026-11-21", "2026-11-20", "--until 2026-11-20 is not after --since 2026-11-21"},
		{"soon", "", `--since "soon": want a time`},
		{"+10s", "+later", `--until "+later": want a duration`},

		// What is empty in this one is not.
		{"+1h", "23:55", "2026-11-21 00:50:00 to 2026-11-20 23:55:00"},
	} {
		w, err := parseWindow(test.since, test.until)
		var got string
		if err != nil {
			got = err.Error()
		} else {
			from, to := w.in(first)
			got = edge(from) + " to " + edge(to)
		}
		if !strings.HasPrefix(got, test.want) {
			t.Errorf("%q to %q: %s, want %s", test.since, test.until, got, test.want)
		}
	}
}

func edge(t capture.Time) string {
	switch t {
	case math.MinInt64:
		return "-Inf"
	case math.MaxInt64:
		return "+Inf"
	}
	return t.UTC().Format(time.DateTime)
}
