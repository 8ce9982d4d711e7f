package decode

import (
	"encoding/binary"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// Link types, by tcpdump.org/linktypes.html.
const (
	linkNull      = 0
	linkEthernet  = 1
	linkPPP       = 9
	linkFDDI      = 10
	linkRawBSD    = 12 // DLT_RAW of most systems, written by programs that do not map it
	linkRawOBSD   = 14 // DLT_RAW of OpenBSD
	linkPPPHDLC   = 50
	linkPPPoE     = 51
	linkRaw       = 101
	linkCHDLC     = 104
	linkWLAN      = 105
	linkRelay     = 107
	linkLoop      = 108
	linkSLL       = 113
	linkPrism     = 119
	linkRadiotap  = 127
	linkAVS       = 163
	linkPPPDir    = 166 // the direction in place of HDLC's address
	linkPPI       = 192
	linkPPPWith   = 204 // behind an octet for the direction, like the next two
	linkCHDLCWith = 205
	linkRelayWith = 206
	linkMPLS      = 219
	linkIPv4      = 228
	linkIPv6      = 229
	linkNFLOG     = 239
	linkPKTAP     = 258
	linkSLL2      = 276
)

// Ethertypes.
const (
	etherIPv4   = 0x0800
	etherIPv6   = 0x86dd
	etherVLAN   = 0x8100 // IEEE 802.1Q
	etherQinQ   = 0x88a8 // IEEE 802.1ad
	etherQinQ1  = 0x9100 // before 802.1ad
	etherQinQ2  = 0x9200 // likewise
	etherPPPoE  = 0x8864 // of a session
	etherMPLS   = 0x8847
	etherMPLSm  = 0x8848 // multicast
	etherPBB    = 0x88e7 // IEEE 802.1ah
	etherMACsec = 0x88e5

	etherBridged = 0x6558 // an Ethernet frame, in tunnels

	etherLLC = 0 // gopacket's, for a length in place of a type

	// sllLLC is Linux's protocol number of 802.2 frames (ETH_P_802_2).
	sllLLC = 0x0004
)

// noFeedback is told of truncation, which is found by the IP header instead.
var noFeedback = gopacket.NilDecodeFeedback

// link decodes a frame, of which b was captured and wire octets were sent.
func (d *Decoder) link(typ uint32, b []byte, wire int) Result {
	switch typ {
	case linkEthernet:
		return d.ethernet(b, wire)
	case linkSLL:
		// Not layers.LinuxSLL: it slices by the length of the address, unchecked.
		return d.cooked(b, wire, 16, 14, 2)
	case linkSLL2:
		return d.cooked(b, wire, 20, 0, 8)
	case linkRaw, linkRawBSD, linkRawOBSD, linkIPv4, linkIPv6:
		return d.ip(b, wire)
	case linkNull, linkLoop:
		return d.loopback(b, wire)
	case linkPPP, linkPPPHDLC:
		return d.ppp(b, wire)
	case linkPPPoE:
		return d.pppoe(b, wire)
	case linkPPPDir:
		if len(b) >= 2 && b[0] <= 1 && b[1] == 0x03 {
			b, wire = b[2:], wire-2
		}
		return d.ppp(b, wire)
	case linkCHDLC:
		return d.ciscoHDLC(b, wire)
	case linkRelay:
		return d.relay(b, wire)
	case linkPPPWith, linkCHDLCWith, linkRelayWith:
		return d.directed(typ, b, wire)
	case linkFDDI:
		return d.fddi(b, wire)
	case linkMPLS:
		return d.mpls(b, wire)
	case linkWLAN:
		return d.wlan(b, wire, 0)
	case linkRadiotap:
		return d.radiotap(b, wire)
	case linkPrism:
		return d.prism(b, wire)
	case linkAVS:
		return d.avs(b, wire)
	case linkPPI:
		return d.ppi(b, wire)
	case linkPKTAP:
		return d.pktap(b, wire)
	case linkNFLOG:
		return d.nflog(b, wire)
	}
	return skip(SkipLinkType)
}

func (d *Decoder) ethernet(b []byte, wire int) Result {
	const header = 14
	if len(b) < header {
		return short(wire, header)
	}
	if d.eth.DecodeFromBytes(b, noFeedback) != nil {
		return skip(SkipMalformed)
	}
	return d.ethertype(uint16(d.eth.EthernetType), b[header:], wire-header)
}

// cooked decodes Linux's pseudo link layers, with a header of n octets that has
// the ethertype at octet at, and at octet hw what kind of interface it was.
func (d *Decoder) cooked(b []byte, wire, n, at, hw int) Result {
	const ( // ARPHRD_ values
		frameRelay = 770
		wlan       = 801
		radiotap   = 803
		netlink    = 824
	)
	if len(b) < n {
		return short(wire, n)
	}
	typ := binary.BigEndian.Uint16(b[at:])
	switch binary.BigEndian.Uint16(b[hw:]) {
	case netlink: // where the type is a family
		return skip(SkipNotIP)
	case frameRelay:
		return d.relay(b[n:], wire-n)
	case wlan:
		return d.wlan(b[n:], wire-n, 0)
	case radiotap:
		return d.radiotap(b[n:], wire-n)
	}
	if typ == sllLLC {
		typ = etherLLC
	} else if typ < 0x0600 {
		return skip(SkipNotIP)
	}
	return d.ethertype(typ, b[n:], wire-n)
}

// loopback decodes BSD's loopback header: an address family in the byte order of
// the host that captured (NULL) or in network byte order (LOOP).
func (d *Decoder) loopback(b []byte, wire int) Result {
	const header = 4
	if len(b) < header {
		return short(wire, header)
	}
	if d.loop.DecodeFromBytes(b, noFeedback) != nil {
		return skip(SkipNotIP)
	}
	switch d.loop.Family {
	case layers.ProtocolFamilyIPv4,
		layers.ProtocolFamilyIPv6BSD, layers.ProtocolFamilyIPv6FreeBSD, layers.ProtocolFamilyIPv6Darwin,
		layers.ProtocolFamilyIPv6Linux:
		return d.ip(b[header:], wire-header)
	}
	return skip(SkipNotIP)
}

// directed decodes a link type with an octet before it that tells the direction.
func (d *Decoder) directed(typ uint32, b []byte, wire int) Result {
	if len(b) == 0 {
		return short(wire, 1)
	}
	b, wire = b[1:], wire-1
	switch typ {
	case linkPPPWith:
		return d.ppp(b, wire)
	case linkCHDLCWith:
		return d.ciscoHDLC(b, wire)
	}
	return d.relay(b, wire)
}

// fddi decodes a frame of FDDI. In what order the bits of its addresses were
// captured does not matter.
func (d *Decoder) fddi(b []byte, wire int) Result {
	const header = 13 // frame control and two addresses
	if len(b) < header {
		return short(wire, header)
	}
	if b[0]&0x70 != 0x50 { // not LLC
		return skip(SkipNotIP)
	}
	return d.llcSNAP(b[header:], wire-header)
}

// ethertype decodes what an Ethernet header, or another with its types, announces.
func (d *Decoder) ethertype(typ uint16, b []byte, wire int) Result {
	for {
		switch typ {
		case etherIPv4, etherIPv6:
			return d.ip(b, wire)
		case etherVLAN, etherQinQ, etherQinQ1, etherQinQ2:
			const tag = 4
			if len(b) < tag {
				return short(wire, tag)
			}
			if d.dot1q.DecodeFromBytes(b, noFeedback) != nil {
				return skip(SkipMalformed)
			}
			if !d.nested() {
				return skip(SkipTooDeep)
			}
			if id := d.dot1q.VLANIdentifier; id != 0 { // 0: a priority, and no VLAN
				d.enter(inVLAN, uint32(id))
			}
			typ, b, wire = uint16(d.dot1q.Type), b[tag:], wire-tag
			if typ < 0x0600 {
				typ = etherLLC
			}
		case etherLLC:
			return d.llcSNAP(b, wire)
		case etherPPPoE:
			return d.pppoe(b, wire)
		case etherMPLS, etherMPLSm:
			return d.mpls(b, wire)
		case etherPBB:
			return d.backbone(b, wire)
		case etherMACsec:
			return skip(SkipMACsec)
		default:
			return skip(SkipNotIP)
		}
	}
}

// backbone decodes the tag of a service instance and the frame in it
// (IEEE 802.1Q, 9.7).
func (d *Decoder) backbone(b []byte, wire int) Result {
	const tag = 4
	if len(b) < tag {
		return short(wire, tag)
	}
	if !d.tunnelled(inPBB, binary.BigEndian.Uint32(b)&0xffffff) {
		return skip(SkipTooDeep)
	}
	return d.ethernet(b[tag:], wire-tag)
}

// llcSNAP decodes an IEEE 802.2 header.
func (d *Decoder) llcSNAP(b []byte, wire int) Result {
	const (
		llc  = 3 // of an unnumbered frame
		sap  = 0xaa
		ipv4 = 0x06 // RFC 948
	)
	if len(b) < llc+1 {
		return short(wire, llc+1)
	}
	if d.llc.DecodeFromBytes(b, noFeedback) != nil {
		return skip(SkipMalformed)
	}
	const unnumbered = 0x03
	switch {
	case d.llc.Control != unnumbered:
		return skip(SkipNotIP)
	case d.llc.DSAP == ipv4 && d.llc.SSAP == ipv4:
		return d.ip(b[llc:], wire-llc)
	case d.llc.DSAP != sap || d.llc.SSAP != sap:
		return skip(SkipNotIP)
	}
	return d.subnetwork(b[llc:], wire-llc)
}

// subnetwork decodes a SNAP header (RFC 1042), or RFC 2427's for bridged frames.
func (d *Decoder) subnetwork(b []byte, wire int) Result {
	const snap = 5
	if len(b) < snap {
		return short(wire, snap)
	}
	if d.snap.DecodeFromBytes(b, noFeedback) != nil {
		return skip(SkipMalformed)
	}
	typ := uint16(d.snap.Type)
	b, wire = b[snap:], wire-snap
	switch o := d.snap.OrganizationalCode; {
	case o[0] == 0 && o[1] == 0 && (o[2] == 0 || o[2] == 0xf8):
		if typ < 0x0600 {
			return skip(SkipNotIP)
		}
		return d.ethertype(typ, b, wire)
	case o[0] == 0 && o[1] == 0x80 && o[2] == 0xc2 && (typ == 1 || typ == 7): // with its checksum, and without
		if !d.nested() {
			return skip(SkipTooDeep)
		}
		return d.ethernet(b, wire)
	}
	return skip(SkipNotIP) // types of another organization
}
