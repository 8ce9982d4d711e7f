package filter

var relations = map[string]struct {
	op  opcode
	neg bool
}{
	"=":  {opJeq, false},
	"==": {opJeq, false},
	"!=": {opJeq, true},
	">":  {opJgt, false},
	"<=": {opJgt, true},
	">=": {opJge, false},
	"<":  {opJge, true},
}

// operators have C's precedences, as far as tcpdump's are the same: see grouping.
var operators = map[string]struct {
	op   opcode
	prec int
}{
	"|":  {opOr, 1},
	"^":  {opXor, 2},
	"&":  {opAnd, 3},
	"<<": {opLsh, 4},
	">>": {opRsh, 4},
	"+":  {opAdd, 5},
	"-":  {opSub, 5},
	"*":  {opMul, 6},
	"/":  {opDiv, 6},
	"%":  {opMod, 6},
}

// calculation reads on after an operand, through the operators that bind tighter than prec.
func (p *parser) calculation(l arith, prec int) arith {
	for {
		t := p.peek()
		o, ok := operators[t.text]
		if !ok || t.kind != tOp || o.prec <= prec {
			return l
		}
		p.next()
		p.grouping(t, o.op, l)
		p.enter()
		r := p.calculation(p.operand(), o.prec)
		p.leave()
		l = p.binop(t, o.op, l, r)
	}
}

// grouping refuses to group l before the operator op where tcpdump would not. Its grammar gives % and ^ no precedence,
// with the effect that these take all that follows for their right operand, and are grouped before all that they
// follow: "tcp[12] % 4 + 1" is there tcp[12] % (4 + 1).
func (p *parser) grouping(t token, op opcode, l arith) {
	odd := op == opMod || op == opXor
	for {
		switch n := l.(type) {
		case binop:
			if n.paren {
				return
			}
			if n.op != opXor || op != opXor {
				if odd || n.op == opMod || n.op == opXor {
					p.fail(t.pos, "%v needs parentheses here: with %% and ^, tcpdump groups in a way of its own", t)
				}
			}
			l = n.r
		case negation:
			if odd && !n.paren {
				p.fail(t.pos, "%v needs parentheses here: with %% and ^, tcpdump groups in a way of its own", t)
			}
			return
		default:
			return
		}
	}
}

// binop calculates at once what does not depend on the packet.
func (p *parser) binop(t token, op opcode, l, r arith) arith {
	n := binop{at: at(l.pos()), op: op, l: l, r: r}
	b, ok := r.(number)
	if !ok {
		n.temps = max(temporaries(l), temporaries(r))
		if temporaries(l) == temporaries(r) {
			n.temps++
		}
		return n
	}
	n.temps = temporaries(l)
	switch {
	case b.v == 0 && (op == opDiv || op == opMod):
		p.fail(t.pos, "a division by zero")
	case b.v > 31 && (op == opLsh || op == opRsh):
		p.fail(t.pos, "a shift by %d of 32 bits", b.v)
	}
	return n
}

// operand reads one operand.
func (p *parser) operand() arith {
	t := p.peek()
	pr := anyProto
	if t.kind == tKeyword {
		pr = protoOf[t.text]
	}
	switch {
	case t.kind == tNumber:
		p.next()
		return number{at(t.pos), t.num}
	case t.is("len"):
		p.next()
		return pktLen{at(t.pos)}
	case t.is("-"):
		p.next()
		p.enter()
		defer p.leave()
		return negation{at: at(t.pos), x: p.operand()}
	case t.is("("):
		it := p.group(qualifier{})
		if it.num == nil {
			p.fail(t.pos, "a condition in parentheses, where a number should be")
			return number{}
		}
		return it.num
	case pr != anyProto:
		p.next()
		return p.index(t, pr)
	}
	p.fail(t.pos, "%v where a number, \"len\" or an octet such as tcp[13] should be", t)
	return number{}
}

// index reads what follows the name of a protocol: [off] or [off:size].
func (p *parser) index(t token, pr proto) arith {
	if pr == ah || pr == esp {
		p.fail(t.pos, "octets of %v cannot be looked at", t)
	}
	p.expect("[", "after "+t.String())
	p.enter()
	defer p.leave()
	n := load{at(t.pos), pr, p.calculation(p.operand(), 0), 1}
	if p.accept(":") {
		s := p.next()
		if s.kind != tNumber || s.num != 1 && s.num != 2 && s.num != 4 {
			p.fail(s.pos, "%v where the size 1, 2 or 4 should be", s)
		}
		n.size = int(s.num)
	}
	p.expect("]", "after the index")
	return n
}
