package track

// Been returns the states that the end was ever in, those before its first move
// and after its last counted.
func (e *End) Been() States {
	n, _ := e.before()
	s := e.initial
	all := States(0).Add(s)
	for i := range min(n, inlineMoves) {
		s = next[s][e.moves[i].move()]
		all = all.Add(s)
	}
	for i := inlineMoves; i < n; i++ {
		s = next[s][e.made(i).move()]
		all = all.Add(s)
	}
	if e.cover.on {
		all = all.Add(Closed)
	}
	return all
}

// Stay returns the end's last move into a state and, if it ever left it, the last
// move out of it. The first is zero if it never moved there.
func (e *End) Stay(s State) (in Transition, left bool, out Transition) {
	n, below := e.before()
	into, outOf := -1, -1
	var from State // out of which it moved into s
	at := e.initial
	for i := range n {
		to := next[at][e.made(i).move()]
		switch s {
		case to:
			into, from = i, at
		case at:
			outOf = i
		}
		at = to
	}
	if into >= 0 {
		in = e.moveFrom(into, from)
	}
	if outOf >= 0 {
		left, out = true, e.moveFrom(outOf, s)
	}
	if e.cover.on && below != Closed {
		by := e.cover.by
		by.From = below
		switch s {
		case by.To:
			in = by
		case below:
			left, out = true, by
		}
	}
	return in, left, out
}
