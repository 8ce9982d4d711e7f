package decode

import (
	"encoding/binary"
	"encoding/hex"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"tcplife/decode/capture"
)

// lengthAside leaves Headers out of comparisons: TestIPLen has it.
var lengthAside = cmpopts.IgnoreFields(Segment{}, "Headers")

// unhex turns hexadecimal digits into octets. Blanks do not count, nor does what
// follows a "#" in its line.
func unhex(text string) []byte {
	var digits strings.Builder
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		digits.WriteString(strings.Join(strings.Fields(line), ""))
	}
	b, err := hex.DecodeString(digits.String())
	if err != nil {
		panic("test data: " + err.Error())
	}
	return b
}

// serialize joins layers, with gopacket's lengths and checksums. A []byte is
// taken as it is.
func serialize(ls ...gopacket.SerializableLayer) []byte {
	buf := gopacket.NewSerializeBuffer()
	var network gopacket.NetworkLayer
	for _, l := range ls {
		switch l := l.(type) {
		case gopacket.NetworkLayer:
			network = l
		case *layers.TCP:
			if err := l.SetNetworkLayerForChecksum(network); err != nil {
				panic("test data: " + err.Error())
			}
		}
	}
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buf, opts, ls...); err != nil {
		panic("test data: " + err.Error())
	}
	return buf.Bytes()
}

type octets = gopacket.Payload

var (
	client4, server4 = net.IP{192, 0, 2, 1}, net.IP{198, 51, 100, 2}
	client6, server6 = net.ParseIP("2001:db8::1"), net.ParseIP("2001:db8::2")
)

func addr(ip net.IP) Addr { return Addr(ip.To16()) }

func testIP4(proto layers.IPProtocol) *layers.IPv4 {
	return &layers.IPv4{Version: 4, TTL: 63, Id: 0x1234, Protocol: proto, SrcIP: client4, DstIP: server4}
}

func testIP6(next layers.IPProtocol) *layers.IPv6 {
	return &layers.IPv6{Version: 6, HopLimit: 63, NextHeader: next, SrcIP: client6, DstIP: server6}
}

func testTCP(opts ...layers.TCPOption) *layers.TCP {
	return &layers.TCP{SrcPort: 40000, DstPort: 443, Seq: 1000, Ack: 2000, Window: 502, PSH: true, ACK: true, Options: opts}
}

// testSegment is what testTCP is decoded to.
func testSegment(src, dst net.IP, n uint32) Segment {
	s := Segment{
		Time: 7, Frame: 1,
		Src: addr(src), Dst: addr(dst), SrcPort: 40000, DstPort: 443,
		Seq: 1000, Ack: 2000, Len: n, Wnd: 502, Flags: PSH | ACK, Checksum: ChecksumGood,
		TTL: 63,
	}
	if src.To4() != nil {
		s.IPID, s.HasIPID = 0x1234, true
	}
	return s
}

func testPacket(link uint32, b []byte) *capture.Packet {
	return &capture.Packet{Time: 7, Frame: 1, LinkType: link, Length: uint32(len(b)), Data: b}
}

var (
	timestamps = layers.TCPOption{OptionType: layers.TCPOptionKindTimestamps, OptionLength: 10, OptionData: []byte{0, 0, 0, 9, 0, 0, 0, 8}}
	nop        = layers.TCPOption{OptionType: layers.TCPOptionKindNop, OptionLength: 1}
)

func option(kind byte, v ...byte) layers.TCPOption {
	return layers.TCPOption{OptionType: layers.TCPOptionKind(kind), OptionLength: uint8(2 + len(v)), OptionData: v}
}

func ethernet(typ layers.EthernetType) *layers.Ethernet {
	return &layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, DstMAC: net.HardwareAddr{2, 0, 0, 0, 0, 2}, EthernetType: typ}
}

func be16(v int) []byte { return binary.BigEndian.AppendUint16(nil, uint16(v)) }

// encapsulations returns an IP packet in everything that may lie around it.
func encapsulations(ip []byte) []encapsulation {
	typ, version, ppp := 0x0800, "04", "0021"
	family := map[string]byte{"": 2}
	raw := uint32(linkIPv4)
	if ip[0]>>4 == 6 {
		typ, version, raw, ppp = 0x86dd, "29", linkIPv6, "0057"
		family = map[string]byte{" Linux": 10, " NetBSD": 24, " FreeBSD": 28, " Darwin": 30}
	}
	mac := unhex("020000000002 020000000001")
	join := func(parts ...[]byte) (b []byte) {
		for _, p := range parts {
			b = append(b, p...)
		}
		return b
	}
	outer := func(proto string, payload []byte) []byte {
		return join(unhex("4500"), be16(20+len(payload)), unhex("0001 0000 40"+proto+"0000 0a000001 0a000002"), payload)
	}
	eth := join(mac, be16(typ), ip)
	vxlan := func(port int, vni string) []byte {
		return outer("11", join(unhex("c000"), be16(port), be16(16+len(eth)), unhex("0000 08000000"+vni+"00"), eth))
	}
	tunnel := map[string]string{"04": "ipip", "29": "6in4"}[version]
	tunnel6 := map[string]string{"04": "4in6", "29": "6in6"}[version]
	six := join(unhex("60000000"), be16(len(ip)), unhex(version+"40"), client6, server6, ip)

	all := []encapsulation{
		{"Ethernet", linkEthernet, eth, Context{}},
		{"802.1Q", linkEthernet, join(mac, unhex("8100 2064"), be16(typ), ip), Context{VLANs: []uint16{100}}},
		{"802.1Q, priority only", linkEthernet, join(mac, unhex("8100 e000"), be16(typ), ip), Context{}},
		{"802.1ad", linkEthernet, join(mac, unhex("88a8 00c8 8100 0064"), be16(typ), ip), Context{VLANs: []uint16{200, 100}}},
		{"0x9100, three tags", linkEthernet, join(mac, unhex("9100 0001 9100 0002 8100 0003"), be16(typ), ip), Context{VLANs: []uint16{1, 2, 3}}},
		{"SNAP", linkEthernet, join(mac, be16(8+len(ip)), unhex("aaaa03 000000"), be16(typ), ip), Context{}},
		{"SNAP, bridged", linkEthernet, join(mac, be16(8+len(ip)), unhex("aaaa03 0000f8"), be16(typ), ip), Context{}},
		{"SNAP in a VLAN", linkEthernet, join(mac, unhex("8100 0064"), be16(8+len(ip)), unhex("aaaa03 000000"), be16(typ), ip), Context{VLANs: []uint16{100}}},
		{"LLC", linkEthernet, join(mac, be16(3+len(ip)), unhex("060603"), ip), Context{}},
		{"Linux cooked", linkSLL, join(unhex("0004 0001 0006 020000000001 0000"), be16(typ), ip), Context{}},
		{"Linux cooked, address length a lie", linkSLL, join(unhex("0000 0304 ffff 0000000000000000"), be16(typ), ip), Context{}},
		{"Linux cooked, 802.1Q", linkSLL, join(unhex("0000 0001 0006 020000000001 0000 8100 0064"), be16(typ), ip), Context{VLANs: []uint16{100}}},
		{"Linux cooked, 802.2", linkSLL, join(unhex("0000 0001 0006 020000000001 0000 0004 aaaa03 000000"), be16(typ), ip), Context{}},
		{"Linux cooked 2", linkSLL2, join(be16(typ), unhex("0000 00000003 0001 04 06 0200000000010000"), ip), Context{}},
		{"Linux cooked 2, 802.1Q", linkSLL2, join(unhex("8100 0000 00000003 0001 04 06 0200000000010000 0064"), be16(typ), ip), Context{VLANs: []uint16{100}}},
		{"raw", linkRaw, ip, Context{}},
		{"raw, BSD", linkRawBSD, ip, Context{}},
		{"raw, OpenBSD", linkRawOBSD, ip, Context{}},
		{"raw, one version", raw, ip, Context{}},
		{"PPPoE", linkEthernet, join(mac, unhex("8864 11 00 0001"), be16(2+len(ip)), unhex(ppp), ip), Context{}},
		{"PPPoE, its length a lie", linkEthernet, join(mac, unhex("8864 11 00 0001 0004"), unhex(ppp), ip), Context{}},
		{"PPPoE alone", linkPPPoE, join(unhex("11 00 0001"), be16(2+len(ip)), unhex(ppp), ip), Context{}},
		{"PPP", linkPPP, join(unhex(ppp), ip), Context{}},
		{"PPP, protocol compressed", linkPPP, join(unhex(ppp[2:]), ip), Context{}},
		{"PPP in HDLC", linkPPPHDLC, join(unhex("ff03"), unhex(ppp), ip), Context{}},
		{"PPP with MPLS", linkPPPHDLC, join(unhex("ff03 0281 00001140"), ip), Context{}},
		{"Cisco HDLC", linkCHDLC, join(unhex("0f00"), be16(typ), ip), Context{}},
		{"MPLS, two labels in a VLAN", linkEthernet, join(mac, unhex("8100 0064 8847 00001040 00002140"), ip), Context{VLANs: []uint16{100}}},
		{"MPLS, multicast", linkEthernet, join(mac, unhex("8848 00002140"), ip), Context{}},
		{"VXLAN", linkRaw, vxlan(4789, "000064"), Context{Tunnel: "vxlan:100"}},
		{"VXLAN on Linux's port", linkRaw, vxlan(8472, "ffffff"), Context{Tunnel: "vxlan:16777215"}},
		{"IPv4 in IPv4 in a VLAN", linkEthernet, join(mac, unhex("8100 0007 0800"), outer(version, ip)), Context{VLANs: []uint16{7}, Tunnel: tunnel}},
		{"IP in IPv6", linkRaw, six, Context{Tunnel: tunnel6}},
		{"VXLAN in IP", linkRaw, outer("04", vxlan(4789, "000001")), Context{Tunnel: "ipip/vxlan:1"}},
	}
	for os, f := range family {
		all = append(all,
			encapsulation{"NULL, little-endian" + os, linkNull, join([]byte{f, 0, 0, 0}, ip), Context{}},
			encapsulation{"NULL, big-endian" + os, linkNull, join([]byte{0, 0, 0, f}, ip), Context{}},
			encapsulation{"LOOP" + os, linkLoop, join([]byte{0, 0, 0, f}, ip), Context{}},
		)
	}
	return slices.Concat(all, linksOf(ip), tunnelsOf(ip))
}

type encapsulation struct {
	name    string
	link    uint32
	frame   []byte
	context Context
}

// A testDecoder keeps the segment that it decoded last.
type testDecoder struct {
	*Decoder
	Segment Segment
}

func newTestDecoder() *testDecoder { return &testDecoder{Decoder: NewDecoder()} }

func (d *testDecoder) Decode(p *capture.Packet) Result { return d.Decoder.Decode(p, &d.Segment) }

// decodeOne decodes a packet, and checks what holds of every decoding.
func decodeOne(t testing.TB, d *testDecoder, p *capture.Packet) Result {
	t.Helper()
	r := d.Decode(p)
	if (r.Kind == Skipped) != (r.Skip != SkipNone) || r.Kind == Skipped && r.Remark != RemarkNone {
		t.Errorf("result %+v", r)
	}
	return r
}
