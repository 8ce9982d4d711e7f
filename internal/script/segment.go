package script

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"tcplife/decode"
)

// A segment is a segment with relative numbers.
type segment struct {
	flags              decode.Flags
	seq, ack           int64
	len, wnd, mss      int64
	id, ttl            int64
	opts               decode.Opts
	scale              int64
	val, ecr           int64
	sack               [][2]int64
	badsum, offl, trim bool
}

type icmp struct {
	name string
	seq  int64
	from netip.Addr // the zero Addr: the other end
}

var segmentRE = regexp.MustCompile(`^(none|[FSRP.UEW]+) (-?\d+):(-?\d+)\((\d+)\)(?: ack (-?\d+))?(?: win (\d+))?(?: <([^>]*)>)?(?: \{([^}]*)\})?$`)

const flagLetters = "FSRP.UEW" // in the order of the bits, and of tcpdump

// maxRelative keeps sums of relative numbers far from overflow.
const maxRelative = 1 << 40

func parseSegment(text string) (*segment, error) {
	m := segmentRE.FindStringSubmatch(text)
	if m == nil {
		return nil, fmt.Errorf("not a segment: %q", text)
	}
	g := &segment{wnd: 64240, ttl: 64}
	var err error
	num := func(to *int64, s string, lo, hi int64) {
		n, e := strconv.ParseInt(s, 10, 64)
		if err == nil && (e != nil || n < lo || n > hi) {
			err = fmt.Errorf("not between %d and %d: %q", lo, hi, s)
		}
		*to = n
	}
	if m[1] != "none" {
		for _, c := range m[1] {
			g.flags |= 1 << strings.IndexRune(flagLetters, c)
		}
	}
	var end int64
	num(&g.seq, m[2], -maxRelative, maxRelative)
	num(&end, m[3], -maxRelative, maxRelative)
	num(&g.len, m[4], 0, 65535-20-60)
	if err == nil && end != g.seq+g.len {
		return nil, fmt.Errorf("%d + %d is not %d", g.seq, g.len, end)
	}
	if (m[5] != "") != g.flags.Has(decode.ACK) {
		return nil, fmt.Errorf("the flag . and ack go together: %q", text)
	}
	if m[5] != "" {
		num(&g.ack, m[5], -maxRelative, maxRelative)
	}
	if m[6] != "" {
		num(&g.wnd, m[6], 0, 65535)
	}
	for _, o := range strings.FieldsFunc(m[7], func(r rune) bool { return r == ',' }) {
		f := strings.Fields(o)
		switch {
		case len(f) == 2 && f[0] == "mss":
			g.opts |= decode.OptMSS
			num(&g.mss, f[1], 0, 65535)
		case len(f) == 2 && f[0] == "wscale":
			g.opts |= decode.OptScale
			num(&g.scale, f[1], 0, 255)
		case len(f) == 1 && f[0] == "sackOK":
			g.opts |= decode.OptSACKPermitted
		case len(f) == 5 && f[0] == "TS" && f[1] == "val" && f[3] == "ecr":
			g.opts |= decode.OptTimestamps
			num(&g.val, f[2], 0, 1<<32-1)
			num(&g.ecr, f[4], 0, 1<<32-1)
		case len(f) >= 2 && f[0] == "sack" && len(g.sack) == 0:
			for _, b := range f[1:] {
				var lr [2]int64
				l, r, _ := strings.Cut(b, ":")
				num(&lr[0], l, -maxRelative, maxRelative)
				num(&lr[1], r, -maxRelative, maxRelative)
				g.sack = append(g.sack, lr)
			}
		case len(f) == 1 && f[0] == "tfo":
			g.opts |= decode.OptFastOpen
		default:
			return nil, fmt.Errorf("not an option: %q", o)
		}
	}
	f := strings.Fields(m[8])
	for len(f) > 0 {
		switch {
		case len(f) > 1 && f[0] == "id":
			num(&g.id, f[1], 0, 65535)
			f = f[1:]
		case len(f) > 1 && f[0] == "ttl":
			num(&g.ttl, f[1], 0, 255)
			f = f[1:]
		case f[0] == "badsum":
			g.badsum = true
		case f[0] == "offload":
			g.offl = true
		case f[0] == "cut":
			g.trim = true
		default:
			return nil, fmt.Errorf("not an attribute: %q", f[0])
		}
		f = f[1:]
	}
	if err == nil && g.optLen() > 40 {
		err = fmt.Errorf("options of %d octets", g.optLen())
	}
	if err == nil && g.badsum && g.offl {
		err = fmt.Errorf("two checksums: %q", text)
	}
	return g, err
}

// optLen returns the octets of the options on the wire, without padding.
func (g *segment) optLen() int {
	n := 0
	for o, l := range map[decode.Opts]int{
		decode.OptMSS: 4, decode.OptScale: 3, decode.OptSACKPermitted: 2, decode.OptTimestamps: 10,
		decode.OptFastOpen: 2 + len(cookie),
	} {
		if g.opts.Has(o) {
			n += l
		}
	}
	if len(g.sack) > 0 {
		n += 2 + 8*len(g.sack)
	}
	return n
}

var icmpRE = regexp.MustCompile(`^icmp (\S+) quoting (-?[0-9]{1,12})(?: from (\S+))?$`)

func parseICMP(text string) (*icmp, error) {
	m := icmpRE.FindStringSubmatch(text)
	if m == nil {
		return nil, fmt.Errorf("not an ICMP error: %q", text)
	}
	seq, _ := strconv.ParseInt(m[2], 10, 64)
	e := &icmp{name: m[1], seq: seq}
	if m[3] != "" {
		var err error
		if e.from, err = netip.ParseAddr(m[3]); err != nil {
			return nil, err
		}
		if e.from.Zone() != "" || e.from.Is4In6() {
			return nil, fmt.Errorf("not an address on the wire: %v", e.from)
		}
	}
	return e, nil
}
