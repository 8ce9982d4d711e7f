package track

import (
	"time"

	"tcplife/decode"
	"tcplife/decode/capture"
)

// mirrorWindow is how soon after a frame its mirror duplicate is captured. Ports
// and devices that copy a frame do so within microseconds, slow ones within a few
// milliseconds; a retransmission takes a round trip and, where clocks are coarse,
// carries another IP ID or timestamp.
const mirrorWindow = 5 * time.Millisecond

// A mirror tells mirror duplicates: frames equal from the IP header on, TTL and
// checksums aside. It remembers the latest frames in a table of fixed size; a
// frame that another one has displaced is not told.
type mirror struct {
	slots [1024]sighting
}

type sighting struct {
	used bool
	time capture.Time
	id   sight
}

// A sight is what must be equal.
type sight struct {
	src, dst                  decode.Addr
	sp, dp                    uint16
	context, seq, ack, length uint32
	tsVal, tsEcr, sack        uint32
	wnd, ipID                 uint16
	flags                     decode.Flags
	opts                      decode.Opts
	bad                       bool
}

func (m *mirror) seen(seg *decode.Segment) bool {
	id := sight{
		src: seg.Src, dst: seg.Dst, sp: seg.SrcPort, dp: seg.DstPort, context: seg.Context,
		seq: seg.Seq, ack: seg.Ack, length: seg.Len, tsVal: seg.TSVal, tsEcr: seg.TSEcr, sack: seg.SACKEdge,
		wnd: seg.Wnd, ipID: seg.IPID, flags: seg.Flags, opts: seg.Opts, bad: seg.Checksum == decode.ChecksumBad,
	}
	h := uint64(seg.Seq)<<32 | uint64(seg.Ack)
	h ^= uint64(seg.SrcPort)<<48 | uint64(seg.DstPort)<<32 | uint64(seg.IPID)<<16 | uint64(seg.Flags)
	h ^= uint64(seg.Src[15])<<8 | uint64(seg.Dst[15])
	h *= 0x9e3779b97f4a7c15
	s := &m.slots[h>>(64-10)]
	if s.used && s.id == id {
		if d := seg.Time.Sub(s.time); -mirrorWindow <= d && d <= mirrorWindow {
			return true
		}
	}
	*s = sighting{true, seg.Time, id}
	return false
}
