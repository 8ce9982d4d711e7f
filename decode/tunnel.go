package decode

import "encoding/binary"

// tunnelled enters a tunnel, and reports whether that is not one too many.
func (d *Decoder) tunnelled(kind layerKind, value uint32) bool {
	d.tunnels++
	d.enter(kind, value)
	return d.tunnels <= maxDepth
}

// ipInIP decodes an IP packet that is carried by IP itself (RFC 2003, RFC 4213).
func (d *Decoder) ipInIP(g *datagram) Result {
	kind, version := inIPv4, byte(4)
	if g.proto == protoIPv6 {
		kind, version = inIPv6, 6
	}
	var outer uint32
	if g.v6 {
		outer = 6
	} else {
		outer = 4
	}
	if len(g.payload) == 0 {
		return short(g.length, 1)
	}
	if g.payload[0]>>4 != version {
		return skip(SkipMalformed)
	}
	if !d.tunnelled(kind, outer) {
		return skip(SkipTooDeep)
	}
	return d.ip(g.payload, g.length)
}

// Destination ports of VXLAN: IANA's, and the one that Linux had before.
const (
	portVXLAN      = 4789
	portVXLANLinux = 8472
)

// datagramUDP looks for a tunnel in a UDP datagram.
func (d *Decoder) datagramUDP(g *datagram) Result {
	const (
		udp   = 8
		vxlan = 8
	)
	b := g.payload
	if len(b) < udp+vxlan {
		return skip(SkipUDP)
	}
	switch binary.BigEndian.Uint16(b[2:]) {
	case portVXLAN, portVXLANLinux:
		if n := binary.BigEndian.Uint16(b[4:]); n != 0 && n < udp {
			return skip(SkipUDP)
		}
		if d.udp.DecodeFromBytes(b, noFeedback) != nil || d.vxlan.DecodeFromBytes(b[udp:], noFeedback) != nil {
			return skip(SkipUDP)
		}
		if !d.vxlan.ValidIDFlag {
			return skip(SkipUDP)
		}
		wire := g.length // not UDP's length: with segmentation offload it is that of one packet to come
		if !d.tunnelled(inVXLAN, d.vxlan.VNI) {
			return skip(SkipTooDeep)
		}
		return d.ethernet(b[udp+vxlan:], wire-udp-vxlan)
	}
	return skip(SkipUDP)
}
