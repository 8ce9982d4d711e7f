package anomaly_test

import (
	"encoding/binary"
	"testing"

	"tcplife/decode"
	"tcplife/decode/capture"
	"tcplife/internal/script"
	"tcplife/report/anomaly"
	"tcplife/track"
)

// BenchmarkFlood is what all rules cost for each SYN of a flood from forged
// sources, at its end: a look, and a check.
func BenchmarkFlood(b *testing.B) {
	checker := anomaly.NewChecker(anomaly.All, anomaly.Config{})
	tr := track.New(track.Config{})
	var conns uint64
	tr.Done = func(c *track.Conn) { checker.Check(c, c.ID, tr.Now()); conns++ }
	n := uint32(b.N)
	for i := range n {
		tr.Segment(syn(i))
	}
	b.ReportAllocs()
	b.ResetTimer()
	tr.Each(func(c *track.Conn) { checker.Look(c, c.ID, tr.Now()) })
	tr.Finish()
	checker.Finish(tr.Now())
	if conns != uint64(n) {
		b.Errorf("%d connections of %d SYNs", conns, n)
	}
}

func syn(i uint32) *decode.Segment {
	s := &decode.Segment{
		Time: capture.Time(i) * 1000, Frame: uint64(i + 1), Wire: 54, Flags: decode.SYN, Checksum: decode.ChecksumGood,
		Src: decode.Addr{10: 0xff, 11: 0xff}, Dst: decode.Addr{10: 0xff, 11: 0xff, 12: 198, 13: 51, 14: 100, 15: 2},
		SrcPort: uint16(i), DstPort: 80, Seq: i * 2654435761, Wnd: 512, TTL: 50,
	}
	binary.BigEndian.PutUint32(s.Src[12:], i*2246822519+1)
	return s
}

// BenchmarkOrderly is what all rules cost for a connection that is opened, used and
// closed as it should be.
func BenchmarkOrderly(b *testing.B) {
	scripts, err := script.Parse("0 --> S 0:0(0)\n+.010 <-- S. 0:0(0) ack 1\n+.000 --> . 1:1(0) ack 1\n" +
		"+.1 --> P. 1:101(100) ack 1\n+.010 <-- P. 1:201(200) ack 101\n+.010 --> F. 101:101(0) ack 201\n" +
		"+.010 <-- F. 201:201(0) ack 102\n+.000 --> . 102:102(0) ack 202\n")
	if err != nil {
		b.Fatal(err)
	}
	checker := anomaly.NewChecker(anomaly.All, anomaly.Config{})
	tr := track.New(track.Config{})
	tr.Done = func(c *track.Conn) {
		b.ReportAllocs()
		for b.Loop() {
			if found, _ := checker.Check(c, c.ID, tr.Now()); len(found) > 0 {
				b.Fatal(found)
			}
		}
	}
	for _, e := range scripts[0].Events(1, 2) {
		tr.Segment(e.Segment)
	}
	tr.Finish()
}
