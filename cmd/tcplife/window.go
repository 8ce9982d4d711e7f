package main

import (
	"fmt"
	"math"
	"strings"
	"time"

	"tcplife/decode/capture"
)

// A moment is a point in time as its user gives it. The zero moment is none.
type moment struct {
	text string
	kind momentKind
	at   capture.Time  // of absolute
	d    time.Duration // of onDay from midnight, of fromStart from there
}

type momentKind uint8

const (
	noMoment  momentKind = iota
	absolute             // "2026-11-20T12:00:00Z"
	onDay                // "12:00:00", on the day of the capture's first packet, in UTC
	fromStart            // "+30s", after the capture's first packet
)

// Without a zone they are in UTC, as reports are.
var (
	dayLayouts = []string{
		time.RFC3339, "2006-01-02 15:04:05Z07:00",
		"2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04",
		time.DateOnly,
	}
	clockLayouts = []string{time.TimeOnly, "15:04"}
)

// Years that nanoseconds in an int64 reach whole.
const firstYear, lastYear = 1678, 2261

func parseMoment(text string) (moment, error) {
	m := moment{text: text}
	if after, ok := strings.CutPrefix(text, "+"); ok {
		d, err := time.ParseDuration(after)
		if err != nil || strings.HasPrefix(after, "+") || d < 0 {
			return moment{}, fmt.Errorf("%q: want a duration behind the +, such as +1m30s", text)
		}
		m.kind, m.d = fromStart, d
		return m, nil
	}
	for _, layout := range dayLayouts {
		t, err := time.Parse(layout, text)
		if err != nil {
			continue
		}
		if y := t.UTC().Year(); y < firstYear || y > lastYear {
			return moment{}, fmt.Errorf("%q: the year is not from %d to %d", text, firstYear, lastYear)
		}
		m.kind, m.at = absolute, capture.Time(t.UnixNano())
		return m, nil
	}
	for _, layout := range clockLayouts {
		if t, err := time.Parse(layout, text); err == nil {
			midnight := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
			m.kind, m.d = onDay, t.Sub(midnight)
			return m, nil
		}
	}
	return moment{}, fmt.Errorf("%q: want a time such as 2026-11-20T12:00:00Z, 2026-11-20, 12:00:00 or +30s", text)
}

// in returns the moment in a capture that begins at first.
func (m *moment) in(first capture.Time) capture.Time {
	switch m.kind {
	case onDay:
		t := first.UTC()
		return capture.Time(time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC).UnixNano()).Add(m.d)
	case fromStart:
		if first > 0 && m.d > math.MaxInt64-time.Duration(first) {
			return math.MaxInt64
		}
		return first.Add(m.d)
	}
	return m.at
}

// A window is the time of which packets are looked at: from since on, until before
// until.
type window struct{ since, until moment }

// parseWindow takes the values of --since and --until, either empty for none. It
// refuses what is empty whatever the capture holds.
func parseWindow(since, until string) (w window, err error) {
	if since != "" {
		if w.since, err = parseMoment(since); err != nil {
			return window{}, fmt.Errorf("--since %w", err)
		}
	}
	if until != "" {
		if w.until, err = parseMoment(until); err != nil {
			return window{}, fmt.Errorf("--until %w", err)
		}
	}
	const anyTime = 0
	if w.since.kind == w.until.kind && w.since.kind != noMoment {
		if from, to := w.in(anyTime); from >= to {
			return window{}, fmt.Errorf("--until %s is not after --since %s", until, since)
		}
	}
	return w, nil
}

// in returns the window in a capture that begins at first. A time of day to its end
// that is before the one to its begin is of the day after.
func (w *window) in(first capture.Time) (from, to capture.Time) {
	from, to = math.MinInt64, math.MaxInt64
	if w.since.kind != noMoment {
		from = w.since.in(first)
	}
	if w.until.kind != noMoment {
		to = w.until.in(first)
		if w.since.kind == onDay && w.until.kind == onDay && to < from {
			to = to.Add(24 * time.Hour)
		}
	}
	return from, to
}
