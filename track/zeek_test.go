package track

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"tcplife/decode"
	"tcplife/decode/capture"
	"tcplife/internal/script"
)

// zeekRows returns what Zeek's log would have of a script, a row per connection in
// the order in which they begin.
func zeekRows(s *script.Script, isnA, isnB uint32) []string {
	type row struct {
		id   uint64
		text string
	}
	var rows []row
	t := New(Config{ZeekSplit: true})
	t.Done = func(c *Conn) {
		z, ok := c.Zeek()
		if !ok {
			panic("nothing is told of Zeek")
		}
		if z.History == "" {
			z.History = "-" // as the log has it
		}
		rows = append(rows, row{c.ID, fmt.Sprintf("= %s %s %d %d", z.State, z.History, z.Orig.Bytes, z.Resp.Bytes)})
	}
	for _, e := range s.Events(isnA, isnB) {
		if e.Segment != nil {
			t.Segment(e.Segment)
		} else {
			t.Tick(e.Time, e.Frame)
		}
	}
	t.Finish()
	slices.SortFunc(rows, func(a, b row) int { return cmp.Compare(a.id, b.id) })
	var text []string
	for _, r := range rows {
		text = append(text, r.text)
	}
	return text
}

// TestZeek plays scripts whose answers were worked out by hand from Zeek's own rules.
func TestZeek(t *testing.T) {
	files, err := filepath.Glob("testdata/zeek/*.tcp")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		scripts, err := script.Parse(string(text))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, s := range scripts {
			// Numbers of 0 can't be told from those that Zeek takes for missing.
			for _, isn := range [][2]uint32{{1000, 2000}, {1<<31 - 50, 3 << 30}} {
				if got := zeekRows(s, isn[0], isn[1]); !slices.Equal(got, s.End) {
					t.Errorf("%s, ISNs %d and %d:\n%sgot\n%s", name, isn[0], isn[1], s, strings.Join(got, "\n"))
				}
			}
		}
	}
}

// TestZeekSize holds docs/zeek.md to what it says.
func TestZeekSize(t *testing.T) {
	if n := unsafe.Sizeof(zeekConn{}); n != 232 {
		t.Errorf("%d octets", n)
	}
}

// TestZeekLone: of a connection kept as one SYN the same is told as of one kept in full.
func TestZeekLone(t *testing.T) {
	for _, history := range []bool{false, true} {
		tr := New(Config{History: history})
		told := 0
		tr.Done = func(c *Conn) {
			told++
			switch z, ok := c.Zeek(); {
			case ok != history:
				t.Errorf("History %v: told: %v", history, ok)
			case ok && (z.State != "S0" || z.History != "S" || z.Originator != Client):
				t.Errorf("got %+v", z)
			}
		}
		for i := range 10 {
			seg := decode.Segment{Flags: decode.SYN, Src: v4Mapped(0xc0000201), Dst: v4Mapped(0xc0000202), SrcPort: uint16(1024 + i), DstPort: 80, Frame: uint64(i + 1), Wnd: 1}
			tr.Segment(&seg)
		}
		if n := tr.only().zeek.conns.Len(); n != 0 {
			t.Errorf("History %v: %d records are kept for lone SYNs", history, n)
		}
		tr.Finish()
		if told != 10 || tr.only().zeek.conns.Len() != 0 || tr.only().zeek.rares.Len() != 0 {
			t.Errorf("History %v: %d told, %d and %d records left", history, told, tr.only().zeek.conns.Len(), tr.only().zeek.rares.Len())
		}
	}
}

// TestZeekLongHistory: a history is as long as its letters make it, up to a limit.
func TestZeekLongHistory(t *testing.T) {
	tr := New(Config{History: true})
	var got string
	tr.Done = func(c *Conn) {
		z, _ := c.Zeek()
		got = z.History
	}
	seg := decode.Segment{Flags: decode.SYN, Src: v4Mapped(0xc0000201), Dst: v4Mapped(0xc0000202), SrcPort: 1024, DstPort: 80, Seq: 7, Frame: 1, Wnd: 1}
	tr.Segment(&seg)
	for i := range uint32(3000) {
		seg.Flags, seg.Seq, seg.Frame = decode.RST, 8+i, uint64(i+2)
		tr.Segment(&seg)
	}
	tr.Finish()
	if want := "S" + strings.Repeat("R", zeekLetters-1+zeekLongest); got != want {
		t.Errorf("%d letters, want %d", len(got), len(want))
	}
	if tr.only().zeek.rares.Len() != 0 {
		t.Errorf("%d records left", tr.only().zeek.rares.Len())
	}
}

// TestZeekTimers: timers of connections that are over are forgotten.
func TestZeekTimers(t *testing.T) {
	tr := New(Config{ZeekSplit: true})
	done := 0
	tr.Done = func(*Conn) { done++ }
	const n, second = 400_000, 1_000_000_000
	most := 0
	for i := range n { // 5000 SYNs a second
		seg := decode.Segment{
			Flags: decode.SYN, Src: v4Mapped(uint32(i)), Dst: v4Mapped(0xc0000202), SrcPort: 1024, DstPort: 80, Wnd: 1,
			Frame: uint64(i + 1), Time: capture.Time(1 + int64(i)*second/5000),
		}
		tr.Segment(&seg)
		most = max(most, tr.shards[0].zeek.timers.Len())
	}
	// Five seconds of SYNs are open at a time. Their last timers would be there for a
	// minute, those of 300,000.
	if most > 9*25_000 {
		t.Errorf("%d timers", most)
	}
	tr.Finish()
	if done != n {
		t.Errorf("%d of %d connections were told", done, n)
	}
}

// TestZeekHoles: holes beyond the limit end the search for gaps, and no memory is
// held for them any more.
func TestZeekHoles(t *testing.T) {
	tr := New(Config{History: true})
	a, b := v4Mapped(0xc0000201), v4Mapped(0xc0000202)
	seg := decode.Segment{Flags: decode.ACK, Src: a, Dst: b, SrcPort: 1024, DstPort: 99, Seq: 1, Ack: 1, Len: 10, Wnd: 1}
	ack := decode.Segment{Flags: decode.ACK, Src: b, Dst: a, SrcPort: 99, DstPort: 1024, Seq: 1, Ack: 11, Wnd: 1}
	for i := range uint32(zeekBlocks + 10) {
		seg.Frame, seg.Seq = uint64(2*i+1), 1+20*i
		tr.Segment(&seg)
		ack.Frame = uint64(2*i + 2)
		tr.Segment(&ack)
		z := &tr.only().zeek
		blocks := 0
		if z.rares.Len() > 0 {
			blocks = len(z.rares.At(0).blocks[0])
		}
		want := int(i)
		if i > zeekBlocks {
			want = 0
		}
		if blocks != want {
			t.Fatalf("%d blocks after segment %d, want %d", blocks, i, want)
		}
	}
	tr.Finish()
}

// TestZeekDuration: time stands still for Zeek once both ends are closed. What comes
// later counts all the same.
func TestZeekDuration(t *testing.T) {
	scripts, err := script.Parse(`
0     --> S 0:0(0)
+.01  <-- S. 0:0(0) ack 1
+.01  --> . 1:1(0) ack 1
+.01  --> F. 1:1(0) ack 1
+.01  <-- F. 1:1(0) ack 2
+3    --> . 2:2(0) ack 2
`)
	if err != nil {
		t.Fatal(err)
	}
	tr := New(Config{History: true})
	told := 0
	tr.Done = func(c *Conn) {
		told++
		if z, _ := c.Zeek(); z.Duration != 40*time.Millisecond || z.Orig.Packets != 4 || z.Orig.IPBytes != 4*40 {
			t.Errorf("%v, %+v", z.Duration, z.Orig)
		}
	}
	for _, e := range scripts[0].Events(1000, 2000) {
		if e.Segment != nil {
			tr.Segment(e.Segment)
		}
	}
	if tr.Finish(); told != 1 {
		t.Errorf("%d connections", told)
	}
}
