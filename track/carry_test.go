package track

import (
	"testing"
	"time"

	"tcplife/decode"
	"tcplife/decode/capture"
)

// TestCarry holds counters to what they count where the record has no room for it.
func TestCarry(t *testing.T) {
	const times = 1000
	tr := New(Config{})
	frame := uint64(0)
	take := func(from uint16, f decode.Flags, seq, ack, length uint32, after time.Duration) {
		frame++
		seg := decode.Segment{
			Time: capture.Time(frame * uint64(time.Second)).Add(after), Frame: frame, Wire: 1 << 30, Len: length,
			SrcPort: from, DstPort: 120 - from, Flags: f, Seq: seq, Ack: ack, Wnd: 65535,
		}
		tr.Segment(&seg)
	}
	var c *Conn
	tr.Done = func(d *Conn) { c = d.Clone() }
	take(40, decode.SYN, 0, 0, 0, 0)
	take(80, decode.SYN|decode.ACK, 0, 1, 0, 0)
	take(40, decode.ACK, 1, 1, 0, 0)
	for i := range uint32(times) {
		take(40, decode.ACK|decode.PSH, 1, 1, 100, 0)            // the first is new
		take(40, decode.ACK|decode.PSH, 1, 1, 100, -time.Second) // a mirror duplicate of that
		take(80, decode.SYN|decode.ACK, 0, 1, 0, 0)              //
		take(40, decode.FIN, 1, 0, 1<<29, 0)                     // never counts
		take(80, decode.RST, 1<<31, 0, 0, 0)                     // likewise
		take(40, decode.ACK|decode.PSH, 201+200*i, 1, 100, 0)    // behind a hole
		take(80, decode.ACK, 1, 301+200*i, 0, 0)                 // that never is filled
	}
	tr.Finish()
	e, p := c.Client(), c.Server()
	for _, v := range []struct {
		name      string
		got, want uint64
	}{
		{"payload", e.PayloadBytes(), times * (1<<29 + 200)},
		{"octets", e.Bytes(), (2 + 3*times) << 30},
		{"packets", e.Packets(), 2 + 3*times},
		{"retransmissions", uint64(e.Retransmits()), times - 1},
		{"SYNs", uint64(p.SYN()), 1 + times},
		{"FINs", uint64(e.FIN()), times},
		{"RSTs", uint64(p.RST()), times},
		{"gaps", uint64(c.Gaps()), times},
		{"duplicates", uint64(c.Duplicates()), times},
	} {
		if v.got != v.want {
			t.Errorf("%s: %d, want %d", v.name, v.got, v.want)
		}
	}
}

// TestCopies holds what is kept of the last copies of an end's SYN and FIN to what
// was seen, the FIN being sent before the end acted and after.
func TestCopies(t *testing.T) {
	syn := copyID{tsVal: 1, ipID: 2, hasTS: true, hasID: true}
	end, again := copyID{ipID: 4, hasID: true}, copyID{tsVal: 5, hasTS: true}
	for _, acted := range []bool{false, true} {
		st := newStore()
		e := &st.newConn(key{}, 1).ends[0]
		want := syn
		e.keepSYNCopy(syn)
		if acted {
			want = copyID{}
			e.keepSYNCopy(want)
		}
		check := func(when string, fin copyID) {
			t.Helper()
			if e.synCopy() != want || e.is(hasFIN) && e.finCopy() != fin {
				t.Errorf("acted %v, %s: SYN %v, want %v; FIN %v, want %v", acted, when, e.synCopy(), want, e.finCopy(), fin)
			}
		}
		check("before the FIN", copyID{})
		e.setFIN(7, 0, end, finCounts)
		check("after the FIN", end)
		e.keepFINCopy(again)
		check("after a copy of it", again)
		e.forgetFIN()
		check("the FIN being taken back", copyID{})
		if e.early != (copyID{}) {
			t.Errorf("acted %v: %v is left", acted, e.early)
		}
	}
}
