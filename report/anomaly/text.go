package anomaly

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"tcplife/decode"
)

// Dur rounds d to what a person reads: four digits or so.
func Dur(d time.Duration) time.Duration {
	switch {
	case d >= time.Minute:
		return d.Round(time.Second)
	case d >= time.Second:
		return d.Round(10 * time.Millisecond)
	case d >= time.Millisecond:
		return d.Round(10 * time.Microsecond)
	default:
		return d.Round(time.Microsecond)
	}
}

// frames returns frame numbers as evidence: ascending, each once, 0 (none) left out.
func frames(f ...uint64) []uint64 {
	slices.Sort(f)
	f = slices.Compact(f)
	if len(f) > 0 && f[0] == 0 {
		f = f[1:]
	}
	return f
}

// flagNames names control bits: "SYN,FIN".
func flagNames(f decode.Flags) string {
	if f == 0 {
		return "no flags"
	}
	var set []string
	for i, name := range [...]string{"FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"} {
		if f&(1<<i) != 0 {
			set = append(set, name)
		}
	}
	return strings.Join(set, ",")
}

// Counted returns n with its noun, and digits in groups: "1,234 packets".
func Counted(n uint64, noun string) string {
	if n != 1 {
		switch {
		case strings.HasSuffix(noun, "y"):
			noun = noun[:len(noun)-1] + "ie"
		case strings.HasSuffix(noun, "s"):
			noun += "e"
		}
		noun += "s"
	}
	return Digits(n) + " " + noun
}

// Digits returns n with its digits in groups: "1,234".
func Digits(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// of returns a share: "3 of 40 packets".
func of(n, all uint64, noun string) string { return Digits(n) + " of " + Counted(all, noun) }
