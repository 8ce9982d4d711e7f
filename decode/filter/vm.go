package filter

import (
	"encoding/binary"

	"golang.org/x/net/bpf"
)

// op is a bpf.RawInstruction whose operation is a small number, so that the switch of run is a jump table.
type op struct {
	code   opcode
	jt, jf uint8
	k      uint32
}

type opcode uint8

const (
	opRet opcode = iota
	opLdW
	opLdH
	opLdB
	opLdIndW
	opLdIndH
	opLdIndB
	opLdLen
	opLdImm
	opLdMem
	opLdxMsh
	opLdxMem
	opLdxImm // only tcpdump's
	opSt
	opTax
	opTxa // only tcpdump's
	opJa
	opJeq
	opJgt
	opJge
	opJset
	opJeqX
	opJgtX
	opJgeX
	opAdd
	opSub
	opMul
	opDiv
	opMod
	opAnd
	opOr
	opXor
	opLsh
	opRsh
	opAddX
	opSubX
	opMulX
	opDivX
	opModX
	opAndX
	opOrX
	opXorX
	opLshX
	opRshX
	opNeg
)

// The kernel's numbers of these operations (linux/bpf_common.h and linux/filter.h).
var rawCodes = [...]uint16{
	opRet:    0x06,
	opLdW:    0x20,
	opLdH:    0x28,
	opLdB:    0x30,
	opLdIndW: 0x40,
	opLdIndH: 0x48,
	opLdIndB: 0x50,
	opLdLen:  0x80,
	opLdImm:  0x00,
	opLdMem:  0x60,
	opLdxMsh: 0xb1,
	opLdxMem: 0x61,
	opLdxImm: 0x01,
	opSt:     0x02,
	opTax:    0x07,
	opTxa:    0x87,
	opJa:     0x05,
	opJeq:    0x15,
	opJgt:    0x25,
	opJge:    0x35,
	opJset:   0x45,
	opJeqX:   0x1d,
	opJgtX:   0x2d,
	opJgeX:   0x3d,
	opAdd:    0x04,
	opSub:    0x14,
	opMul:    0x24,
	opDiv:    0x34,
	opMod:    0x94,
	opAnd:    0x54,
	opOr:     0x44,
	opXor:    0xa4,
	opLsh:    0x64,
	opRsh:    0x74,
	opAddX:   0x0c,
	opSubX:   0x1c,
	opMulX:   0x2c,
	opDivX:   0x3c,
	opModX:   0x9c,
	opAndX:   0x5c,
	opOrX:    0x4c,
	opXorX:   0xac,
	opLshX:   0x6c,
	opRshX:   0x7c,
	opNeg:    0x84,
}

var codeOf = func() map[uint16]opcode {
	m := make(map[uint16]opcode, len(rawCodes))
	for c, raw := range rawCodes {
		m[raw] = opcode(c)
	}
	return m
}()

// decode translates a program of this package or of tcpdump's. An operation that neither generates is a bug.
func decode(raw []bpf.RawInstruction) []op {
	ops := make([]op, len(raw))
	for i, r := range raw {
		c, ok := codeOf[r.Op]
		if !ok {
			panic("filter: an operation is missing in rawCodes")
		}
		ops[i] = op{c, r.Jt, r.Jf, r.K}
	}
	return ops
}

// run returns what the program returns: 0 also for a packet that ends before an octet that is looked at, and for a
// division by zero. The program must end in returns and jump within itself.
func run(ops []op, p []byte, wireLen uint32) uint32 {
	var a, x uint32
	var m [16]uint32
	for i := 0; i < len(ops); i++ {
		o := &ops[i]
		switch o.code {
		case opRet:
			return o.k
		case opLdW:
			if uint64(o.k)+4 > uint64(len(p)) {
				return 0
			}
			a = binary.BigEndian.Uint32(p[o.k:])
		case opLdH:
			if uint64(o.k)+2 > uint64(len(p)) {
				return 0
			}
			a = uint32(binary.BigEndian.Uint16(p[o.k:]))
		case opLdB:
			if uint64(o.k) >= uint64(len(p)) {
				return 0
			}
			a = uint32(p[o.k])
		case opLdIndW:
			at := uint64(x) + uint64(o.k)
			if at+4 > uint64(len(p)) {
				return 0
			}
			a = binary.BigEndian.Uint32(p[at:])
		case opLdIndH:
			at := uint64(x) + uint64(o.k)
			if at+2 > uint64(len(p)) {
				return 0
			}
			a = uint32(binary.BigEndian.Uint16(p[at:]))
		case opLdIndB:
			at := uint64(x) + uint64(o.k)
			if at >= uint64(len(p)) {
				return 0
			}
			a = uint32(p[at])
		case opLdLen:
			a = wireLen
		case opLdImm:
			a = o.k
		case opLdMem:
			a = m[o.k&15]
		case opLdxMsh:
			if uint64(o.k) >= uint64(len(p)) {
				return 0
			}
			x = uint32(p[o.k]&0xf) * 4
		case opLdxMem:
			x = m[o.k&15]
		case opLdxImm:
			x = o.k
		case opSt:
			m[o.k&15] = a
		case opTax:
			x = a
		case opTxa:
			a = x
		case opJa:
			i += int(o.k)
		case opJeq:
			i += jump(o, a == o.k)
		case opJgt:
			i += jump(o, a > o.k)
		case opJge:
			i += jump(o, a >= o.k)
		case opJset:
			i += jump(o, a&o.k != 0)
		case opJeqX:
			i += jump(o, a == x)
		case opJgtX:
			i += jump(o, a > x)
		case opJgeX:
			i += jump(o, a >= x)
		case opAdd:
			a += o.k
		case opSub:
			a -= o.k
		case opMul:
			a *= o.k
		case opDiv:
			if o.k == 0 {
				return 0
			}
			a /= o.k
		case opMod:
			if o.k == 0 {
				return 0
			}
			a %= o.k
		case opAnd:
			a &= o.k
		case opOr:
			a |= o.k
		case opXor:
			a ^= o.k
		case opLsh:
			a <<= o.k
		case opRsh:
			a >>= o.k
		case opAddX:
			a += x
		case opSubX:
			a -= x
		case opMulX:
			a *= x
		case opDivX:
			if x == 0 {
				return 0
			}
			a /= x
		case opModX:
			if x == 0 {
				return 0
			}
			a %= x
		case opAndX:
			a &= x
		case opOrX:
			a |= x
		case opXorX:
			a ^= x
		case opLshX:
			a <<= x
		case opRshX:
			a >>= x
		case opNeg:
			a = -a
		}
	}
	return 0
}

func jump(o *op, cond bool) int {
	if cond {
		return int(o.jt)
	}
	return int(o.jf)
}
