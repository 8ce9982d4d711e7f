package anomaly

import (
	"fmt"

	"tcplife/decode"
)

// BadChecksum tells of segments with a wrong checksum.
var BadChecksum = &Rule{
	Name:     "bad-checksum",
	Severity: Note,
	Ref:      "RFC 9293 §3.1",
	Doc: `wrong TCP checksums

TCP checksums are wrong. If those of an end are all wrong, something changed its
segments behind the capture, or finishes them (a network card, a NAT, a packet
editor), and they count. One wrong checksum among right ones is damage on the way, or
a segment that somebody forged so that only the capture sees it: it does not count,
and neither does a RST with a wrong one. What a network card is left to finish is told
apart by the sum of the pseudo-header, and is no flaw.`,
	Flaw: func(f *Flaws, packets, connections uint64) string {
		bad, verified := f.Checksums[decode.ChecksumBad], f.Checksums[decode.ChecksumBad]+f.Checksums[decode.ChecksumGood]
		if bad == 0 {
			return ""
		}
		wrong := of(bad, verified, "checksum") + " wrong"
		if bad == verified {
			wrong = fmt.Sprintf("all %s wrong, as if made or changed behind the capture", Counted(bad, "checksum"))
		}
		sep := ": "
		if f.BadLeftOut > 0 {
			wrong += sep + Counted(f.BadLeftOut, "segment") + " left out"
			sep = ", "
		}
		if counted := bad - min(bad, f.BadLeftOut); counted > 0 {
			wrong += sep + Counted(counted, "segment") + " counted, of senders without a right one before"
		}
		return wrong
	},
}
