package anomaly_test

import (
	"strings"
	"testing"

	"tcplife/decode"
	"tcplife/decode/capture"
	"tcplife/report/anomaly"
	"tcplife/track"
)

// FuzzRules has all rules look at connections of segments that no TCP would send in
// that order, with limits that anything reaches: they must not panic, and evidence
// must be frames that there were.
func FuzzRules(f *testing.F) {
	f.Add([]byte("\x02\x00\x00\x00\x00\x12\x01\x00\x01\x01\x10\x00\x01\x01\x00\x18\x00\x01\x01\x80"))
	f.Add([]byte(strings.Repeat("\x02\x00\x00\x00\x01\x02\x02\x00\x00\x7f", 8)))
	f.Add([]byte("\x02\x00\x00\x00\xff\x04\x41\x05\x05\xff\x00\x03\x00\x00\x01\x11\x01\x01\x02\x09"))
	var config anomaly.Config
	for _, r := range anomaly.All {
		for _, s := range r.Settings {
			value := "1"
			if s.Unit == anomaly.Span {
				value = "1ms"
			}
			if err := config.Set(r.Name + "." + s.Name + "=" + value); err != nil {
				f.Fatal(err)
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		checker := anomaly.NewChecker(anomaly.All, config)
		tr := track.New(track.Config{})
		frame := uint64(0)
		check := func(found []anomaly.Finding) {
			for i := range found {
				for _, n := range found[i].Packets {
					if n == 0 || n > frame {
						t.Fatalf("%s: frame %d of %d", found[i].Rule.Name, n, frame)
					}
				}
				if found[i].Message == "" {
					t.Fatalf("%s: no message", found[i].Rule.Name)
				}
			}
		}
		tr.Done = func(c *track.Conn) {
			found, _ := checker.Check(c, c.ID, tr.Now())
			check(found)
		}
		now := capture.Time(1e18)
		for ; len(data) >= 5; data = data[5:] {
			frame++
			// Times go back too, and far ahead.
			now += capture.Time(int8(data[4])) << min(data[1]&63, 54)
			now = min(max(now, 0), 1<<62)
			s := &decode.Segment{
				Time: now, Frame: frame, Wire: 60, Flags: decode.Flags(data[0]), Checksum: decode.ChecksumGood,
				Src: decode.Addr{15: 1}, Dst: decode.Addr{15: 2 + data[1]>>7}, SrcPort: 1000 + uint16(data[1]>>5&3), DstPort: 80,
				Seq: uint32(data[2] & 15), Ack: uint32(data[3] & 15), Len: uint32(data[2] >> 6), Wnd: uint16(data[3] >> 4), TTL: 64,
			}
			if data[2]&16 != 0 {
				s.Src, s.Dst, s.SrcPort, s.DstPort = s.Dst, s.Src, s.DstPort, s.SrcPort
			}
			if data[2]&32 != 0 {
				tr.ICMP(&decode.ICMPError{
					Time: s.Time, Frame: frame, From: s.Dst, Type: 3, Code: data[3] & 15,
					Src: s.Src, Dst: s.Dst, SrcPort: s.SrcPort, DstPort: s.DstPort, Seq: s.Seq,
				})
				continue
			}
			tr.Segment(s)
			if data[0] == 0xff {
				check(checker.Judge(tr.Now()))
			}
		}
		tr.Flush()
		tr.Each(func(c *track.Conn) { checker.Look(c, c.ID, tr.Now()) })
		tr.Finish()
		check(checker.Finish(tr.Now()))
	})
}
