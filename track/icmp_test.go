package track

import (
	"testing"

	"tcplife/decode"
	"tcplife/internal/script"
)

// TestObserveICMP holds the tracker to telling of an ICMP error when it has done
// what it does, and of no error that quotes no connection.
func TestObserveICMP(t *testing.T) {
	scripts, err := script.Parse("0 --> S 0:0(0)\n+.01 <-- icmp port-unreachable quoting 0\n\nA 192.0.2.1:1\n0 <-- icmp port-unreachable quoting 0\n")
	if err != nil {
		t.Fatal(err)
	}
	tr := New(Config{})
	told := 0
	tr.ObserveICMP = func(c *Conn, e *decode.ICMPError) {
		told++
		n, ok := c.ICMP()
		if !ok || n.Frame != e.Frame || n.Name() != "port-unreachable" || c.Client().State() != Closed {
			t.Errorf("noted %v, %+v; the client is in %v", ok, n, c.Client().State())
		}
	}
	for _, s := range scripts {
		for _, e := range s.Events(1, 2) {
			if e.ICMP != nil {
				tr.ICMP(e.ICMP)
			} else {
				tr.Segment(e.Segment)
			}
		}
	}
	if told != 1 {
		t.Errorf("told %d times", told)
	}
}
