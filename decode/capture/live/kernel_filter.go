//go:build linux && !(pcap && cgo)

package live

import (
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"tcplife/decode/filter"
)

// kernelFilter returns the program that the kernel runs on every packet of every
// interface that the socket is bound to. It drops
//   - what is not of the interfaces with those indices, if they are several (one
//     the socket is bound to, and none means all)
//   - of the two copies of what goes through a loopback interface, the one that
//     leaves
//   - what the user's filter doesn't want, if there is one, and if that can be told
//     here: see judged. What has a VLAN tag that the network card took off is left
//     to us as well, since a program finds no tag in the packet.
//
// Of the others it keeps snaplen octets.
func kernelFilter(snaplen int, indices []int, programs map[uint32]*filter.Filter, filtered bool) []bpf.RawInstruction {
	var p program
	if len(indices) > 1 {
		p.load(bpf.ExtInterfaceIndex)
		ours := p.label()
		for _, i := range indices {
			p.jump(uint32(i), ours)
		}
		p.add(bpf.RetConstant{})
		p.place(ours)
	}
	other := p.label()
	p.load(bpf.ExtLinkLayerType)
	p.add(bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.ARPHRD_LOOPBACK, SkipTrue: 3})
	p.load(bpf.ExtType)
	p.add(bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.PACKET_OUTGOING, SkipTrue: 1}, bpf.RetConstant{})
	if filtered {
		p.load(bpf.ExtVLANTagPresent)
		p.add(bpf.JumpIf{Cond: bpf.JumpEqual, SkipTrue: 1}, bpf.RetConstant{Val: uint32(snaplen)})
		p.load(bpf.ExtLinkLayerType)
		ethernet, raw := p.label(), p.label()
		for _, t := range [...]uint32{unix.ARPHRD_ETHER, unix.ARPHRD_LOOPBACK} {
			p.jump(t, ethernet)
		}
		for _, t := range [...]uint32{unix.ARPHRD_NONE, unix.ARPHRD_RAWIP} {
			p.jump(t, raw)
		}
		p.jumpAlways(other)
		p.placeFilter(ethernet, programs[linkEthernet])
		p.placeFilter(raw, programs[linkRaw])
	}
	p.place(other)
	p.add(bpf.RetConstant{Val: uint32(snaplen)})
	return p.assemble()
}

// judged reports whether kernelFilter tells for interfaces of that type what the
// user's filter wants.
func judged(hatype uint16) bool {
	switch hatype {
	case unix.ARPHRD_ETHER, unix.ARPHRD_LOOPBACK, unix.ARPHRD_NONE, unix.ARPHRD_RAWIP:
		return true
	}
	return false
}

// A program is put together from instructions and programs. Jumps in it lead to
// labels, and are unconditional, since conditional ones reach 255 instructions
// only.
type program struct {
	code   []bpf.RawInstruction
	labels []int // where they are
	jumps  []struct{ at, label int }
}

func (p *program) add(is ...bpf.Instruction) {
	for _, i := range is {
		raw, err := i.Assemble()
		if err != nil {
			panic("live: " + err.Error()) // an instruction above that doesn't exist
		}
		p.code = append(p.code, raw)
	}
}

func (p *program) load(e bpf.Extension) { p.add(bpf.LoadExtension{Num: e}) }

func (p *program) label() int {
	p.labels = append(p.labels, -1)
	return len(p.labels) - 1
}

func (p *program) place(label int) { p.labels[label] = len(p.code) }

// placeFilter places a filter at a label. One that could not be compiled for its
// link type wants nothing.
func (p *program) placeFilter(label int, f *filter.Filter) {
	p.place(label)
	if f == nil {
		p.add(bpf.RetConstant{})
		return
	}
	p.code = append(p.code, f.Raw()...)
}

// jump jumps to the label if the accumulator has that value.
func (p *program) jump(value uint32, label int) {
	p.add(bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: value, SkipTrue: 1})
	p.jumpAlways(label)
}

func (p *program) jumpAlways(label int) {
	p.jumps = append(p.jumps, struct{ at, label int }{len(p.code), label})
	p.add(bpf.Jump{})
}

func (p *program) assemble() []bpf.RawInstruction {
	for _, j := range p.jumps {
		p.code[j.at].K = uint32(p.labels[j.label] - j.at - 1)
	}
	return p.code
}

// nothing is the program that wants no packet.
var nothing = []bpf.RawInstruction{{Op: unix.BPF_RET | unix.BPF_K}}

// attach has the kernel run a program on the packets of a socket.
func attach(fd int, code []bpf.RawInstruction) error {
	prog := unix.SockFprog{Len: uint16(len(code)), Filter: (*unix.SockFilter)(unsafe.Pointer(&code[0]))}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &prog)
}
