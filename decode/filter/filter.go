// Package filter compiles tcpdump's filter language (pcap-filter(7)) to classic BPF without libpcap. A filter says of
// a captured packet whether it is wanted, and the kernel can be given the same program.
package filter

import (
	"fmt"
	"slices"

	"golang.org/x/net/bpf"
)

// Limits on an expression. With them the time and memory of Compile are bounded, whatever it is given.
const (
	maxExpr    = 64 << 10 // octets
	maxNesting = 200      // parentheses, negations and indices within each other
	maxTests   = 1 << 14  // before the optimizer
	maxProgram = 4096     // instructions: the kernel takes no more (BPF_MAXINSNS)
)

// defaultSnaplen is tcpdump's.
const defaultSnaplen = 262144

// Filter is a compiled expression. It may be used by several goroutines at once.
type Filter struct {
	raw []bpf.RawInstruction
	ops []op // raw, as Match reads it
}

// Error tells why an expression was refused.
type Error struct {
	Pos int // octets before the refused part
	Msg string
}

func (e *Error) Error() string {
	return fmt.Sprintf("filter column %d: %s", e.Pos+1, e.Msg)
}

func errorf(pos int, format string, args ...any) *Error {
	return &Error{Pos: pos, Msg: fmt.Sprintf(format, args...)}
}

// Compile translates an expression for packets of a link type (tcpdump.org/linktypes.html). The empty expression wants
// every packet, of any link type. The program returns snaplen for a packet that is wanted; 0 stands for 262144.
//
// Every error is an *Error. An expression that can be understood but is never true, such as "arp" on raw IP, is none.
func Compile(expr string, linkType, snaplen uint32) (*Filter, error) {
	if snaplen == 0 {
		snaplen = defaultSnaplen
	}
	if len(expr) > maxExpr {
		return nil, errorf(maxExpr, "the expression has %d octets, %d are allowed", len(expr), maxExpr)
	}
	n, err := parse(expr)
	if err != nil {
		return nil, err
	}
	c := always
	if n != nil {
		lay, ok := layoutOf(linkType)
		if !ok {
			return nil, errorf(0, "packets of link type %d cannot be filtered", linkType)
		}
		l := lowering{lay: lay}
		if c = l.cond(n); l.err != nil {
			return nil, l.err
		}
	}
	g, err := build(c)
	if err != nil {
		return nil, err
	}
	g.thread()
	g.merge()
	raw := g.assemble(snaplen)
	if len(raw) > maxProgram {
		return nil, errorf(0, "the expression takes %d instructions, %d are allowed", len(raw), maxProgram)
	}
	return &Filter{raw: raw, ops: decode(raw)}, nil
}

// Supported reports whether expressions can be compiled for a link type.
func Supported(linkType uint32) bool {
	_, ok := layoutOf(linkType)
	return ok
}

// Raw returns the program, for bpf.NewVM or SO_ATTACH_FILTER. The kernel sees no VLAN tag that the network card took
// off: a program for an expression with "vlan" does not do live what it does on a file, where the tag is in the packet.
func (f *Filter) Raw() []bpf.RawInstruction {
	return slices.Clone(f.raw)
}

// Match reports whether the packet is wanted, of which data was captured and wireLen octets were sent. As in tcpdump, a
// packet cut before something that the expression must look at is not wanted, not even by "not".
func (f *Filter) Match(data []byte, wireLen uint32) bool {
	return run(f.ops, data, wireLen) != 0
}
