package anomaly_test

import (
	"encoding/binary"
	"testing"

	"tcplife/decode"
	"tcplife/decode/capture"
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
