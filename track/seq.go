package track

// Sequence numbers wrap: RFC 9293 §3.4. The comparisons hold for numbers less
// than 2^31 apart.

func before(a, b uint32) bool { return int32(a-b) < 0 }
func after(a, b uint32) bool  { return int32(a-b) > 0 }
func atMost(a, b uint32) bool { return int32(a-b) <= 0 }

// between reports a <= x <= b.
func between(a, x, b uint32) bool { return atMost(a, x) && atMost(x, b) }

func later(a, b uint32) uint32 {
	if after(a, b) {
		return a
	}
	return b
}
