package decode

import "encoding/binary"

// UDP ports of tunnels. Where a comment does not say otherwise, it is the
// destination's: the source's spreads flows over paths.
const (
	portGTP        = 2152
	portTeredo     = 3544 // of a server, which answers from it
	portGRE        = 4754 // RFC 8086
	portVXLAN      = 4789
	portVXLANGPE   = 4790
	portCAPWAP     = 5247 // of a controller, which answers from it
	portGeneve     = 6081
	portVXLANLinux = 8472 // Linux's before IANA had one
)

// datagramUDP looks for a tunnel in a UDP datagram. Any program may use the ports
// of tunnels, and clients get them by chance: what does not begin as the tunnel
// does is UDP.
//
// UDP's length is hardly looked at. With segmentation offload it is that of one
// packet to come, where IP's is that of all.
func (d *Decoder) datagramUDP(g *datagram) Result {
	const header = 8
	b := g.payload
	if len(b) < header {
		return skip(SkipUDP)
	}
	if n := binary.BigEndian.Uint16(b[4:]); n != 0 && n < header {
		return skip(SkipUDP)
	}
	src, dst := binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	b, wire := b[header:], g.length-header
	switch dst {
	case portGTP:
		return d.gtp(b, wire)
	case portTeredo:
		return d.teredo(b, wire)
	case portGRE:
		return d.greUDP(b, wire)
	case portVXLAN, portVXLANLinux:
		return d.vxlanUDP(b, wire)
	case portVXLANGPE:
		return d.vxlanGPE(b, wire)
	case portCAPWAP:
		return d.capwap(b, wire)
	case portGeneve:
		return d.geneve(b, wire)
	}
	switch src {
	case portTeredo:
		return d.teredo(b, wire)
	case portCAPWAP:
		return d.capwap(b, wire)
	}
	return skip(SkipUDP)
}

// mayTunnel reports whether datagramUDP would look into a datagram that begins
// with b.
func mayTunnel(b []byte) bool {
	if len(b) < 4 {
		return true
	}
	switch binary.BigEndian.Uint16(b[2:]) {
	case portGTP, portTeredo, portGRE, portVXLAN, portVXLANGPE, portCAPWAP, portGeneve, portVXLANLinux:
		return true
	}
	src := binary.BigEndian.Uint16(b)
	return src == portTeredo || src == portCAPWAP
}

// vxlanUDP decodes VXLAN (RFC 7348 §5), also with a group policy. Where nobody has
// found a use for reserved octets, they must be 0, as in Linux: a client of DNS
// may have the port, too.
func (d *Decoder) vxlanUDP(b []byte, wire int) Result {
	const header = 8
	if len(b) < header || d.vxlan.DecodeFromBytes(b, noFeedback) != nil {
		return skip(SkipUDP)
	}
	if !d.vxlan.ValidIDFlag || b[7] != 0 || !d.vxlan.GBPExtension && d.vxlan.GBPGroupPolicyID != 0 {
		return skip(SkipUDP)
	}
	if !d.tunnelled(inVXLAN, d.vxlan.VNI) {
		return skip(SkipTooDeep)
	}
	return d.ethernet(b[header:], wire-header)
}

// vxlanGPE decodes VXLAN's Generic Protocol Extension (draft-ietf-nvo3-vxlan-gpe §3).
func (d *Decoder) vxlanGPE(b []byte, wire int) Result {
	const (
		header   = 8
		version  = 0x30 // of these bits
		instance = 0x08 // the network identifier is valid
		next     = 0x04 // the next protocol is
	)
	if len(b) < header || b[0]&(version|instance|next) != instance|next || b[7] != 0 {
		return skip(SkipUDP)
	}
	if !d.tunnelled(inVXLANGPE, binary.BigEndian.Uint32(b[4:])>>8) {
		return skip(SkipTooDeep)
	}
	proto := b[3]
	b, wire = b[header:], wire-header
	switch proto {
	case 1, 2:
		return d.ip(b, wire)
	case 3:
		return d.ethernet(b, wire)
	case 5:
		return d.mpls(b, wire)
	}
	return skip(SkipNotIP)
}

// geneve decodes Geneve (RFC 8926 §3), of which it needs no option.
func (d *Decoder) geneve(b []byte, wire int) Result {
	const least = 8
	if len(b) < least || b[0]>>6 != 0 || b[1]&0x3f != 0 || b[7] != 0 {
		return skip(SkipUDP)
	}
	typ, vni := binary.BigEndian.Uint16(b[2:]), binary.BigEndian.Uint32(b[4:])>>8
	header := least + int(b[0]&0x3f)*4
	if typ != etherBridged && typ != etherIPv4 && typ != etherIPv6 && typ != etherMPLS || header > wire {
		return skip(SkipUDP)
	}
	if !d.tunnelled(inGeneve, vni) {
		return skip(SkipTooDeep)
	}
	return d.carried(typ, b[min(header, len(b)):], wire-header)
}

// gtp decodes the user plane of GTP, version 1 (3GPP TS 29.281 §5).
func (d *Decoder) gtp(b []byte, wire int) Result {
	const (
		least     = 8
		optional  = 4    // all there if one of the three flags is set
		flags     = 0x07 // these
		extension = 0x04 // this one
		user      = 255
	)
	if len(b) < least || b[0]&0xf0 != 0x30 || b[1] != user || least+int(binary.BigEndian.Uint16(b[2:])) > wire {
		return skip(SkipUDP)
	}
	header := least
	if b[0]&flags != 0 {
		header += optional
		if len(b) < header {
			return skip(SkipUDP)
		}
		for b[0]&extension != 0 && b[header-1] != 0 { // the type of the next extension header
			if len(b) == header {
				return skip(SkipUDP)
			}
			n := int(b[header]) * 4
			if n == 0 || len(b) < header+n {
				return skip(SkipUDP)
			}
			header += n
		}
	}
	if !likeIP(b[header:], wire-header) {
		return skip(SkipUDP)
	}
	if !d.tunnelled(inGTP, 0) {
		return skip(SkipTooDeep)
	}
	return d.ip(b[header:], wire-header)
}

// teredo decodes IPv6 behind what Teredo puts before it (RFC 4380 §5.1.1).
func (d *Decoder) teredo(b []byte, wire int) Result {
	const (
		origin         = 0
		authentication = 1
	)
	if len(b) >= 4 && binary.BigEndian.Uint16(b) == authentication {
		n := 4 + int(b[2]) + int(b[3]) + 8 + 1 // identifier, value, nonce, confirmation
		if len(b) < n {
			return skip(SkipUDP)
		}
		b, wire = b[n:], wire-n
	}
	if len(b) >= 8 && binary.BigEndian.Uint16(b) == origin {
		b, wire = b[8:], wire-8
	}
	if len(b) == 0 || b[0]>>4 != 6 || !likeIP(b, wire) {
		return skip(SkipUDP)
	}
	if !d.tunnelled(inTeredo, 0) {
		return skip(SkipTooDeep)
	}
	return d.ip(b, wire)
}

// greUDP decodes GRE in UDP (RFC 8086 §3), which is GRE's version 0.
func (d *Decoder) greUDP(b []byte, wire int) Result {
	if len(b) < 4 || b[0]&^(greSum|greKey|greSeq) != 0 || b[1] != 0 {
		return skip(SkipUDP)
	}
	switch binary.BigEndian.Uint16(b[2:]) {
	case etherIPv4, etherIPv6, etherBridged, etherMPLS:
		return d.gre(b, wire)
	}
	return skip(SkipUDP)
}

// capwap decodes data between access points and their controller, if it is not
// encrypted (RFC 5415 §4.3).
func (d *Decoder) capwap(b []byte, wire int) Result {
	const least = 8
	if len(b) < least || b[0] != 0 { // version 0, no DTLS
		return skip(SkipUDP)
	}
	w := binary.BigEndian.Uint32(b)
	header, binding := int(w>>19&0x1f)*4, w>>9&0x1f
	native, fragment, keepalive := w&(1<<8) != 0, w&(1<<7) != 0, w&(1<<3) != 0
	if header < least || header > wire || keepalive || native && binding != 1 || w&7 != 0 {
		return skip(SkipUDP)
	}
	if fragment && binary.BigEndian.Uint16(b[6:])>>3 != 0 {
		return skip(SkipFragment)
	}
	if !d.tunnelled(inCAPWAP, 0) {
		return skip(SkipTooDeep)
	}
	b, wire = b[min(header, len(b)):], wire-header
	if !native {
		return d.ethernet(b, wire)
	}
	return d.wlan(b, wire, wlanSwapped)
}
