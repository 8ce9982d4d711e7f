package filter

// graph is a program as tests that lead to each other, without loops. A block leads to blocks of lower numbers only; the
// first two are the verdicts.
type graph struct {
	blocks []block
	entry  int
}

const (
	reject = 0
	accept = 1
)

// block is a test and where to go after it.
type block struct {
	test
	next [2]int // if the test fails, if it holds
}

// build makes a graph of a condition. Tests are done in the order in which they are written, as a packet that ends
// before what one test looks at is rejected without another.
func build(c *cond) (*graph, error) {
	b := builder{known: map[block]int{}}
	b.blocks = make([]block, 2)
	b.entry = b.build(c, accept, reject)
	if len(b.blocks) > maxTests {
		return nil, errorf(0, "the expression takes more than %d tests", maxTests)
	}
	return &b.graph, nil
}

type builder struct {
	graph
	known map[block]int
}

// build returns the block at which c begins, given those to go to if it holds and if not.
func (b *builder) build(c *cond, yes, no int) int {
	if len(b.blocks) > maxTests {
		return reject
	}
	switch c.kind {
	case isAnd:
		return b.build(c.l, b.build(c.r, yes, no), no)
	case isOr:
		return b.build(c.l, yes, b.build(c.r, yes, no))
	case isNot:
		return b.build(c.l, no, yes)
	case isConst:
		if c == always {
			return yes
		}
		return no
	}
	n := block{c.test, [2]int{no, yes}}
	if at, ok := b.known[n]; ok {
		return at
	}
	b.blocks = append(b.blocks, n)
	b.known[n] = len(b.blocks) - 1
	return len(b.blocks) - 1
}

// fact is the outcome of a test on which protocol a packet is, and those that were found before it.
type fact struct {
	test
	held  bool
	up    *fact
	depth int
}

// maxFacts is how far back facts are looked through. Expressions that people write have fewer; it keeps the time for
// thousands of protocols in proportion to their number.
const maxFacts = 64

// thread leaves out tests whose outcome is known from those before them, such as for TCP over IPv6 behind a test that
// found IPv4. A test that is left out looks at what one before it looked at: the packet is long enough.
func (g *graph) thread() {
	facts := make([]*fact, len(g.blocks))
	reached := make([]bool, len(g.blocks))
	reached[g.entry] = true
	for i := g.entry; i > accept; i-- {
		if !reached[i] {
			continue
		}
		b := &g.blocks[i]
		for held := range b.next {
			f := facts[i]
			if b.header {
				f = &fact{b.test, held == 1, f, f.len() + 1}
			}
			to := b.next[held]
			for to > accept {
				known, holds := f.about(g.blocks[to].test)
				if !known {
					break
				}
				to = g.blocks[to].next[index(holds)]
			}
			b.next[held] = to
			if reached[to] {
				f = common(f, facts[to])
			}
			facts[to], reached[to] = f, true
		}
	}
}

// merge makes one block of those that have become the same, and leaves out tests that lead to reject either way, which is
// also where a packet goes that is too short for them.
func (g *graph) merge() {
	now := make([]int, len(g.blocks))
	now[accept] = accept
	known := map[block]int{}
	for i := accept + 1; i < len(g.blocks); i++ {
		b := &g.blocks[i]
		b.next = [2]int{now[b.next[0]], now[b.next[1]]}
		if b.next == [2]int{reject, reject} {
			continue
		}
		at, ok := known[*b]
		if !ok {
			at, known[*b] = i, i
		}
		now[i] = at
	}
	g.entry = now[g.entry]
}

func index(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (f *fact) len() int {
	if f == nil {
		return 0
	}
	return f.depth
}

// about looks for what is known of a test.
func (f *fact) about(t test) (known, outcome bool) {
	if t.code != nil {
		return false, false
	}
	for range maxFacts {
		if f == nil {
			break
		}
		if f.val == t.val {
			switch {
			case f.op == t.op && f.k == t.k:
				return true, f.held
			case f.op == opJeq && f.held:
				return true, holds(t.op, f.k, t.k)
			}
		}
		f = f.up
	}
	return false, false
}

// common returns the facts that are found on two ways to a block.
func common(a, b *fact) *fact {
	for a != b {
		if a.len() < b.len() {
			a, b = b, a
		}
		a = a.up
	}
	return a
}
