package filter

// node is a condition on a packet.
type node interface {
	pos() int // octets before it in the expression
}

type at int

func (p at) pos() int { return int(p) }

type (
	// logic is "and" or "or".
	logic struct {
		at
		or   bool
		l, r node
	}
	not struct {
		at
		x node
	}
	// abbrev is a protocol alone: "tcp".
	abbrev struct {
		at
		proto proto
	}
	// host4 is an IPv4 network or a list of hosts; proto is ip, arp, rarp or anyProto.
	host4 struct {
		at
		proto proto
		dir   dir
		nets  []net4
	}
	// host6 is an IPv6 host or network.
	host6 struct {
		at
		dir dir
		net net6
	}
	etherHost struct {
		at
		dir dir
		mac [6]byte
	}
	// protoNum is "ip proto 6"; proto is ip, ip6, link or anyProto.
	protoNum struct {
		at
		proto proto
		num   uint32
	}
	// ports is a range or a list of ports; proto is tcp, udp, sctp or anyProto.
	ports struct {
		at
		proto proto
		dir   dir
		list  []portRange
	}
	// cast is "multicast" or "broadcast"; proto is link, ip or ip6.
	cast struct {
		at
		proto     proto
		broadcast bool
	}
	// vlan, mpls and pppoe change what the rest of the expression looks at.
	vlan struct {
		at
		tagged
	}
	mpls struct {
		at
		tagged
	}
	pppoe struct {
		at
		tagged
		discovery bool
	}
	// relation compares two numbers. op is opJeq, opJgt or opJge; the other relations are negations of these.
	relation struct {
		at
		op   opcode
		neg  bool
		l, r arith
	}
)

// tagged is the number after "vlan" and the like, if there was one.
type tagged struct {
	id    uint32
	hasID bool
}

type net4 struct{ addr, mask uint32 }

type net6 struct{ addr, mask [4]uint32 }

type portRange struct{ lo, hi uint16 }

type dir uint8

const (
	srcOrDst dir = iota
	src
	dst
	srcAndDst
)

// arith is a number of 32 bits that may depend on the packet.
type arith interface {
	pos() int
}

type (
	number struct {
		at
		v uint32
	}
	pktLen struct{ at }
	// load is proto[off:size].
	load struct {
		at
		proto proto
		off   arith
		size  int
	}
	// binop is l op r. op is one of opAdd to opRsh.
	binop struct {
		at
		op    opcode
		l, r  arith
		paren bool // in parentheses: how it is grouped was said
		temps int  // see temporaries
	}
	negation struct {
		at
		x     arith
		paren bool
	}
)
