package anomaly

import (
	"fmt"
	"strings"

	"tcplife/track"
)

// aborted returns the RST that ended a connection which was open to both ends, and
// which no FIN of either had closed before.
func aborted(c *track.Conn) (rst track.Reset, ok bool) {
	rst, ok = c.Reset()
	ok = ok && c.Teardown() == track.ByRST && synchronized(rst.State[0]) && synchronized(rst.State[1])
	return rst, ok
}

// synchronized reports whether s is one of the states in which both initial
// sequence numbers are known to both ends (RFC 9293 §3.5.3).
func synchronized(s track.State) bool { return s >= track.Established }

// sentFIN reports whether an end in state s has closed its half.
func sentFIN(s track.State) bool {
	switch s {
	case track.FinWait1, track.FinWait2, track.Closing, track.LastAck, track.TimeWait:
		return true
	}
	return false
}

// kind names a RST as tcpdump's flags do.
func kind(r *track.Reset) string {
	if r.ACK {
		return "RST,ACK"
	}
	return "RST"
}

// MadeBy tells who made a RST, and what shows it.
func MadeBy(r *track.Reset) string {
	m, mayBe := r.Maker()
	text := makers[m]
	for i, other := range mayBe {
		text += [...]string{", perhaps ", " or "}[min(i, 1)] + makers[other]
	}
	var why []string
	for _, w := range reasons {
		if r.Marks.Has(w.mark) {
			why = append(why, w.text)
		}
	}
	if len(why) == 0 || m == track.Application || m == track.Host {
		return text
	}
	return fmt.Sprintf("%s (%s)", text, strings.Join(why, ", "))
}

var makers = map[track.Maker]string{
	track.Application: "by the program",
	track.Host:        "by a host without that socket",
	track.Middlebox:   "by a box in between",
	track.Forger:      "forged",
}

// reasons are the marks that a person asks for.
var reasons = []struct {
	mark track.Marks
	text string
}{
	{track.MarkOtherTTL, "another TTL"},
	{track.MarkIDJump, "another run of IP IDs"},
	{track.MarkTooSoon, "sooner than the host answers"},
	{track.MarkAhead, "with others ahead of it"},
	{track.MarkWentOn, "the host went on"},
}

// blamed returns who to look at first for a RST in the name of an end.
func blamed(r *track.Reset) Suspect {
	switch m, _ := r.Maker(); m {
	case track.Middlebox, track.Forger:
		return Middlebox
	case track.Host:
		return HostOf(r.By)
	}
	return AppOf(r.By)
}

// octets counts octets of a role.
func octets(n uint32, r track.Role) string {
	if n == 1 {
		return fmt.Sprintf("1 octet of the %v", r)
	}
	return fmt.Sprintf("%d octets of the %v", n, r)
}
