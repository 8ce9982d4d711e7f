package report

import (
	"strconv"
	"strings"
	"time"
	"unicode"

	"tcplife/decode"
	"tcplife/decode/capture"
	"tcplife/report/anomaly"
	"tcplife/track"
)

// Printable returns s so that it can be shown on a terminal: quoted as in Go, if
// it holds anything that is not printable.
func Printable(s string) string {
	for _, r := range s {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			q := strconv.QuoteToGraphic(s)
			return q[1 : len(q)-1]
		}
	}
	return s
}

// Endpoint returns address and port, as in "[2001:db8::1]:443".
func Endpoint(a decode.Addr, port uint16) string {
	ip := a.IP()
	if ip.Is4() {
		return ip.String() + ":" + strconv.Itoa(int(port))
	}
	return "[" + ip.String() + "]:" + strconv.Itoa(int(port))
}

// elide shortens s to n columns by leaving out its middle, whose loss hurts an
// address least.
func elide(s string, n int) string {
	if len(s) <= n || n < 5 {
		return s
	}
	tail := n / 2
	return s[:n-tail-1] + "…" + s[len(s)-tail:]
}

// octets returns n in at most five columns: "999", "1.2k", "45M".
func octets(n uint64) string {
	if n < 1000 {
		return strconv.FormatUint(n, 10)
	}
	f := float64(n)
	for _, unit := range "kMGTPE" {
		f /= 1000
		if f < 9.95 {
			return strconv.FormatFloat(f, 'f', 1, 64) + string(unit)
		}
		if f < 999.5 {
			return strconv.FormatFloat(f, 'f', 0, 64) + string(unit)
		}
	}
	return strconv.FormatUint(n, 10)
}

// Octets returns n in at most five columns: "999", "1.2k", "45M".
func Octets(n uint64) string { return octets(n) }

// Digits returns n with its digits in groups: "1,234".
func Digits(n uint64) string { return digits(n) }

// Elide shortens s to n columns by leaving out its middle.
func Elide(s string, n int) string { return elide(s, n) }

// count returns n with its noun, and digits in groups: "1,234 packets".
func count(n uint64, noun string) string { return anomaly.Counted(n, noun) }

func digits(n uint64) string { return anomaly.Digits(n) }

// short returns d in at most seven columns or so: "1.23ms", "4m32s", "52h10m".
func short(d time.Duration) string {
	switch {
	case d >= 100*time.Hour:
		return strconv.Itoa(int(d.Hours())) + "h"
	case d >= time.Hour:
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	default:
		return anomaly.Dur(d).String()
	}
}

func clockTime(t capture.Time) string { return t.UTC().Format("15:04:05.000") }

// ending tells how a connection ended: its outcome, and whose doing it was.
func ending(c *Connection) string {
	switch o := OutcomeOf(c.Conn); o {
	case Closed:
		switch first := c.ClosedFirst(); first {
		case track.ClientFirst, track.ServerFirst:
			return "closed, " + first.String() + " first"
		case track.BothFirst:
			return "closed by both"
		}
		return "closed"
	case HalfClosed:
		if first := c.ClosedFirst(); first == track.ClientFirst || first == track.ServerFirst {
			return "half-closed by " + first.String()
		}
		return "half-closed"
	case ResetByClient, ResetByServer:
		return "reset by " + strings.TrimPrefix(o.String(), "reset-by-")
	case HalfOpen:
		return "half-open handshake"
	default:
		return o.String()
	}
}

// state returns an end's state, with a question mark if it may be another.
func state(e *track.End, now capture.Time) string {
	if e.MayBe(now) != 0 {
		return e.State().String() + "?"
	}
	return e.State().String()
}

// ruleNames returns the names of the findings' rules, each once.
func ruleNames(findings []anomaly.Finding) string {
	var names []string
	for i := range findings {
		name := findings[i].Rule.Name
		if len(names) == 0 || names[len(names)-1] != name {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// A palette holds escape sequences, or nothing.
type palette struct{ reset, bold, dim, red, yellow, green string }

func newPalette(color bool) palette {
	if !color {
		return palette{}
	}
	return palette{"\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[33m", "\x1b[32m"}
}

// severity returns s in the colour of its weight.
func (p palette) severity(w anomaly.Severity, s string) string {
	switch w {
	case anomaly.Error:
		return p.red + s + p.reset
	case anomaly.Warn:
		return p.yellow + s + p.reset
	}
	return s
}
