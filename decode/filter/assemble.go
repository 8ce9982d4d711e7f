package filter

import (
	"slices"

	"golang.org/x/net/bpf"
)

// assemble lays the blocks out, each behind all that lead to it, and the verdicts last. It begins with the last
// instruction: then it is known how far each jump has to go.
func (g *graph) assemble(snaplen uint32) []bpf.RawInstruction {
	a := assembler{
		at:      make([]int, len(g.blocks)),
		islands: map[int]int{},
		verdict: [2]op{reject: {code: opRet}, accept: {code: opRet, k: snaplen}},
	}
	pieces := g.pieces()
	for i := len(pieces) - 1; i >= 0; i-- {
		p := &pieces[i]
		if p.block <= accept {
			a.at[p.block] = a.emit(a.verdict[p.block])
			continue
		}
		a.branch(&g.blocks[p.block])
		for j := len(p.load) - 1; j >= 0; j-- {
			a.emit(p.load[j])
		}
		a.at[p.block] = len(a.back) - 1
	}
	slices.Reverse(a.back)
	raw := make([]bpf.RawInstruction, len(a.back))
	for i, o := range a.back {
		raw[i] = bpf.RawInstruction{Op: rawCodes[o.code], Jt: o.jt, Jf: o.jf, K: o.k}
	}
	return raw
}

// assembler has the instructions from the last to the first.
type assembler struct {
	back    []op
	at      []int       // the first instruction of each block
	islands map[int]int // the nearest instruction that does nothing but go to a block
	verdict [2]op
}

// emit returns where in back the instruction is.
func (a *assembler) emit(o op) int {
	a.back = append(a.back, o)
	return len(a.back) - 1
}

// branch emits the jump at the end of a block. Where a target is too far for the 8 bits that a jump has, it goes over an
// island: one that is there already, or a new one right behind the jump.
func (a *assembler) branch(b *block) {
	var via [2]int
	for held, to := range b.next {
		via[held] = a.at[to]
		if !a.near(via[held]) {
			via[held] = a.island(to)
		}
	}
	j := len(a.back)
	a.emit(op{code: b.op, jf: uint8(j - via[0] - 1), jt: uint8(j - via[1] - 1), k: b.k})
}

// near reports whether a jump that is emitted next, or behind two islands, can go to an instruction.
func (a *assembler) near(i int) bool { return len(a.back)-i <= 254 }

func (a *assembler) island(to int) int {
	i, ok := a.islands[to]
	if ok && a.near(i) {
		return i
	}
	if to <= accept {
		i = a.emit(a.verdict[to])
	} else {
		i = a.emit(op{code: opJa, k: uint32(len(a.back) - a.at[to] - 1)})
	}
	a.islands[to] = i
	return i
}

// piece is a block that is reached, with the instructions before its jump.
type piece struct {
	block int
	load  []op
}

// state is what is known of the registers: X is four times the length of the IPv4 header at x.
type state struct {
	a      value
	aKnown bool
	x      uint32
	xKnown bool
}

// join keeps what is the same on two ways to a block.
func (s *state) join(t state) {
	s.aKnown = s.aKnown && t.aKnown && s.a == t.a
	s.xKnown = s.xKnown && t.xKnown && s.x == t.x
}

// pieces makes instructions of the blocks that are reached. A value that is in A already is not loaded again.
func (g *graph) pieces() []piece {
	states := make([]state, len(g.blocks))
	reached := make([]bool, len(g.blocks))
	reached[g.entry] = true
	var ps []piece
	for i := g.entry; i > accept; i-- {
		if !reached[i] {
			continue
		}
		b := &g.blocks[i]
		s := states[i]
		ps = append(ps, piece{i, b.load(&s)})
		for _, to := range b.next {
			if reached[to] {
				states[to].join(s)
				continue
			}
			states[to], reached[to] = s, true
		}
	}
	for _, v := range [...]int{accept, reject} {
		if reached[v] {
			ps = append(ps, piece{block: v})
		}
	}
	return ps
}

// load puts what the test looks at into A.
func (t *test) load(s *state) []op {
	if t.code != nil {
		*s = state{}
		return t.code.ins
	}
	v := t.val
	if s.aKnown && s.a == v {
		return nil
	}
	var ins []op
	plain := v
	plain.mask = 0
	if !s.aKnown || s.a != plain {
		switch v.mode {
		case absolute:
			ins = append(ins, op{code: loads[int(v.size)], k: v.off})
		case behindIP:
			if !s.xKnown || s.x != v.ip {
				ins = append(ins, op{code: opLdxMsh, k: v.ip})
				s.x, s.xKnown = v.ip, true
			}
			ins = append(ins, op{code: loadsInd[int(v.size)], k: v.off})
		case length:
			ins = append(ins, op{code: opLdLen})
		}
	}
	if v.mask != 0 {
		ins = append(ins, op{code: opAnd, k: v.mask})
	}
	s.a, s.aKnown = v, true
	return ins
}
