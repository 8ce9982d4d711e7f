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
	if n := unsafe.Sizeof(loneSYN{}); n > 48 {
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
			tr.Done = func(c *Conn) { lives = append(lives, lastingOf(c)) }
			observed := 0
			tr.Observe = func(c *Conn, _ *decode.Segment, _ Notes) {
				observed++
				if c.Client().State() != SynSent && !answered {
					t.Errorf("observed in %v", c.Client().State())
				}
			}
			if s := seg; lone {
				tr.Segment(&s)
			} else {
				k := makeKey(&s.Src, &s.Dst, s.SrcPort, s.DstPort, 0)
				sh := tr.only()
				tr.AddTick(s.Time, s.Frame)
				tr.Flush()
				sh.begin(sh.newID(), &s, &k, sh.store.hash(&k))
			}
			if observed != 1 {
				t.Errorf("observed %d times", observed)
			}
			if lone != (tr.only().store.lones.Len() == 1) {
				t.Errorf("lone %v: %d lone SYNs", lone, tr.only().store.lones.Len())
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
		c := tr.only().store.newConn(key{}, 1)
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

// only returns the one shard of a tracker without workers.
func (t *Tracker) only() *shard {
	t.open()
	return t.shards[0]
}

// TestWorkers holds what comes out, and its order, to being the same whether
// segments are taken at once, in blocks, or by any number of workers.
func TestWorkers(t *testing.T) {
	run := func(workers int, now bool) (out []string) {
		tr := New(Config{Workers: workers})
		tr.Done = func(c *Conn) {
			l := fmt.Sprint(c.ID, c.First, c.Last(), c.Start, c.End(), c.Client().Packets(), c.Server().Packets(), c.EndReason, c.Duplicates())
			for _, e := range c.Ends() {
				l += fmt.Sprint(e.Addr(), e.Port(), e.Transitions(), e.MayBe(tr.Now()))
			}
			out = append(out, l)
		}
		var noted []string
		tr.Noted = func(frame uint64, n Notes) { noted = append(noted, fmt.Sprint("noted", frame, n)) }
		tr.Last = func(c *Conn) { out = append(out, fmt.Sprint("last", c.ID, c.Client().State(), c.Server().State())) }
		each := func() {
			tr.Each(func(c *Conn) { out = append(out, fmt.Sprint("each", c.ID, c.Client().State(), c.Server().State())) })
		}
		r := rand.New(rand.NewPCG(1, 2))
		at := capture.Time(1)
		for frame := uint64(1); frame < 20000; frame++ {
			var b [fuzzOctets]byte
			for i := range b {
				b[i] = byte(r.Uint32())
			}
			seg, step := fuzzSegment(b[:])
			if b[8]&7 == 0 {
				step = 61 * time.Second // lets TIME_WAIT end in the middle of a block
			}
			at = at.Add(step)
			seg.Time, seg.Frame, seg.Src[14], seg.Dst[14] = at, frame, b[6]&7, b[6]&7
			if b[4]&15 == 0 {
				seg.Checksum = decode.ChecksumBad
			}
			if frame%512 == 0 && b[0] < 200 {
				seg.Src, seg.Dst = v4Mapped(uint32(b[1])), v4Mapped(1<<30)
				seg.Flags, seg.Len = decode.SYN, 0
			}
			icmp := decode.ICMPError{
				Time: at, Frame: frame, Type: 3, Code: 1, Src: seg.Src, Dst: seg.Dst,
				SrcPort: seg.SrcPort, DstPort: seg.DstPort, Seq: seg.Seq, Context: seg.Context,
			}
			switch {
			case b[0] < 20:
				tr.AddTick(at, frame)
			case b[0] < 30:
				tr.AddICMP(&icmp)
			default:
				slot := tr.Slot()
				*slot = seg
				tr.Add(slot)
				if b[0] < 50 {
					tr.Add(&seg) // a mirror duplicate
				}
			}
			if now {
				tr.Flush()
			}
			if frame == 7001 {
				tr.Finish()
			}
			if frame == 11000 {
				each()
			}
		}
		each()
		tr.Finish()
		return append(out, noted...)
	}
	want := run(1, false)
	if len(want) < 3000 {
		t.Fatalf("%d lines only", len(want))
	}
	for _, workers := range []int{0, 2, 3, 8, 100} {
		if got := run(workers, false); !reflect.DeepEqual(got, want) {
			for i := range want {
				if i >= len(got) || got[i] != want[i] {
					t.Errorf("%d workers: %d lines, line %d of %d is\n%s\nwant\n%s", workers, len(got), i, len(want), append(got, "")[min(i, len(got))], want[i])
					break
				}
			}
		}
	}
	got := run(1, true)
	if !reflect.DeepEqual(got, want) {
		for i := range want {
			if i >= len(got) || got[i] != want[i] {
				t.Fatalf("at once: %d lines, line %d of %d is\n%s\nwant\n%s", len(got), i, len(want), append(got, "")[min(i, len(got))], want[i])
			}
		}
	}
}
