package workload

import (
	"strings"

	"tcplife/decode"
)

// A Mix says which lives connections have, and how many of them.
type Mix uint8

// Mixes.
const (
	Everyday Mix = iota // most close, and every end that a connection may have occurs
	Flood               // one SYN each, without options, of distinct spoofed sources
	Shortest            // handshake and close only
)

// A plan is the life of a connection: what comes of it, in the words of tcplife's
// summary, and its segments. ">" is from the client, "<" from the server, with
// tcpdump's flags; "*" stands for the exchange, and "~" behind a FIN says that it
// was sent before the peer's arrived.
type plan struct {
	share    int // in 1000
	outcome  string
	segments string
}

var mixes = [...][]plan{
	Everyday: {
		{482, "closed", ">S <S. >. * >F. <. <F. >."},
		{161, "closed", ">S <S. >. * >F. <F. >."},
		{207, "closed", ">S <S. >. * <F. >. >F. <."},
		{69, "closed", ">S <S. >. * <F. >F. <."},
		{1, "closed", ">S <S. >. * >F. <F.~ >. <."},
		{15, "reset-by-client", ">S <S. >. * >R."},
		{15, "reset-by-server", ">S <S. >. * <R."},
		{5, "half-closed", ">S <S. >. * >F. <."},
		{5, "half-closed", ">S <S. >. * <F. >."},
		{10, "open", ">S <S. >. *"},
		{4, "unanswered", ">S"},
		{3, "unanswered", ">S >S"},
		{3, "unanswered", ">S >S >S"},
		{10, "refused", ">S <R."},
		{4, "half-open-handshake", ">S <S."},
		{3, "half-open-handshake", ">S <S. <S."},
		{3, "half-open-handshake", ">S <S. <S. <S."},
	},
	Flood:    {{1000, "unanswered", ">S"}},
	Shortest: {{1000, "closed", ">S <S. >. >F. <F. >."}},
}

// The ends of a connection.
const (
	client = iota
	server
)

// A step is a segment of a plan, or the exchange.
type step struct {
	exchange bool
	from     uint8
	flags    decode.Flags
	crossing bool // it does not acknowledge the peer's FIN yet
}

// steps are the segments of each plan.
func steps(plans []plan) [][]step {
	all := make([][]step, len(plans))
	for i, p := range plans {
		for word := range strings.FieldsSeq(p.segments) {
			all[i] = append(all[i], parseStep(word))
		}
	}
	return all
}

func parseStep(word string) (s step) {
	for _, c := range word {
		switch c {
		case '*':
			s.exchange = true
		case '>':
			s.from = client
		case '<':
			s.from = server
		case 'S':
			s.flags |= decode.SYN
		case 'F':
			s.flags |= decode.FIN
		case 'R':
			s.flags |= decode.RST
		case '.':
			s.flags |= decode.ACK
		case '~':
			s.crossing = true
		}
	}
	return s
}

// deal returns a list in which each plan's number stands as often as its share.
func deal(plans []plan) []uint8 {
	var list []uint8
	for i, p := range plans {
		for range p.share {
			list = append(list, uint8(i))
		}
	}
	return list
}
