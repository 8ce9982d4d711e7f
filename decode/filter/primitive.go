package filter

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"strconv"
	"strings"
)

// hint adds what may have been meant by an unknown word.
func hint(t token) string {
	if w := strings.ToLower(t.text); keywords[w] && (w != t.text || t.escaped) {
		return ": write " + strconv.Quote(w)
	}
	return ""
}

// primitive reads a condition that begins with a keyword, which the caller has only looked at.
func (p *parser) primitive() item {
	t := p.next()
	q := qualifier{set: true, proto: protoOf[t.text]}
	first := t
	if q.proto != anyProto {
		switch n := p.peek(); {
		case n.kind == tKeyword && unsupported[n.text] != "":
			t = p.next()
		case n.is("src"), n.is("dst"), n.is("host"), n.is("net"), n.is("port"), n.is("portrange"), n.is("proto"),
			n.is("broadcast"), n.is("multicast"):
			t = p.next()
		case q.proto == link:
			p.fail(n.pos, "%v after %v, where \"host\", \"src\", \"dst\", \"proto\", \"broadcast\" or \"multicast\" should be", n, t)
		default:
			return item{cond: abbrev{at(t.pos), q.proto}}
		}
	}
	if why := unsupported[t.text]; why != "" {
		p.fail(t.pos, "%v is not supported: %s", t, why)
	}
	switch t.text {
	case "less", "greater":
		return item{cond: p.lessGreater(t)}
	case "broadcast", "multicast":
		return item{cond: p.cast(t, q.proto)}
	case "vlan":
		return item{cond: vlan{at(t.pos), p.tag("VLAN", 0xfff)}}
	case "mpls":
		return item{cond: mpls{at(t.pos), p.tag("MPLS label", 0xfffff)}}
	case "pppoes":
		return item{cond: pppoe{at(t.pos), p.tag("PPPoE session", 0xffff), false}}
	case "pppoed":
		return item{cond: pppoe{at: at(t.pos), discovery: true}}
	case "src", "dst":
		q.dir = p.direction(t)
		if n := p.peek(); n.is("host") || n.is("net") || n.is("port") || n.is("portrange") {
			q.typ = qualTypes[p.next().text]
		}
	case "host", "net", "port", "portrange", "proto":
		q.typ = qualTypes[t.text]
	default:
		p.fail(t.pos, "%v where a condition should begin", t)
	}
	p.qualify(first, q)
	cond, _ := p.values(q)
	return item{cond: cond, q: q}
}

var qualTypes = map[string]qualType{
	"host": qHost, "net": qNet, "port": qPort, "portrange": qPortRange, "proto": qProto,
}

// qualify refuses a qualifier that begins with the protocol first and makes no sense.
func (p *parser) qualify(first token, q qualifier) {
	ok := false
	switch q.typ {
	case qHost:
		ok = q.proto == anyProto || q.proto == ip || q.proto == ip6 || q.proto == arp || q.proto == rarp || q.proto == link
	case qNet:
		ok = q.proto == anyProto || q.proto == ip || q.proto == ip6 || q.proto == arp || q.proto == rarp
	case qPort, qPortRange:
		ok = q.proto == anyProto || q.proto == tcp || q.proto == udp || q.proto == sctp
	case qProto:
		ok = q.proto == anyProto || q.proto == ip || q.proto == ip6 || q.proto == link
	}
	if !ok {
		what := [...]string{"addresses", "networks", "ports", "ports", "protocols in it"}[q.typ]
		p.fail(first.pos, "%v has no %s", first, what)
	}
}

// direction reads the rest of "src or dst".
func (p *parser) direction(t token) dir {
	one, other := src, "dst"
	if t.text == "dst" {
		one, other = dst, "src"
	}
	or, ok := connective(p.peek())
	if !ok || !p.peekAt(1).is(other) {
		return one
	}
	p.next()
	p.next()
	if or {
		return srcOrDst
	}
	return srcAndDst
}

// values reads what a qualifier is for: a value, or several in parentheses.
func (p *parser) values(q qualifier) (n node, bare bool) {
	t := p.peek()
	switch {
	case t.is("not"), t.is("!"):
		p.next()
		p.enter()
		defer p.leave()
		x, _ := p.values(q)
		return not{at(t.pos), x}, true
	case t.is("("):
		it := p.group(q)
		if it.cond != nil && !it.bare {
			p.fail(t.pos, "these parentheses can only have values in them")
		}
		return p.condition(it, q).cond, true
	}
	return p.value(q, p.next()), true
}

// value makes a condition of a qualifier and one value, the token t, which was read.
func (p *parser) value(q qualifier, t token) node {
	switch q.typ {
	case qPort, qPortRange:
		return p.port(q, t)
	case qProto:
		return p.proto(q, t)
	}
	switch t.kind {
	case tMAC:
		if q.proto != link || q.typ != qHost {
			p.fail(t.pos, "%v is an Ethernet address: write \"ether host %s\"", t, t.text)
		}
		return etherHost{at(t.pos), q.dir, t.mac}
	case tIPv4:
		return p.ipv4(q, t)
	case tIPv6:
		return p.ipv6(q, t)
	case tNumber:
		if q.typ != qNet {
			p.fail(t.pos, "%d is no address: write \"port %d\" if it is a port", t.num, t.num)
		}
		return p.ipv4(q, t)
	case tName:
		p.fail(t.pos, "%v is no address, and names are not looked up", t)
	}
	p.fail(t.pos, "%v where an address should be", t)
	return nil
}

// ipv4 reads on after an address of 1 to 4 octets, for a mask. What is missing of the address is a network's host part.
func (p *parser) ipv4(q qualifier, t token) node {
	if q.proto == ip6 || q.proto == link {
		p.fail(t.pos, "%v is an IPv4 address", t)
	}
	n := net4{t.num, ^uint32(0)}
	if t.kind == tNumber {
		t.octets = max((bits.Len32(t.num)+7)/8, 1)
		if t.num == 0 {
			t.octets = 4
		}
	}
	n.addr <<= 32 - 8*t.octets
	n.mask <<= 32 - 8*t.octets
	switch m := p.peek(); {
	case !m.is("/") && !m.is("mask"):
		return host4{at(t.pos), q.proto, q.dir, []net4{n}}
	case q.typ != qNet:
		p.fail(m.pos, "only a network has a mask: write \"net\"")
	case t.kind == tNumber:
		p.fail(m.pos, "a network with a mask needs more than one octet: write \"net %d.0.0.0\"", t.num)
	case p.accept("/"):
		n.mask = ^uint32(0) << (32 - p.prefixLen(32))
	case p.accept("mask"):
		m = p.next()
		if m.kind != tIPv4 {
			p.fail(m.pos, "%v where a mask such as 255.255.0.0 should be", m)
		}
		n.mask = m.num << (32 - 8*m.octets)
	}
	if n.addr&^n.mask != 0 {
		p.fail(t.pos, "%v has bits that its mask has not", t)
	}
	return host4{at(t.pos), q.proto, q.dir, []net4{n}}
}

func (p *parser) ipv6(q qualifier, t token) node {
	if q.proto != anyProto && q.proto != ip6 {
		p.fail(t.pos, "%v is an IPv6 address", t)
	}
	size := 128
	slash := p.peek()
	if p.accept("/") {
		size = p.prefixLen(128)
	}
	if q.typ != qNet && size < 128 {
		p.fail(slash.pos, "only a network has a mask: write \"net\"")
	}
	pre := netip.PrefixFrom(t.addr, size)
	if pre.Masked() != pre {
		p.fail(t.pos, "%v has bits that its mask has not", t)
	}
	var n net6
	a := t.addr.As16()
	for i := range n.addr {
		n.addr[i] = binary.BigEndian.Uint32(a[4*i:])
		n.mask[i] = ^uint32(0) << (32 - min(max(size-32*i, 0), 32))
	}
	return host6{at(t.pos), q.dir, n}
}

func (p *parser) prefixLen(most uint32) int {
	t := p.next()
	if t.kind != tNumber || t.num > most {
		p.fail(t.pos, "%v where the number of the network's bits should be, 0 to %d", t, most)
		return 0
	}
	return int(t.num)
}

// port reads a port or, after "portrange", two with a hyphen between them, which lex has left in one word.
func (p *parser) port(q qualifier, t token) node {
	var r portRange
	over := anyProto
	switch {
	case t.kind == tNumber:
		if t.num > 0xffff {
			p.fail(t.pos, "port %d is more than 65535", t.num)
		}
		r = portRange{uint16(t.num), uint16(t.num)}
	case t.kind != tName:
		p.fail(t.pos, "%v where a port should be", t)
	default:
		s, ok := services[t.text]
		r = portRange{s.port, s.port}
		if over = s.over; ok {
			break
		}
		lo, hi, ok := splitRange(t.text)
		if !ok {
			p.fail(t.pos, "the port %v is unknown", t)
		}
		if q.typ != qPortRange {
			p.fail(t.pos, "%v is a range: write \"portrange %s\"", t, t.text)
		}
		r = portRange{min(lo.port, hi.port), max(lo.port, hi.port)}
		if over = lo.over; hi.over != over {
			over = anyProto
		}
	}
	switch {
	case q.proto == anyProto:
		q.proto = over
	case over != anyProto && over != q.proto:
		p.fail(t.pos, "%v is a port of the other of TCP and UDP", t)
	}
	return ports{at(t.pos), q.proto, q.dir, []portRange{r}}
}

// splitRange finds the only way to read a word as two ports; names of services have hyphens as well.
func splitRange(s string) (lo, hi service, ok bool) {
	for i := range len(s) {
		if s[i] != '-' {
			continue
		}
		l, ok1 := portOf(s[:i])
		h, ok2 := portOf(s[i+1:])
		if !ok1 || !ok2 {
			continue
		}
		if ok {
			return lo, hi, false
		}
		lo, hi, ok = l, h, true
	}
	return lo, hi, ok
}

func portOf(s string) (service, bool) {
	if v, ok := services[s]; ok {
		return v, true
	}
	n, err := strconv.ParseUint(s, 10, 16)
	return service{port: uint16(n)}, err == nil && (s[0] != '0' || s == "0")
}

// proto reads the protocol after "proto". tcpdump wants a backslash before a keyword; as nothing but a protocol can
// stand here, it may be left out.
func (p *parser) proto(q qualifier, t token) node {
	most, names, kind := uint32(0xff), ipProtoNumber, "protocol over IP"
	if q.proto == link {
		most, names, kind = 0xffff, etherNumber, "Ethernet type"
	}
	n, ok := t.num, t.kind == tNumber
	if t.kind == tName || t.kind == tKeyword {
		n, ok = names[t.text]
	}
	if !ok {
		p.fail(t.pos, "%v is unknown as a %s", t, kind)
	}
	if n > most {
		p.fail(t.pos, "%d is no %s: these are 0 to %d", n, kind, most)
	}
	return protoNum{at(t.pos), q.proto, n}
}

func (p *parser) lessGreater(t token) node {
	n := p.next()
	if n.kind != tNumber {
		p.fail(n.pos, "%v where a number of octets should be", n)
	}
	r := relation{at: at(t.pos), op: opJge, l: pktLen{at(t.pos)}, r: number{at(n.pos), n.num}}
	if t.text == "less" { // and equal
		r.op, r.neg = opJgt, true
	}
	return r
}

func (p *parser) cast(t token, pr proto) node {
	broadcast := t.text == "broadcast"
	switch {
	case pr == anyProto:
		pr = link
	case pr == ip && broadcast:
		p.fail(t.pos, "\"ip broadcast\" is not supported: the mask of the network is not in a capture")
	case pr == link, !broadcast && (pr == ip || pr == ip6):
	default:
		p.fail(t.pos, "%v cannot follow this protocol", t)
	}
	return cast{at(t.pos), pr, broadcast}
}

// tag reads the optional number after "vlan" and the like, which may be in parentheses.
func (p *parser) tag(what string, most uint32) tagged {
	n := 0
	for p.peekAt(n).is("(") {
		n++
	}
	t := p.peekAt(n)
	if t.kind != tNumber || n > maxNesting {
		return tagged{}
	}
	for i := range n {
		if !p.peekAt(n + 1 + i).is(")") {
			return tagged{}
		}
	}
	p.toks = p.toks[2*n+1:]
	if t.num > most {
		p.fail(t.pos, "the %s %d is more than %d", what, t.num, most)
	}
	return tagged{t.num, true}
}
