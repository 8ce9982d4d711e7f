package track

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"
	"unsafe"

	"tcplife/decode"
	"tcplife/decode/capture"
)

// A lasting is what lasts of a connection from segment to segment.
type lasting struct {
	record
	rare [2]rareEnd
	rareFacts
}

func lastingOf(c *Conn) lasting {
	return lasting{*c.record, [2]rareEnd{c.ends[0].rareEnd, c.ends[1].rareEnd}, c.rareFacts}
}

// TestSizes documents what a connection costs between segments.
func TestSizes(t *testing.T) {
	if n := unsafe.Sizeof(loneSYN{}); n > 64 {
		t.Errorf("an unanswered SYN takes %d octets", n)
	}
	if n := unsafe.Sizeof(record{}); n > 352 {
		t.Errorf("a connection takes %d octets", n)
	}
	t.Logf("loneSYN %d, record %d, Conn %d octets", unsafe.Sizeof(loneSYN{}), unsafe.Sizeof(record{}), unsafe.Sizeof(Conn{}))
}

// TestLoneSYN holds a connection kept as one SYN to what it is otherwise.
func TestLoneSYN(t *testing.T) {
	seg := decode.Segment{
		Time: capture.Time(time.Second), Frame: 3, Wire: 74, Src: v4Mapped(10<<24 | 2), Dst: v4Mapped(10<<24 | 1),
		SrcPort: 40000, DstPort: 80, Flags: decode.SYN | decode.ECE, Seq: 5, Wnd: 100, Opts: decode.OptScale | decode.OptTimestamps,
		Scale: 7, TSVal: 9, IPID: 4, HasIPID: true, Checksum: decode.ChecksumGood, TTL: 64,
	}
	answer := decode.Segment{
		Time: seg.Time + 5, Frame: 4, Wire: 60, Src: seg.Dst, Dst: seg.Src, SrcPort: 80, DstPort: 40000,
		Flags: decode.SYN | decode.ACK, Seq: 1, Ack: 6, Wnd: 100,
	}
	for _, answered := range []bool{false, true} {
		var lives []lasting
		for _, lone := range []bool{true, false} {
			tr := New(Config{})
			if !lone {
				tr.Observe = func(*Conn, *decode.Segment, Notes) {}
			}
			tr.Done = func(c *Conn) { lives = append(lives, lastingOf(c)) }
			s := seg
			tr.Segment(&s)
			if lone != (tr.store.lones.Len() == 1) {
				t.Errorf("lone %v: %d lone SYNs", lone, tr.store.lones.Len())
			}
			if answered {
				a := answer
				tr.Segment(&a)
			}
			tr.Finish()
		}
		if len(lives) != 2 || lives[0] != lives[1] {
			t.Errorf("answered %v: got\n%+v\nwant\n%+v", answered, lives[0], lives[1])
		}
	}
}

// TestMarks holds the marks and moments of a connection to what was kept, near and
// far off, and few of them to their place in the record.
func TestMarks(t *testing.T) {
	for _, far := range []bool{false, true} {
		tr := New(Config{})
		c := tr.store.newConn(key{}, 1)
		c.Start, c.First = 1e18, 1<<40|7
		want := map[int]stamp{}
		for i := range stampEvents {
			m := stamp{c.Start + capture.Time(i)<<40, c.First + uint64(i)<<30}
			if far && i == 1 {
				m = stamp{c.Start - 5, 2<<40 | 1}
			}
			c.setStamp(i, m.time, m.frame)
			want[i] = m
		}
		for i := range 100 {
			m := stamp{c.Start + capture.Time(i*i), c.First + uint64(i)}
			at := c.moment(m.time, m.frame)
			if c.at(at) != m {
				t.Fatalf("moment %d is %v, want %v", i, c.at(at), m)
			}
			if i < 5 {
				e := &c.ends[i%2]
				*e.made(int(e.n)) = moved{0, at}
				e.n++
			}
			for j := 0; j < i && j < 5; j++ {
				if got := c.at(c.ends[j%2].made(j / 2).at); got != (stamp{c.Start + capture.Time(j*j), c.First + uint64(j)}) {
					t.Fatalf("moment %d of a move became %v after %d others", j, got, i)
				}
			}
			if c.events > maxEvents+1 {
				t.Fatalf("%d moments kept, 4 are in use", c.events)
			}
		}
		for i, m := range want {
			if c.stamp(i) != m {
				t.Errorf("stamp %d is %v, want %v", i, c.stamp(i), m)
			}
		}
		if far != (c.far != nil) {
			t.Errorf("far marks: %v", c.far)
		}
	}
}

// TestLongestWay holds the room for moves to Figure 5.
func TestLongestWay(t *testing.T) {
	var longest func(s State, depth int, seen map[State]bool) int
	longest = func(s State, depth int, seen map[State]bool) int {
		most := depth
		for _, to := range next[s] {
			if to != 0 && !seen[to] && (s != Closed || depth == 0) {
				seen[to] = true
				most = max(most, longest(to, depth+1, seen))
				delete(seen, to)
			}
		}
		return most
	}
	for s := range State(numStates) {
		if n := longest(s, 0, map[State]bool{}); n > maxMoves {
			t.Errorf("from %v there is a way of %d moves", s, n)
		}
	}
}

// TestAdd holds segments that are added to what they do when taken at once.
func TestAdd(t *testing.T) {
	run := func(add bool) (out []string) {
		tr := New(Config{})
		tr.Done = func(c *Conn) {
			out = append(out, fmt.Sprint(c.ID, c.First, c.Last(), c.Client().State(), c.Server().State(), c.EndReason))
		}
		r := rand.New(rand.NewPCG(1, 2))
		now := capture.Time(1)
		for frame := uint64(1); frame < 5000; frame++ {
			var b [fuzzOctets]byte
			for i := range b {
				b[i] = byte(r.Uint32())
			}
			seg, step := fuzzSegment(b[:])
			now = now.Add(step)
			seg.Time, seg.Frame, seg.Src[14], seg.Dst[14] = now, frame, b[6]&3, b[6]&3
			switch tick := b[0] < 20; {
			case tick && add:
				tr.AddTick(now, frame)
			case tick:
				tr.Tick(now, frame)
			case add:
				tr.Add(&seg)
			default:
				tr.Segment(&seg)
			}
		}
		tr.Finish()
		return out
	}
	now, later := run(false), run(true)
	if len(now) < 20 || !reflect.DeepEqual(now, later) {
		t.Errorf("%d connections at once, %d added", len(now), len(later))
	}
}
