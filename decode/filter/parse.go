package filter

// parser reads an expression by recursive descent. "and" and "or" have the same precedence and group to the left.
//
// An error takes away the tokens that are left: what is parsed after it comes to nothing, and need not look for it.
type parser struct {
	toks  []token
	depth int
	err   *Error // the first
}

// qualifier is what stands before a value, as "tcp src port" before 80, and serves the bare values after "and" and "or"
// as well: "port 80 or 443".
type qualifier struct {
	set   bool
	proto proto
	dir   dir
	typ   qualType
}

type qualType uint8

const (
	qHost qualType = iota // also if only a direction was given
	qNet
	qPort
	qPortRange
	qProto
)

// item is a condition or a number, until what follows tells which: "(5) = len", "port (5)".
type item struct {
	cond node
	num  arith
	q    qualifier // for the bare values that follow cond
	bare bool      // cond came from a bare value
}

// parse returns nil for the empty expression.
func parse(expr string) (node, error) {
	toks, err := lex(expr)
	if err != nil {
		return nil, err
	}
	p := &parser{toks: toks}
	if p.peek().kind == tEnd {
		return nil, nil
	}
	it := p.expr(qualifier{}, false)
	if t := p.peek(); t.kind != tEnd {
		p.fail(t.pos, "%v is not expected here: only \"and\", \"or\" or the end can follow", t)
	}
	if p.err != nil {
		return nil, p.err
	}
	return it.cond, nil
}

func (p *parser) fail(pos int, format string, args ...any) {
	if p.err == nil {
		p.err = errorf(pos, format, args...)
	}
	p.toks = p.toks[len(p.toks)-1:]
}

func (p *parser) peek() token { return p.toks[0] }

func (p *parser) peekAt(n int) token { return p.toks[min(n, len(p.toks)-1)] }

func (p *parser) next() token {
	t := p.toks[0]
	if t.kind != tEnd {
		p.toks = p.toks[1:]
	}
	return t
}

func (p *parser) accept(text string) bool {
	if p.peek().is(text) {
		p.next()
		return true
	}
	return false
}

func (p *parser) expect(text, after string) {
	if t := p.peek(); !p.accept(text) {
		p.fail(t.pos, "%v where %q should be %s", t, text, after)
	}
}

// enter counts a level of nesting; leave is its counterpart.
func (p *parser) enter() {
	if p.depth++; p.depth > maxNesting {
		p.fail(p.peek().pos, "more than %d levels of nesting", maxNesting)
	}
}

func (p *parser) leave() { p.depth-- }

// connective reports whether a token is "and" or "or", however written.
func connective(t token) (or, ok bool) {
	switch {
	case t.is("and"), t.is("&&"):
		return false, true
	case t.is("or"), t.is("||"):
		return true, true
	}
	return false, false
}

// expr reads terms joined by "and" and "or", in parentheses or not. Within parentheses it may be a number.
func (p *parser) expr(q qualifier, paren bool) item {
	left := p.term(q)
	if paren && left.num != nil && p.peek().is(")") {
		return left
	}
	left = p.condition(left, q)
	// Having begun with a bare value, the content of parentheses has to go on with them: tcpdump refuses others.
	values := paren && left.bare
	for {
		t := p.peek()
		or, ok := connective(t)
		if !ok {
			return left
		}
		p.next()
		pos := p.peek().pos
		right := p.condition(p.term(left.q), left.q)
		if values && !right.bare {
			p.fail(pos, "after a bare value, only bare values can stand in the same parentheses")
		}
		left = item{cond: join(at(t.pos), or, left.cond, right.cond), q: right.q, bare: left.bare && right.bare}
	}
}

// condition makes a condition of an item: a number that is not compared is a bare value.
func (p *parser) condition(it item, q qualifier) item {
	if it.cond != nil {
		return it
	}
	n, ok := it.num.(number)
	if !ok {
		p.fail(p.peek().pos, "%v where the number should be compared: with =, !=, <, <=, > or >=", p.peek())
	}
	t := token{kind: tNumber, pos: n.pos(), num: n.v}
	if !q.set {
		p.fail(t.pos, "the number %d has no qualifier, such as in \"port %d\", and is not compared", n.v, n.v)
	}
	return item{cond: p.value(q, t), q: q, bare: true}
}

// term reads one term; q serves bare values.
func (p *parser) term(q qualifier) item {
	t := p.peek()
	switch {
	case t.is("not"), t.is("!"):
		p.next()
		p.enter()
		defer p.leave()
		it := p.condition(p.term(q), q)
		it.cond = not{at(t.pos), it.cond}
		return it
	case t.is("("):
		it := p.group(q)
		if it.num == nil {
			it.q = q
			return it
		}
		return p.compared(it.num)
	case t.kind == tNumber, t.is("len"), t.is("-"):
		return p.compared(p.operand())
	case t.kind == tKeyword && protoOf[t.text] != anyProto && p.peekAt(1).is("["):
		return p.compared(p.operand())
	case t.kind == tKeyword:
		return p.primitive()
	case t.kind == tOp, t.kind == tEnd:
		p.fail(t.pos, "%v where a condition should be", t)
	case !q.set && t.kind == tName:
		p.fail(t.pos, "the word %v is unknown%s", t, hint(t))
	case !q.set:
		p.fail(t.pos, "%v has no qualifier, such as in \"host %s\"", t, t.text)
	}
	return item{cond: p.value(q, p.next()), q: q, bare: true}
}

// compared reads on after the first operand of a calculation: the rest, and the comparison if there is one.
func (p *parser) compared(first arith) item {
	l := p.calculation(first, 0)
	op, ok := relations[p.peek().text]
	if t := p.peek(); ok && t.kind == tOp {
		p.next()
		r := p.calculation(p.operand(), 0)
		return item{cond: relation{at(l.pos()), op.op, op.neg, l, r}}
	}
	return item{num: l}
}

// group reads what is in parentheses.
func (p *parser) group(q qualifier) item {
	open := p.next()
	p.enter()
	defer p.leave()
	it := p.expr(q, true)
	if t := p.peek(); !p.accept(")") {
		if t.kind == tEnd {
			p.fail(open.pos, "this parenthesis is not closed")
		}
		p.fail(t.pos, "%v is not expected here: only \"and\", \"or\" or a closing parenthesis can follow", t)
	}
	switch n := it.num.(type) {
	case binop:
		n.paren = true
		it.num = n
	case negation:
		n.paren = true
		it.num = n
	}
	return it
}

// join makes one list of hosts or ports that follow each other, for which shorter code is made. Networks and ranges stay
// alone: of these, tcpdump looks at both ends before it goes on to the next, which matters for packets that are cut.
func join(pos at, or bool, l, r node) node {
	if or {
		if prev, ok := l.(logic); ok && prev.or {
			if m := merge(prev.r, r); m != nil {
				prev.r = m
				return prev
			}
		}
		if m := merge(l, r); m != nil {
			return m
		}
	}
	return logic{pos, or, l, r}
}

func merge(l, r node) node {
	switch l := l.(type) {
	case ports:
		r, ok := r.(ports)
		if ok && l.proto == r.proto && l.dir == r.dir && l.dir != srcAndDst && l.list[0].single() && r.list[0].single() {
			l.list = append(l.list, r.list...)
			return l
		}
	case host4:
		r, ok := r.(host4)
		if ok && l.proto == r.proto && l.dir == r.dir && l.dir != srcAndDst && l.nets[0].single() && r.nets[0].single() {
			l.nets = append(l.nets, r.nets...)
			return l
		}
	}
	return nil
}

func (n net4) single() bool { return n.mask == ^uint32(0) }

func (r portRange) single() bool { return r.lo == r.hi }
