package anomaly

import (
	"slices"
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
