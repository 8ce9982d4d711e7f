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

// A sighting is a frame: its digest, by which equal ones are told.
type sighting struct {
	digest uint64
	time   capture.Time
}

func (m *mirror) seen(seg *decode.Segment, seed *[2]uint64) bool {
	d := digest(seg, seed)
	s := &m.slots[place(seg)%uint64(len(m.slots))]
	if s.digest == d {
		if t := seg.Time.Sub(s.time); -mirrorWindow <= t && t <= mirrorWindow {
			return true
		}
	}
	*s = sighting{d, seg.Time}
	return false
}

// place tells where a frame is remembered. It is the same in every run, so that
// the same frames are displaced.
func place(s *decode.Segment) uint64 {
	h := pair(s.Seq, s.Ack) ^ uint64(s.SrcPort)<<48 ^ uint64(s.DstPort)<<32 ^ uint64(s.IPID)<<16 ^ uint64(s.Flags)
	h ^= uint64(s.Src[15])<<8 | uint64(s.Dst[15])
	return h * 0x9e3779b97f4a7c15 >> 32
}

// digest mixes with a seed all that is equal in the copies of a frame. It is never
// 0.
func digest(s *decode.Segment, seed *[2]uint64) uint64 {
	bad := uint64(0)
	if s.Checksum == decode.ChecksumBad {
		bad = 1
	}
	h := mix(be64(s.Src[:8])^seed[0], be64(s.Src[8:])^seed[1])
	h = mix(h^be64(s.Dst[:8]), be64(s.Dst[8:])^seed[0])
	h = mix(h^pair(s.Seq, s.Ack), pair(s.TSVal, s.TSEcr)^seed[1])
	h = mix(h^pair(s.Len, s.SACKEdge), pair(s.Context, uint32(s.Wnd)<<16|uint32(s.IPID))^seed[0])
	return mix(h^uint64(s.SrcPort)<<48^uint64(s.DstPort)<<32^uint64(s.Flags)<<16^uint64(s.Opts)<<8^bad, seed[1]) | 1
}

func pair(a, b uint32) uint64 { return uint64(a)<<32 | uint64(b) }
