package filter

// layout is where the headers are that an expression looks at. "vlan", "mpls" and "pppoes" move it for all that is
// written to the right of them, whether they are negated or not and also behind "or".
type layout struct {
	link   linkLayer
	hdr    uint32 // the link layer's header: ether[0]
	typ    uint32 // what the link layer carries
	pl     uint32 // what it carries begins here
	nl     uint32 // octets from pl to the header of IP
	labels int    // MPLS labels between them
}

type linkLayer uint8

const (
	ethernet linkLayer = iota
	cooked
	cooked2
	rawIP
	rawIPv4
	rawIPv6
	loopback
	ppp
)

func (l linkLayer) String() string {
	return [...]string{
		"Ethernet", "Linux cooked packets", "Linux cooked packets", "raw IP", "raw IP", "raw IP", "BSD loopback", "PPP",
	}[l]
}

// layoutOf gives the layout of a link type.
func layoutOf(linkType uint32) (layout, bool) {
	switch linkType {
	case 0, 108: // NULL, LOOP
		return layout{link: loopback, pl: 4}, true
	case 1:
		return layout{link: ethernet, typ: 12, pl: 14}, true
	case 12, 14, 101:
		return layout{link: rawIP}, true
	case 113:
		return layout{link: cooked, typ: 14, pl: 16}, true
	case 228:
		return layout{link: rawIPv4}, true
	case 229:
		return layout{link: rawIPv6}, true
	case 276:
		return layout{link: cooked2, pl: 20}, true
	}
	return layout{}, false
}

// The address families in the header of loopback packets. That of IPv6 differs from system to system (in this order:
// NetBSD and OpenBSD, FreeBSD, macOS, Linux), and the byte order is that of the host, which a capture does not tell.
// tcpdump looks for its own host's only.
var (
	families4 = []uint32{2}
	families6 = []uint32{24, 28, 30, 10}
)

// The protocols of PPP that tcpdump looks for in place of an Ethernet type.
const (
	pppIPv4 = 0x21
	pppIPv6 = 0x57
	pppMPLS = 0x281
)

// carries is the condition that the packet carries an Ethernet type, or IP's equivalent of it.
func (l *lowering) carries(pos int, typ uint32) *cond {
	lay := &l.lay
	if lay.labels > 0 {
		return l.labelled(pos, typ)
	}
	field := value{mode: absolute, size: 2, off: lay.typ}
	switch lay.link {
	case ethernet:
		if !l.plainType(pos, typ) {
			return never
		}
		if typ <= maxLength {
			return and(negate(header(field, opJgt, maxLength)), header(value{mode: absolute, size: 1, off: lay.pl}, opJeq, typ))
		}
	case cooked:
		const llc = 4 // Linux's protocol number of 802.2 frames
		if !l.plainType(pos, typ) {
			return never
		}
		if typ <= maxLength {
			return and(header(field, opJeq, llc), header(value{mode: absolute, size: 1, off: lay.pl}, opJeq, typ))
		}
	case ppp:
		switch typ {
		case etherIPv4:
			typ = pppIPv4
		case etherIPv6:
			typ = pppIPv6
		case etherMPLS:
			typ = pppMPLS
		default:
			if typ <= 0x0600 || typ == 0x6003 || !l.plainType(pos, typ) {
				return l.fail(pos, "the type %#x is not supported on PPP", typ)
			}
		}
	case rawIP:
		return version(lay.pl, typ)
	case rawIPv4:
		return constant(typ == etherIPv4)
	case rawIPv6:
		return constant(typ == etherIPv6)
	case loopback:
		switch typ {
		case etherIPv4:
			return family(families4)
		case etherIPv6:
			return family(families6)
		}
		return never
	}
	return header(field, opJeq, typ)
}

// maxLength is the largest number that is a length, not a type, in an Ethernet header. "ether proto" looks for lesser
// ones in the 802.2 header.
const maxLength = 1500

// plainType refuses the types that are announced in more than one way.
func (l *lowering) plainType(pos int, typ uint32) bool {
	switch typ {
	case 0xe0, 0xf0, 0xfe, 0x809b, 0x80f3: // IPX, NetBEUI, ISO; AppleTalk
		l.fail(pos, "the type %#x is not supported", typ)
		return false
	}
	return true
}

// labelled is carries behind MPLS labels: the last label says so, and the version of IP is guessed.
func (l *lowering) labelled(pos int, typ uint32) *cond {
	if typ != etherIPv4 && typ != etherIPv6 {
		return l.fail(pos, "behind \"mpls\", only IP can be found")
	}
	ip := l.lay.pl + l.lay.nl
	return and(header(value{mode: absolute, size: 1, off: ip - 2}, opJset, 1), version(ip, typ))
}

// version is the condition that at off there is the version of IP that an Ethernet type stands for.
func version(off, typ uint32) *cond {
	v := value{mode: absolute, size: 1, off: off, mask: 0xf0}
	switch typ {
	case etherIPv4:
		return header(v, opJeq, 0x40)
	case etherIPv6:
		return header(v, opJeq, 0x60)
	}
	return never
}

func family(families []uint32) *cond {
	c := never
	for _, f := range families {
		v := value{mode: absolute, size: 4}
		c = or(c, or(header(v, opJeq, f), header(v, opJeq, f<<24)))
	}
	return c
}
