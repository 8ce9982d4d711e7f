package filter

// relation first asks for the protocols whose octets are compared. Without them it is false, whichever way it compares.
func (l *lowering) relation(n relation) *cond {
	c := l.present(n.l)
	c = and(c, l.present(n.r))
	return and(c, l.compared(n))
}

func (l *lowering) compared(n relation) *cond {
	left, right := fold(n.l), fold(n.r)
	lc, lok := left.(number)
	rc, rok := right.(number)
	var c *cond
	switch {
	case lok && rok:
		c = constant(holds(n.op, lc.v, rc.v))
	case rok:
		c = l.against(left, n.op, rc.v)
	case lok: // k > A is not A >= k
		switch n.op {
		case opJeq:
			c = l.against(right, opJeq, lc.v)
		case opJgt:
			c = negate(l.against(right, opJge, lc.v))
		default:
			c = negate(l.against(right, opJgt, lc.v))
		}
	default:
		code := &code{}
		l.operands(code, left, right, n.pos())
		c = &cond{kind: isTest, test: test{code: code, op: map[opcode]opcode{opJeq: opJeqX, opJgt: opJgtX, opJge: opJgeX}[n.op]}}
	}
	if n.neg {
		c = negate(c)
	}
	return c
}

func holds(op opcode, a, k uint32) bool {
	switch op {
	case opJeq:
		return a == k
	case opJgt:
		return a > k
	case opJge:
		return a >= k
	}
	return a&k != 0
}

// against compares with a constant.
func (l *lowering) against(a arith, op opcode, k uint32) *cond {
	if v, ok := l.simple(a); ok {
		if v.mask != 0 && op == opJeq && k == 0 {
			m := v.mask
			v.mask = 0
			return negate(compare(v, opJset, m))
		}
		return compare(v, op, k)
	}
	code := &code{}
	l.compile(code, a, a.pos())
	return &cond{kind: isTest, test: test{code: code, op: op, k: k}}
}

// simple finds the value that is all of a.
func (l *lowering) simple(a arith) (value, bool) {
	switch a := a.(type) {
	case pktLen:
		return value{mode: length}, true
	case load:
		off, ok := fold(a.off).(number)
		if !ok {
			return value{}, false
		}
		v := value{mode: absolute, size: uint8(a.size), off: l.base(a.proto) + off.v}
		if a.proto.behindIP() {
			v.mode, v.ip = behindIP, l.lay.pl+l.lay.nl
		}
		if v.off > maxOffset && v.mode == behindIP {
			return value{}, false // before that header's end
		}
		if v.off > maxOffset {
			l.fail(a.off.pos(), "the offset %d is outside of any packet", int32(off.v))
		}
		return v, true
	case binop:
		k, ok := a.r.(number)
		if a.op != opAnd || !ok {
			return value{}, false
		}
		if v, ok := l.simple(a.l); ok && v.mask == 0 && k.v != 0 {
			v.mask = k.v
			return v, true
		}
	}
	return value{}, false
}

// maxOffset is of loads: the kernel gives those beyond 2^31 meanings of its own.
const maxOffset = 1<<31 - 1

// behindIP reports whether the protocol's octets are counted from the end of an IPv4 header.
func (p proto) behindIP() bool {
	n, ok := ipNumber[p]
	return ok && n.v4
}

// base is where the octets of a protocol begin. Behind IPv4, its header's length is to be added.
func (l *lowering) base(p proto) uint32 {
	switch p {
	case link:
		return l.lay.hdr
	case icmp6:
		return l.lay.pl + l.lay.nl + 40
	}
	return l.lay.pl + l.lay.nl
}

// present is the condition that the protocols are there whose octets a number is made of. Of a calculation, tcpdump
// asks so of the first operand only: "ip[2:2] - tcp[12]" is a number for each IP packet, whatever is in it.
func (l *lowering) present(a arith) *cond {
	switch a := a.(type) {
	case binop:
		c := l.present(a.l)
		l.present(a.r) // refuses what cannot be there
		return c
	case negation:
		return l.present(a.x)
	case load:
		switch {
		case a.proto == link:
			return l.present(a.off)
		case a.proto == icmp6:
			c := and(l.carries(a.pos(), etherIPv6), header(l.net(6, 1), opJeq, ipNumber[icmp6].num))
			return and(c, l.present(a.off))
		case a.proto.behindIP():
			c := l.carries(a.pos(), etherIPv4)
			c = and(c, l.present(a.off))
			c = and(c, header(l.net(9, 1), opJeq, ipNumber[a.proto].num))
			return and(c, l.firstFragment())
		}
		c := l.abbrev(a.pos(), a.proto)
		return and(c, l.present(a.off))
	}
	return always
}

// fold calculates what does not depend on the packet.
func fold(a arith) arith {
	switch a := a.(type) {
	case binop:
		a.l, a.r = fold(a.l), fold(a.r)
		k, ok := a.r.(number)
		if !ok {
			return a
		}
		if c, ok := a.l.(number); ok {
			if v, ok := calculate(a.op, c.v, k.v); ok {
				return number{c.at, v}
			}
		}
		return a
	case negation:
		a.x = fold(a.x)
		if c, ok := a.x.(number); ok {
			return number{c.at, -c.v}
		}
		return a
	case load:
		a.off = fold(a.off)
		return a
	}
	return a
}

func calculate(op opcode, l, r uint32) (v uint32, ok bool) {
	switch op {
	case opAdd:
		return l + r, true
	case opSub:
		return l - r, true
	case opMul:
		return l * r, true
	case opDiv:
		if r == 0 {
			return 0, false
		}
		return l / r, true
	case opMod:
		if r == 0 {
			return 0, false
		}
		return l % r, true
	case opAnd:
		return l & r, true
	case opOr:
		return l | r, true
	case opXor:
		return l ^ r, true
	case opLsh:
		return l << r, r < 32
	case opRsh:
		return l >> r, r < 32
	}
	return 0, false
}

// code calculates a number into A, for which 16 numbers can be kept in memory.
type code struct {
	ins  []op
	kept uint32
}

func (c *code) emit(o opcode, k uint32) {
	c.ins = append(c.ins, op{code: o, k: k})
}

// keep emits the store of A in a place of its own in memory, for as long as then takes.
func (l *lowering) keep(c *code, pos int, then func(place uint32)) {
	if c.kept == memory {
		l.fail(pos, "the calculation has more than %d intermediate results", memory)
		return
	}
	c.emit(opSt, c.kept)
	c.kept++
	then(c.kept - 1)
	c.kept--
}

const memory = 16

var (
	loads    = map[int]opcode{1: opLdB, 2: opLdH, 4: opLdW}
	loadsInd = map[int]opcode{1: opLdIndB, 2: opLdIndH, 4: opLdIndW}
	withX    = map[opcode]opcode{
		opAdd: opAddX, opSub: opSubX, opMul: opMulX, opDiv: opDivX, opMod: opModX,
		opAnd: opAndX, opOr: opOrX, opXor: opXorX, opLsh: opLshX, opRsh: opRshX,
	}
)

// compile appends the calculation of a, which is folded, to c.
func (l *lowering) compile(c *code, a arith, pos int) {
	switch a := a.(type) {
	case number:
		c.emit(opLdImm, a.v)
	case pktLen:
		c.emit(opLdLen, 0)
	case negation:
		l.compile(c, a.x, pos)
		c.emit(opNeg, 0)
	case load:
		l.compileLoad(c, a, pos)
	case binop:
		if k, ok := a.r.(number); ok {
			l.constantOperand(c, a, k, pos)
			return
		}
		l.operands(c, a.l, a.r, pos)
		c.emit(withX[a.op], 0)
	}
}

// operands appends the calculation of left into A and right into X. The one that keeps more results goes first, while
// nothing is kept: then there is memory enough for all that fits into an expression.
func (l *lowering) operands(c *code, left, right arith, pos int) {
	if temporaries(left) <= temporaries(right) {
		l.compile(c, right, pos)
		l.keep(c, pos, func(place uint32) {
			l.compile(c, left, pos)
			c.emit(opLdxMem, place)
		})
		return
	}
	l.compile(c, left, pos)
	l.keep(c, pos, func(place uint32) {
		l.compile(c, right, pos)
		c.emit(opTax, 0)
		c.emit(opLdMem, place)
	})
}

// temporaries returns how many results are kept at once to calculate a.
func temporaries(a arith) int {
	switch a := a.(type) {
	case binop:
		return a.temps
	case negation:
		return temporaries(a.x)
	case load:
		return temporaries(a.off)
	}
	return 0
}

func (l *lowering) constantOperand(c *code, a binop, k number, pos int) {
	switch {
	case k.v == 0 && (a.op == opDiv || a.op == opMod):
		l.fail(a.pos(), "a division by zero")
	case k.v > 31 && (a.op == opLsh || a.op == opRsh):
		l.fail(a.pos(), "a shift by %d of 32 bits", k.v)
	}
	l.compile(c, a.l, pos)
	c.emit(a.op, k.v)
}

func (l *lowering) compileLoad(c *code, a load, pos int) {
	base := l.base(a.proto)
	if v, ok := l.simple(a); ok {
		if v.mode == behindIP {
			c.emit(opLdxMsh, v.ip)
			c.emit(loadsInd[a.size], v.off)
			return
		}
		c.emit(loads[a.size], v.off)
		return
	}
	l.compile(c, a.off, pos)
	if a.proto.behindIP() {
		c.emit(opLdxMsh, l.lay.pl+l.lay.nl)
		c.emit(opAddX, 0)
	}
	c.emit(opTax, 0)
	c.emit(loadsInd[a.size], base)
}
