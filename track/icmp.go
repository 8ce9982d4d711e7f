package track

import "tcplife/decode"

// quoted takes an ICMP error that quotes a segment. Quoting the SYN, an
// unreachable ends SYN_SENT, and SYN_RCVD unless it is one that listeners wait
// out; that is taken back if the end sends again. Quoting a later segment an error
// changes no state (RFC 5927 §4).
func (s *shard) quoted(e *decode.ICMPError, it *item) {
	if r, ok := s.store.find(&it.key, it.hash); ok {
		newest := s.grow(r, &it.key, it.hash)
		s.quote(newest, e)
		s.store.save(newest)
	}
}

// Name returns the error's name, such as "port-unreachable".
func (n *ICMPNote) Name() string { return decode.ICMPName(n.V6, n.Type, n.Code) }

// quote notes the error with the incarnation that it quotes, of those of which c
// is the newest.
func (s *shard) quote(c *Conn, e *decode.ICMPError) {
	for ; c != nil; c = c.older {
		snd := &c.ends[0]
		if snd.Addr() != e.Src || snd.Port() != e.SrcPort {
			snd = &c.ends[1]
		}
		if c.older != nil && snd.is(nxtKnown) && (after(e.Seq, snd.nxt) || snd.is(issKnown) && before(e.Seq, snd.iss)) {
			continue
		}
		n := own(&c.icmp)
		if n.N++; n.N == 1 {
			n.First = e.Frame
		}
		n.Time, n.Frame, n.From, n.Type, n.Code, n.V6 = e.Time, e.Frame, e.From, e.Type, e.Code, e.V6
		n.Of, n.SYN = Role(c.index(snd)), snd.is(sentSYN) && e.Seq == snd.iss
		if unreachable(e) && e.Seq == snd.iss && (snd.state == SynSent || snd.state == SynReceived && (c.crossed || endsRequest(e))) {
			c.put(snd, cover{icmp: true}, cause{e.Time, e.Frame, Received})
			s.settle(c)
		}
		if s.t.ObserveICMP != nil {
			s.t.ObserveICMP(c, e)
		}
		return
	}
}

// Unreachable reports whether the error says that the destination can't be
// reached, or may not be.
func (n *ICMPNote) Unreachable() bool {
	return unreachable(&decode.ICMPError{V6: n.V6, Type: n.Type, Code: n.Code})
}

// unreachable reports whether the error says that the destination can't be
// reached: types 3 of ICMP, but for "fragmentation needed", and 1 of ICMPv6.
func unreachable(e *decode.ICMPError) bool {
	const fragmentationNeeded = 4
	if e.V6 {
		return e.Type == 1
	}
	return e.Type == 3 && e.Code != fragmentationNeeded
}

// endsRequest reports whether an unreachable ends a listener's half-open
// connection: as Linux has it, net and host of ICMP, and prohibited and port of
// ICMPv6 (tcp_req_err).
func endsRequest(e *decode.ICMPError) bool {
	if e.V6 {
		return e.Code == 1 || e.Code == 4
	}
	return e.Code == 0 || e.Code == 1
}
