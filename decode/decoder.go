// Package decode finds the TCP segment in a captured packet. A user learns from
// it what one end said to the other, and for what reason a packet was left out.
package decode

import (
	"math"

	"github.com/google/gopacket/layers"

	"tcplife/decode/capture"
)

// A Kind says what a packet was decoded as.
type Kind uint8

// Kinds of packets.
const (
	Skipped   Kind = iota // neither of the others; Result.Skip says why
	AsSegment             // the segment was filled in
	AsICMP                // Decoder.ICMP is valid
)

// A Result says what became of a packet.
type Result struct {
	Kind   Kind
	Skip   Skip   // 0 unless Kind is Skipped
	Remark Remark // 0 if Kind is Skipped

	Reassembled bool // the segment was put together from IP fragments
}

// A Remark is what there is to say of a packet that was used.
type Remark uint8

// Remarks on packets.
const (
	RemarkNone Remark = iota

	// IP says that the packet is longer than its frame, as brokers leave it that
	// slice packets. IP's length is the one that was sent, so the packet is cut.
	RemarkSliced

	// The packet has several segments, of which the first was used: an A-MSDU
	// (IEEE 802.11-2020, 9.3.2.2).
	RemarkAggregate
)

// A Skip is the reason why a packet was not used.
type Skip uint8

// Reasons to skip a packet. Inside a tunnel they are those of the inner packet.
const (
	SkipNone      Skip = iota
	SkipLinkType       // of a link type that is not decoded
	SkipNotIP          // carries another network protocol, such as ARP
	SkipUDP            //
	SkipICMP           // ICMP or ICMPv6 that quotes no TCP segment
	SkipProtocol       // IP of another protocol
	SkipESP            // encrypted by IPsec (RFC 4303)
	SkipMACsec         // encrypted, or may be, by IEEE 802.1AE
	SkipWLAN           // encrypted by IEEE 802.11
	SkipFragment       // part of a datagram that is not complete with it
	SkipCutShort       // the capture ends before the TCP flags
	SkipMalformed      // its headers contradict each other, or its fragments do
	SkipTooDeep        // in more tunnels and VLANs than are followed
	NumSkips
)

var skipNames = [NumSkips]string{
	"", "link-type", "not-ip", "udp", "icmp", "other-protocol", "esp", "macsec", "wlan-encrypted",
	"fragment", "cut-short", "malformed", "nested-too-deep",
}

// String returns the name under which packets so skipped are counted.
func (s Skip) String() string { return skipNames[s] }

// Skips returns all reasons, in the order of their values.
func Skips() []Skip {
	all := make([]Skip, 0, NumSkips-1)
	for s := SkipNone + 1; s < NumSkips; s++ {
		all = append(all, s)
	}
	return all
}

func skip(s Skip) Result { return Result{Skip: s} }

// maxDepth is how many tunnels and VLAN tags, taken together, a packet may lie in.
// No network in use has more than three of either.
const maxDepth = 8

// A Decoder decodes the packets of one observation. It keeps fragments until
// their datagram is complete, so packets must come in capture order.
type Decoder struct {
	ICMP ICMPError // valid after Decode returned AsICMP, until it is called again

	// Incomplete, if set, is called for each datagram of TCP that is given up
	// because fragments of it are missing, with the frame of the first captured.
	Incomplete func(frame uint64)

	// Fragmented, if set, is called for each segment and ICMP error that was put
	// together from fragments, or lay in a tunnel that was, before Decode returns
	// it: with the frames that this took, in the order of capture. They are valid
	// until it returns.
	Fragmented func(frames []uint64)

	pkt *capture.Packet // being decoded
	seg *Segment        // to fill in

	context  uint32   // of pkt, as far as it was entered
	depth    int      // of the tunnels and tags that were entered
	wire     uint32   // octets of pkt's frame, or of those of all its fragments
	frames   []uint64 // of all fragments, pkt's the last; nil if there are none, or nobody wants to know
	cut      bool     // fragments were cut, or their contents
	headOnly bool     // a datagram was put together, of which the beginning is kept
	remark   Remark

	contexts contexts
	frags    fragments                   // of TCP
	outer    fragments                   // of what may be tunnels, which so push out none of TCP
	heads    [maxDepth + 1][maxHead]byte // of the datagrams put together around pkt, by depth

	eth   layers.Ethernet
	dot1q layers.Dot1Q
	llc   layers.LLC
	snap  layers.SNAP
	loop  layers.Loopback
	ip4   layers.IPv4
	vxlan layers.VXLAN
	tcp   layers.TCP
}

// NewDecoder returns a Decoder.
func NewDecoder() *Decoder { return &Decoder{} }

// Decode decodes p into seg, which it leaves undefined unless the result is
// AsSegment. It uses p only until it returns. Bad input is data: whatever p holds,
// there is a result.
func (d *Decoder) Decode(p *capture.Packet, seg *Segment) Result {
	wire := int(min(max(p.Length, uint32(len(p.Data))), math.MaxInt32))
	d.context, d.depth = 0, 0
	if d.fast(p, wire, seg) {
		return Result{Kind: AsSegment}
	}
	return d.decode(p, wire, seg)
}

// decode decodes what fast does not.
func (d *Decoder) decode(p *capture.Packet, wire int, seg *Segment) Result {
	d.pkt, d.seg = p, seg
	d.context, d.depth, d.wire = 0, 0, p.Length
	d.cut, d.headOnly, d.remark, d.frames = false, false, RemarkNone, nil
	r := d.link(p.LinkType, p.Data, wire)
	if r.Kind != Skipped {
		r.Remark, r.Reassembled = d.remark, r.Kind == AsSegment && d.headOnly
		if d.frames != nil {
			d.Fragmented(d.frames)
		}
	}
	return r
}

// Finish gives up the datagrams that are not complete: there are no more packets.
func (d *Decoder) Finish() {
	for i := range d.frags.slots {
		d.frags.slots[i].giveUp(d.Incomplete)
	}
}

// short is the result for a header of n octets of which the capture holds less.
func short(wire, n int) Result {
	if wire < n {
		return skip(SkipMalformed)
	}
	return skip(SkipCutShort)
}
