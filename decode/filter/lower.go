package filter

import "encoding/binary"

// cond is a condition on numbers of the packet: a node with the layout of a link type applied to it.
type cond struct {
	kind condKind
	l, r *cond
	test test
}

type condKind uint8

const (
	isConst condKind = iota // never or always
	isAnd
	isOr
	isNot
	isTest
)

var never, always = &cond{}, &cond{}

// test compares a value with a constant, or what code left in A with X.
type test struct {
	val    value
	code   *code // if not nil, instead of val
	op     opcode
	k      uint32
	header bool // asks which protocol this is, as other tests will again
}

// value is a number at a fixed place, or at a fixed distance from the end of an IPv4 header. Equal values are the same
// number throughout a packet.
type value struct {
	mode addressing
	size uint8 // octets
	off  uint32
	ip   uint32 // where the IPv4 header is, in mode behindIP: off is added to its length
	mask uint32 // 0 for none
}

type addressing uint8

const (
	absolute addressing = iota
	behindIP
	length // of the packet, on the wire
)

func header(v value, o opcode, k uint32) *cond {
	return &cond{kind: isTest, test: test{val: v, op: o, k: k, header: true}}
}

func compare(v value, o opcode, k uint32) *cond {
	return &cond{kind: isTest, test: test{val: v, op: o, k: k}}
}

func constant(b bool) *cond {
	if b {
		return always
	}
	return never
}

// and, or and negate leave out what cannot matter, but keep each test that comes before a constant: it may find the
// packet too short.
func and(l, r *cond) *cond {
	switch {
	case l == never, r == always:
		return l
	case l == always:
		return r
	}
	return &cond{kind: isAnd, l: l, r: r}
}

func or(l, r *cond) *cond {
	switch {
	case l == always, r == never:
		return l
	case l == never:
		return r
	}
	return &cond{kind: isOr, l: l, r: r}
}

func negate(c *cond) *cond {
	switch {
	case c == never:
		return always
	case c == always:
		return never
	case c.kind == isNot:
		return c.l
	}
	return &cond{kind: isNot, l: c}
}

// lowering makes a cond of a tree of nodes, from left to right, as the layout changes on the way.
type lowering struct {
	lay layout
	err error // the first
}

func (l *lowering) fail(pos int, format string, args ...any) *cond {
	if l.err == nil {
		l.err = errorf(pos, format, args...)
	}
	return never
}

func (l *lowering) cond(n node) *cond {
	switch n := n.(type) {
	case logic:
		left := l.cond(n.l)
		right := l.cond(n.r)
		if n.or {
			return or(left, right)
		}
		return and(left, right)
	case not:
		return negate(l.cond(n.x))
	case abbrev:
		return l.abbrev(n.pos(), n.proto)
	case host4:
		return l.host4(n)
	case host6:
		return l.host6(n)
	case etherHost:
		return l.etherHost(n)
	case protoNum:
		return l.protoNum(n)
	case ports:
		return l.ports(n)
	case cast:
		return l.cast(n)
	case vlan:
		return l.vlan(n)
	case mpls:
		return l.mpls(n)
	case pppoe:
		return l.pppoe(n)
	case relation:
		return l.relation(n)
	}
	panic("filter: a node that cannot be lowered")
}

// net is a value in what the link layer carries, from its beginning or that of the IP header.
func (l *lowering) net(off uint32, size uint8) value {
	return value{mode: absolute, size: size, off: l.lay.pl + l.lay.nl + off}
}

// behind is a value behind the IPv4 header.
func (l *lowering) behind(off uint32, size uint8) value {
	ip := l.lay.pl + l.lay.nl
	return value{mode: behindIP, size: size, off: ip + off, ip: ip}
}

// firstFragment is the condition that an IPv4 packet has the header of what it carries.
func (l *lowering) firstFragment() *cond {
	return negate(header(l.net(6, 2), opJset, 0x1fff))
}

func (l *lowering) abbrev(pos int, p proto) *cond {
	switch p {
	case ip:
		return l.carries(pos, etherIPv4)
	case ip6:
		return l.carries(pos, etherIPv6)
	case arp:
		return l.carries(pos, etherARP)
	case rarp:
		return l.carries(pos, etherRARP)
	}
	c := never
	over := ipNumber[p]
	if over.v4 {
		c = l.over4(pos, over.num)
	}
	if over.v6 {
		c = or(c, l.over6(pos, over.num))
	}
	return c
}

func (l *lowering) over4(pos int, num uint32) *cond {
	return and(l.carries(pos, etherIPv4), header(l.net(9, 1), opJeq, num))
}

// over6 looks at the fixed header and, in a fragment, at the fragment header, but through no other extension header.
func (l *lowering) over6(pos int, num uint32) *cond {
	const fragment = 44
	next := l.net(6, 1)
	return and(l.carries(pos, etherIPv6),
		or(header(next, opJeq, num),
			and(header(next, opJeq, fragment), header(l.net(40, 1), opJeq, num))))
}

func (l *lowering) protoNum(n protoNum) *cond {
	switch n.proto {
	case link:
		return l.carries(n.pos(), n.num)
	case ip:
		return l.over4(n.pos(), n.num)
	case ip6:
		return l.over6(n.pos(), n.num)
	}
	return or(l.over4(n.pos(), n.num), l.over6(n.pos(), n.num))
}

// ends applies a direction to a condition on the source's address or port, and on the destination's.
func ends(d dir, source, destination func() *cond) *cond {
	switch d {
	case src:
		return source()
	case dst:
		return destination()
	case srcAndDst:
		return and(source(), destination())
	}
	return or(source(), destination())
}

func (l *lowering) host4(n host4) *cond {
	addresses := func(typ, source, destination uint32) *cond {
		field := func(off uint32) func() *cond {
			return func() *cond {
				c := never
				for _, a := range n.nets {
					v := l.net(off, 4)
					if a.mask != ^uint32(0) {
						v.mask = a.mask
					}
					if a.mask == 0 {
						c = or(c, always)
						continue
					}
					c = or(c, compare(v, opJeq, a.addr))
				}
				return c
			}
		}
		return and(l.carries(n.pos(), typ), ends(n.dir, field(source), field(destination)))
	}
	switch {
	case n.proto == arp:
		return addresses(etherARP, 14, 24)
	case n.proto == rarp:
		return addresses(etherRARP, 14, 24)
	case n.proto == ip, l.lay.labels > 0:
		return addresses(etherIPv4, 12, 16)
	}
	return or(or(addresses(etherIPv4, 12, 16), addresses(etherARP, 14, 24)), addresses(etherRARP, 14, 24))
}

func (l *lowering) host6(n host6) *cond {
	field := func(off uint32) func() *cond {
		return func() *cond {
			c := always
			for i, word := range n.net.addr {
				v := l.net(off+4*uint32(i), 4)
				if m := n.net.mask[i]; m == 0 {
					break
				} else if m != ^uint32(0) {
					v.mask = m
				}
				c = and(c, compare(v, opJeq, word))
			}
			return c
		}
	}
	return and(l.carries(n.pos(), etherIPv6), ends(n.dir, field(8), field(24)))
}

func (l *lowering) etherHost(n etherHost) *cond {
	if l.lay.link != ethernet {
		return l.fail(n.pos(), "there are no Ethernet addresses on %v", l.lay.link)
	}
	return ends(n.dir,
		func() *cond { return l.etherAddress(6, n.mac) },
		func() *cond { return l.etherAddress(0, n.mac) })
}

func (l *lowering) etherAddress(off uint32, mac [6]byte) *cond {
	off += l.lay.hdr
	return and(
		compare(value{mode: absolute, size: 4, off: off + 2}, opJeq, binary.BigEndian.Uint32(mac[2:])),
		compare(value{mode: absolute, size: 2, off: off}, opJeq, uint32(binary.BigEndian.Uint16(mac[:]))))
}

func (l *lowering) ports(n ports) *cond {
	field := func(v value) func() *cond {
		return func() *cond {
			c := never
			for _, r := range n.list {
				if r.lo == r.hi {
					c = or(c, compare(v, opJeq, uint32(r.lo)))
					continue
				}
				c = or(c, and(compare(v, opJge, uint32(r.lo)), negate(compare(v, opJgt, uint32(r.hi)))))
			}
			return c
		}
	}
	over := func(v value) *cond {
		if n.proto != anyProto {
			return header(v, opJeq, ipNumber[n.proto].num)
		}
		c := never
		for _, p := range [...]proto{sctp, tcp, udp} {
			c = or(c, header(v, opJeq, ipNumber[p].num))
		}
		return c
	}
	v6 := and(and(l.carries(n.pos(), etherIPv6), over(l.net(6, 1))),
		ends(n.dir, field(l.net(40, 2)), field(l.net(42, 2))))
	v4 := and(and(l.carries(n.pos(), etherIPv4), and(over(l.net(9, 1)), l.firstFragment())),
		ends(n.dir, field(l.behind(0, 2)), field(l.behind(2, 2))))
	return or(v6, v4)
}

func (l *lowering) cast(n cast) *cond {
	switch n.proto {
	case ip:
		return and(l.carries(n.pos(), etherIPv4), compare(l.net(16, 1), opJge, 0xe0))
	case ip6:
		return and(l.carries(n.pos(), etherIPv6), compare(l.net(24, 1), opJeq, 0xff))
	}
	if l.lay.link != ethernet {
		return l.fail(n.pos(), "there are no Ethernet addresses on %v", l.lay.link)
	}
	if n.broadcast {
		return l.etherAddress(0, [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	}
	return compare(value{mode: absolute, size: 1, off: l.lay.hdr}, opJset, 1)
}

func (l *lowering) vlan(n vlan) *cond {
	switch {
	case l.lay.labels > 0:
		return l.fail(n.pos(), "\"vlan\" cannot follow \"mpls\"")
	case l.lay.link != ethernet:
		return l.fail(n.pos(), "there is no VLAN on %v", l.lay.link)
	}
	c := never
	for _, t := range [...]uint32{etherVLAN, etherQinQ, etherQinQ1} {
		c = or(c, l.carries(n.pos(), t))
	}
	if n.hasID {
		c = and(c, compare(value{mode: absolute, size: 2, off: l.lay.pl, mask: 0xfff}, opJeq, n.id))
	}
	l.lay.typ += 4
	l.lay.pl += 4
	return c
}

func (l *lowering) mpls(n mpls) *cond {
	var c *cond
	switch {
	case l.lay.labels > 0: // the label before is not the last
		c = negate(header(l.net(^uint32(1), 1), opJset, 1))
	case l.lay.link == ethernet, l.lay.link == ppp:
		c = l.carries(n.pos(), etherMPLS)
	default:
		return l.fail(n.pos(), "there is no MPLS on %v", l.lay.link)
	}
	if n.hasID {
		v := l.net(0, 4)
		v.mask = 0xfffff000
		c = and(c, compare(v, opJeq, n.id<<12))
	}
	l.lay.nl += 4
	l.lay.labels++
	return c
}

func (l *lowering) pppoe(n pppoe) *cond {
	if n.discovery {
		return l.carries(n.pos(), etherPPPoED)
	}
	c := l.carries(n.pos(), etherPPPoES)
	if n.hasID {
		c = and(c, compare(value{mode: absolute, size: 2, off: l.lay.pl + 2}, opJeq, n.id))
	}
	at := l.lay.pl + 6
	l.lay = layout{link: ppp, hdr: at, typ: at, pl: at + 2}
	return c
}
