package decode

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tcplife/decode/capture"
)

// outerIP returns an IPv4 packet of a tunnel.
func outerIP(proto byte, payload ...[]byte) []byte {
	b := slices.Concat(payload...)
	return slices.Concat(unhex("4500"), be16(20+len(b)), unhex("0001 0000 40"), []byte{proto}, unhex("0000 0a000001 0a000002"), b)
}

// outerUDP returns an IPv4 packet of a tunnel in UDP.
func outerUDP(src, dst int, payload ...[]byte) []byte {
	b := slices.Concat(payload...)
	return outerIP(protoUDP, be16(src), be16(dst), be16(8+len(b)), be16(0), b)
}

const (
	macs     = "020000000002 020000000001 "
	dataWLAN = "08 01 0000" + // frame control: data, to the distribution system; duration
		"020000000003 020000000001 020000000002 3012 " // base station, source, destination, fragment 0 of frame 0x123
	snapHeader = "aaaa03 000000 "
)

// linksOf returns an IP packet in the link types that are not Ethernet's kin.
func linksOf(ip []byte) []encapsulation {
	typ, family, nlpid := be16(0x0800), "02", "cc"
	if ip[0]>>4 == 6 {
		typ, family, nlpid = be16(0x86dd), "0a", "8e"
	}
	ppp := map[string]string{"02": "0021", "0a": "0057"}[family]
	body := slices.Concat(unhex(snapHeader), typ, ip)
	eth := slices.Concat(unhex(macs), typ, ip)
	data := slices.Concat(unhex(dataWLAN), body)
	payload := func(order binary.AppendByteOrder) []byte { // NFLOG's attribute
		b := order.AppendUint16(order.AppendUint16(nil, uint16(4+len(ip))), 9)
		return slices.Concat(b, ip)
	}
	var all []encapsulation
	add := func(name string, link uint32, header string, rest ...[]byte) {
		all = append(all, encapsulation{name, link, append(unhex(header), slices.Concat(rest...)...), Context{}})
	}
	add("802.11", linkWLAN, "", data)
	add("802.11, retried, from the distribution system", linkWLAN, "08 0a 0000 020000000001 020000000003 020000000002 3012", body)
	add("802.11, four addresses", linkWLAN, "08 03 0000 020000000003 020000000001 020000000002 3012 020000000004", body)
	add("802.11, QoS", linkWLAN, "88 01 0000 020000000003 020000000001 020000000002 3012 0500", body)
	add("802.11, QoS, four addresses, HT control", linkWLAN, "88 83 0000 020000000003 020000000001 020000000002 3012 020000000004 0500 01020304", body)
	add("802.11, first fragment", linkWLAN, "08 05 0000 020000000003 020000000001 020000000002 3012", body)
	add("802.11, A-MSDU of one", linkWLAN, "88 01 0000 020000000003 020000000001 020000000002 3012 8000 "+macs, be16(len(body)), body)
	add("802.11 in a VLAN", linkWLAN, dataWLAN+snapHeader+"8100 0064", typ, ip)
	all[len(all)-1].context.VLANs = []uint16{100}
	add("radiotap, nothing present", linkRadiotap, "00 00 0800 00000000", data)
	add("radiotap, flags", linkRadiotap, "00 00 0a00 02000000 00 00", data) // and 1 octet to fill
	add("radiotap, time, flags, four words", linkRadiotap, `
		00 00 2800 # version 0, 40 octets
		03000080 00000080 00000080 00000000 # time and flags, and three more words
		00000000 # to align
		1122334455667788 # time
		00 # flags
		00000000000000 # what is not looked at`, data)
	add("radiotap, padded header", linkRadiotap, "00 00 0900 02000000 20 88 01 0000 020000000003 020000000001 020000000002 3012 0500 0000", body)
	add("Prism", linkPrism, "44000000 90000000", make([]byte, 136), data)
	add("Prism's link type, AVS", linkPrism, "80211001 00000040", make([]byte, 56), data)
	add("AVS", linkAVS, "80211001 00000040", make([]byte, 56), data)
	add("PPI, 802.11", linkPPI, "00 00 0c00 69000000 01020000", data) // one field, empty
	add("PPI, Ethernet", linkPPI, "00 00 0800 01000000", eth)
	add("PKTAP", linkPKTAP, "10000000 01000000 01000000 00000000", eth)
	add("Linux cooked, radiotap", linkSLL, "0000 0323 0006 0200000000010000 0004 00 00 0800 00000000", data)
	add("Linux cooked, 802.11", linkSLL, "0000 0321 0006 0200000000010000 0004", data)
	add("Linux cooked 2, Frame Relay", linkSLL2, "0000 0000 00000003 0302 00 00 0000000000000000 1841 03"+nlpid, ip)
	add("Linux cooked, GRE", linkSLL, "0000 030a 0004 0a00000100000000", typ, ip)
	add("FDDI", linkFDDI, "50"+macs, body)
	add("Frame Relay", linkRelay, "1841 03"+nlpid, ip)
	add("Frame Relay, aligned, address of 4 octets", linkRelay, "18400001 03 00"+nlpid, ip)
	add("Frame Relay, SNAP", linkRelay, "1841 03 00 80 000000", typ, ip)
	add("Frame Relay, bridged", linkRelay, "1841 03 00 80 0080c2 0007", eth)
	add("Frame Relay, PPP", linkRelay, "1841 03 cf"+ppp, ip)
	add("Frame Relay, Cisco", linkRelay, "1841", typ, ip)
	add("Frame Relay with direction", linkRelayWith, "01 1841 03"+nlpid, ip)
	add("Cisco HDLC with direction", linkCHDLCWith, "00 0f00", typ, ip)
	add("PPP with direction", linkPPPWith, "01 ff03"+ppp, ip)
	add("PPP, direction in its address", linkPPPDir, "01 03"+ppp, ip)
	add("PPP, no direction in its address", linkPPPDir, "ff03"+ppp, ip)
	add("MPLS alone", linkMPLS, "00002140", ip)
	add("NFLOG", linkNFLOG, family+"00 0000", payload(binary.LittleEndian))
	add("NFLOG, little-endian", linkNFLOG, family+"00 0000 0800 0100 0800 0000 0900 0a00 61746b00 00000000", payload(binary.LittleEndian)) // a hook, a prefix
	add("NFLOG, big-endian, of a bridge", linkNFLOG, "07 00 0000 0008 0001", typ, unhex("0000"), payload(binary.BigEndian))
	return all
}

// tunnelsOf returns an IP packet in tunnels.
func tunnelsOf(ip []byte) []encapsulation {
	typ, gpe, version := be16(0x0800), "01", "04"
	if ip[0]>>4 == 6 {
		typ, gpe, version = be16(0x86dd), "02", "29"
	}
	inIP := map[string]string{"04": "ipip", "29": "6in4"}[version]
	eth := slices.Concat(unhex(macs), typ, ip)
	tagged := slices.Concat(unhex(macs+"8100 0064"), typ, ip)
	gtp := slices.Concat(be16(len(ip)), unhex("00000001"), ip)
	var all []encapsulation
	add := func(name, tunnel string, outer []byte) {
		all = append(all, encapsulation{name, linkRaw, outer, Context{Tunnel: tunnel}})
	}
	gre := func(name, tunnel, header string, rest ...[]byte) {
		add("GRE"+name, tunnel, outerIP(protoGRE, unhex(header), slices.Concat(rest...)))
	}
	gre("", "gre", "0000", typ, ip)
	gre(", checksum", "gre", "8000", typ, unhex("1234 0000"), ip)
	gre(", key", "gre:7", "2000", typ, unhex("00000007"), ip)
	gre(", key 0", "gre:0", "2000", typ, unhex("00000000"), ip)
	gre(", checksum, key, sequence", "gre:4294967295", "b000", typ, unhex("1234 0000 ffffffff 00000001"), ip)
	gre(", source route", "gre", "4000", typ, unhex("1234 0000 0800 00 04 0a000003 0000 00 00"), ip)
	gre(", Ethernet", "gre", "0000 6558", eth)
	gre(", Ethernet, key of somebody's", "gre:100", "2000 6558 00000064", eth)
	gre(", NVGRE", "nvgre:4096", "2000 6558 001000 ab", eth)
	gre(", MPLS", "gre", "0000 8847 00002140", ip)
	gre(", PPP", "gre", "0000 880b", unhex(map[string]string{"04": "0021", "29": "0057"}[version]), ip)
	gre(", PPTP", "pptp", "3001 880b", be16(2+len(ip)), unhex("0005 00000001"), unhex(map[string]string{"04": "0021", "29": "0057"}[version]), ip)
	gre(", PPTP, with acknowledgment", "pptp", "3081 880b", be16(4+len(ip)), unhex("0005 00000001 00000009 ff03"), unhex(map[string]string{"04": "0021", "29": "0057"}[version]), ip)
	gre(", ERSPAN I", "erspan", "0000 88be", eth)
	gre(", ERSPAN II", "erspan:5", "1000 88be 00000001 1064 0005 00000000", eth) // VLAN 100 of old, session 5
	gre(", ERSPAN III", "erspan:1023", "1000 22eb 00000001 2064 03ff 00000000 0000 8000", eth)
	gre(", ERSPAN III, subheader", "erspan:5", "1000 22eb 00000001 2064 0005 00000000 0000 8001 0000000000000000", eth)
	gre(", ERSPAN III, IP", "erspan:5", "1000 22eb 00000001 2064 0005 00000000 0000 0800", ip)
	add("GRE in UDP", "gre:7", outerUDP(50000, 4754, unhex("2000"), typ, unhex("00000007"), ip))
	add("VXLAN, group policy", "vxlan:100", outerUDP(50000, 4789, unhex("88 40 1234 000064 00"), eth))
	add("VXLAN-GPE, IP", "vxlan-gpe:9", outerUDP(50000, 4790, unhex("0c0000"+gpe+"000009 00"), ip))
	add("VXLAN-GPE, Ethernet", "vxlan-gpe:9", outerUDP(50000, 4790, unhex("0c000003 000009 00"), eth))
	add("VXLAN-GPE, MPLS", "vxlan-gpe:9", outerUDP(50000, 4790, unhex("0c000005 000009 00 00002140"), ip))
	add("Geneve, Ethernet", "geneve:7", outerUDP(50000, 6081, unhex("00 00 6558 000007 00"), eth))
	add("Geneve, IP, options", "geneve:0", outerUDP(50000, 6081, unhex("03 40"), typ, unhex("000000 00 0108 01 02 1122334455667788"), ip))
	add("GTP-U", "gtp", outerUDP(2152, 2152, unhex("30 ff"), gtp))
	add("GTP-U, sequence", "gtp", outerUDP(2152, 2152, unhex("32 ff"), be16(4+len(ip)), unhex("00000001 0001 00 00"), ip))
	add("GTP-U, two extension headers", "gtp", outerUDP(2152, 2152, unhex("34 ff"), be16(16+len(ip)), unhex("00000001 0000 00 85 01 1009 85 02 1009 00000000 00"), ip))
	add("CAPWAP, 802.11", "capwap", outerUDP(50000, 5247, unhex("00 100300 00000000"), unhex(dataWLAN+snapHeader), typ, ip))
	add("CAPWAP, 802.11, frame control swapped, radio header", "capwap",
		outerUDP(5247, 50000, unhex("00 200320 00000000 04bf2300 00000000 11 08 0000 020000000003 020000000001 020000000002 1230"+snapHeader), typ, ip))
	add("CAPWAP, Ethernet", "capwap", outerUDP(50000, 5247, unhex("00 100200 00000000"), eth))
	pseudowire := func(name, header string, vlan []uint16, frame []byte) {
		all = append(all, encapsulation{name, linkEthernet, slices.Concat(unhex(macs+"8847 00001040 00002140"+header), frame), Context{VLANs: vlan, Tunnel: "pw"}})
	}
	other := func(first byte) []byte { return slices.Concat([]byte{first}, eth[1:]) }
	pseudowire("pseudowire with control word", "00000001", nil, eth)
	pseudowire("pseudowire with control word, VLAN", "00000000", []uint16{100}, tagged)
	pseudowire("pseudowire, address beginning with 0", "", nil, eth)
	pseudowire("pseudowire, address beginning with 4", "", nil, other(0x44))
	pseudowire("pseudowire, address beginning with 6", "", nil, other(0x6c))
	pseudowire("pseudowire, address beginning with 0xa", "", nil, other(0xac))
	all = append(
		all,
		encapsulation{"PBB", linkEthernet, slices.Concat(unhex(macs+"88a8 0003 88e7 00010203"), eth), Context{VLANs: []uint16{3}, Tunnel: "pbb:66051"}},
		encapsulation{"GRE in IPIP", linkRaw, outerIP(protoIPv4, outerIP(protoGRE, be16(0), typ, ip)), Context{Tunnel: "ipip/gre"}},
		encapsulation{"VLAN in ERSPAN", linkRaw, outerIP(protoGRE, unhex("1000 88be 00000001 1064 0005 00000000"), tagged), Context{VLANs: []uint16{100}, Tunnel: "erspan:5"}},
		encapsulation{"IP in IP in GTP", linkRaw, outerUDP(2152, 2152, unhex("30 ff"), be16(20+len(ip)), unhex("00000001"), outerIP(unhex(version)[0], ip)), Context{Tunnel: "gtp/" + inIP}},
	)
	if version == "29" {
		add("Teredo", "teredo", outerUDP(50000, 3544, ip))
		add("Teredo, from a server, origin", "teredo", outerUDP(3544, 50000, unhex("0000 f227 3ffffdfe"), ip))
		add("Teredo, authentication and origin", "teredo", outerUDP(50000, 3544, unhex("0001 02 01 aabb cc 1122334455667788 00 0000 f227 3ffffdfe"), ip))
	}
	return all
}

// TestNoTunnels holds that what comes to the port of a tunnel, or claims to be in
// one, is not taken for more than it is.
func TestNoTunnels(t *testing.T) {
	ip := serialize(testIP4(6), testTCP(), octets("payload"))
	ip6 := serialize(testIP6(6), testTCP(), octets("payload"))
	longer := slices.Clone(ip)
	longer[3]++
	longer6 := slices.Clone(ip6)
	longer6[5]++
	data := "aaaa03 000000 0800"
	for _, c := range []struct {
		name  string
		link  uint32
		frame []byte
		want  Skip
	}{
		{"GTP, control", linkRaw, outerUDP(2152, 2152, unhex("30 01 0030 00000001"), ip), SkipUDP},
		{"GTP, version 0", linkRaw, outerUDP(2152, 2152, unhex("10 ff 0030 00000001"), ip), SkipUDP},
		{"GTP, longer than its packet", linkRaw, outerUDP(2152, 2152, unhex("30 ff 0130 00000001"), ip), SkipUDP},
		{"GTP, IP longer than it", linkRaw, outerUDP(2152, 2152, unhex("30 ff 002f 00000001"), longer), SkipUDP},
		{"GTP, no IP", linkRaw, outerUDP(2152, 2152, unhex("30 ff 0004 00000001 ffffffff")), SkipUDP},
		{"GTP, half the optional fields", linkRaw, outerUDP(2152, 2152, unhex("32 ff 0002 00000001 0000")), SkipUDP},
		{"GTP, extension header missing", linkRaw, outerUDP(2152, 2152, unhex("34 ff 0004 00000001 0000 00 85")), SkipUDP},
		{"GTP, extension header of length 0", linkRaw, outerUDP(2152, 2152, unhex("34 ff 0030 00000001 0000 00 85 00 000000"), ip), SkipUDP},
		{"GTP, extension header past the end", linkRaw, outerUDP(2152, 2152, unhex("34 ff 0008 00000001 0000 00 85 02 000000")), SkipUDP},
		{"Teredo, IPv4", linkRaw, outerUDP(50000, 3544, ip), SkipUDP},
		{"Teredo, IPv6 longer than it", linkRaw, outerUDP(50000, 3544, longer6), SkipUDP},
		{"Teredo, authentication past the end", linkRaw, outerUDP(50000, 3544, unhex("0001 ff ff 00")), SkipUDP},
		{"Teredo, bubble", linkRaw, outerUDP(50000, 3544, unhex("60000000 0000 3b 15"), client6, server6), SkipProtocol},
		{"Geneve, version 1", linkRaw, outerUDP(50000, 6081, unhex("40 00 0800 000007 00"), ip), SkipUDP},
		{"Geneve, reserved bits", linkRaw, outerUDP(50000, 6081, unhex("00 01 0800 000007 00"), ip), SkipUDP},
		{"Geneve, another protocol", linkRaw, outerUDP(50000, 6081, unhex("00 00 0801 000007 00"), ip), SkipUDP},
		{"Geneve, options past the end", linkRaw, outerUDP(50000, 6081, unhex("3f 00 0800 000007 00"), ip), SkipUDP},
		{"VXLAN, DNS", linkRaw, outerUDP(53, 4789, unhex("0834 8180 0001 0000 0000 0000"), ip), SkipUDP},
		{"VXLAN, last octet", linkRaw, outerUDP(50000, 4789, unhex("08000000 000064 01"+macs+"0800"), ip), SkipUDP},
		{"VXLAN-GPE, no next protocol", linkRaw, outerUDP(50000, 4790, unhex("08 00 00 01 000007 00"), ip), SkipUDP},
		{"VXLAN-GPE, service header", linkRaw, outerUDP(50000, 4790, unhex("0c 00 00 04 000007 00"), ip), SkipNotIP},
		{"GRE in UDP, DNS", linkRaw, outerUDP(53, 4754, unhex("1234 8180 0001 0001 0000 0000")), SkipUDP},
		{"GRE in UDP, another protocol", linkRaw, outerUDP(53, 4754, unhex("0000 8180 0001")), SkipUDP},
		{"CAPWAP, encrypted", linkRaw, outerUDP(50000, 5247, unhex("01000000 16feff"), ip), SkipUDP},
		{"CAPWAP, keepalive", linkRaw, outerUDP(50000, 5247, unhex("00 100308 00000000"), ip), SkipUDP},
		{"CAPWAP, later fragment", linkRaw, outerUDP(50000, 5247, unhex("00 100280 0001 0080"), ip), SkipFragment},
		{"GRE, keepalive", linkRaw, outerIP(protoGRE, unhex("0000 0000")), SkipNotIP},
		{"GRE, version 2", linkRaw, outerIP(protoGRE, unhex("0002 0800"), ip), SkipProtocol},
		{"GRE, key missing", linkRaw, outerIP(protoGRE, unhex("2000 0800 0000")), SkipMalformed},
		{"GRE, source route without end", linkRaw, outerIP(protoGRE, unhex("4000 0800 00000000 0800 00 04 0a000003")), SkipMalformed},
		{"PPTP, acknowledgment", linkRaw, outerIP(protoGRE, unhex("2081 880b 0000 0005 00000009")), SkipNotIP},
		{"PPTP without key", linkRaw, outerIP(protoGRE, unhex("1001 880b 00000001")), SkipProtocol},
		{"PPTP, compressed", linkRaw, outerIP(protoGRE, unhex("3001 880b 0004 0005 00000001 00fd 9000")), SkipNotIP},
		{"ERSPAN, unknown version", linkRaw, outerIP(protoGRE, unhex("1000 88be 00000001 7064 0005 00000000"), ip), SkipNotIP},
		{"ERSPAN, empty", linkRaw, outerIP(protoGRE, unhex("1000 88be 00000001")), SkipMalformed},
		{"ERSPAN, truncated header", linkRaw, outerIP(protoGRE, unhex("1000 22eb 00000001 2064 0005")), SkipMalformed},
		{"MPLS, channel", linkMPLS, unhex("00002140 10000021 00000000"), SkipNotIP},
		{"MPLS, pseudowire of ARP", linkMPLS, unhex("00002140 00000000" + macs + "0806 0001 0800 0604 0001 0000 0000 0000"), SkipNotIP},
		{"802.11, beacon, retried", linkWLAN, unhex("80 08 0000 ffffffffffff 020000000003 020000000003 3012" + data), SkipNotIP},
		{"802.11, no data", linkWLAN, unhex("48 01 0000 020000000003 020000000001 020000000003 3012"), SkipNotIP},
		{"802.11, QoS, no data", linkWLAN, unhex("c8 01 0000 020000000003 020000000001 020000000003 3012 0000"), SkipNotIP},
		{"802.11, acknowledgment", linkWLAN, unhex("d4 00 0000 020000000003"), SkipNotIP},
		{"802.11, encrypted", linkWLAN, unhex("08 41 0000 020000000003 020000000001 020000000002 3012 00000020 00000000"), SkipWLAN},
		{"802.11, later fragment", linkWLAN, unhex("08 01 0000 020000000003 020000000001 020000000002 3112" + data), SkipFragment},
		{"802.11, version 1", linkWLAN, unhex("09 01 0000 020000000003 020000000001 020000000002 3012" + data), SkipNotIP},
		{"802.11, one octet", linkWLAN, unhex("08"), SkipMalformed},
		{"radiotap, damaged on the air", linkRadiotap, slices.Concat(unhex("00 00 0900 02000000 50"+dataWLAN+data), ip), SkipMalformed},
		{"radiotap, version 1", linkRadiotap, unhex("01 00 0800 00000000"), SkipMalformed},
		{"radiotap past the frame", linkRadiotap, unhex("00 00 0900 00000000"), SkipMalformed},
		{"radiotap, words without end", linkRadiotap, unhex("00 00 0c00 00000080 00000080"), SkipMalformed},
		{"radiotap, flags past it", linkRadiotap, unhex("00 00 0c00 03000000 00000000"), SkipMalformed},
		{"AVS past the frame", linkAVS, unhex("80211001 00000040"), SkipMalformed},
		{"PPI in itself", linkPPI, slices.Repeat(unhex("00 00 0800 c0000000"), 9), SkipTooDeep},
		{"PPI of no length", linkPPI, unhex("00 00 0000 01000000"), SkipMalformed},
		{"PKTAP past the frame", linkPKTAP, unhex("ffffffff 01000000 01000000"), SkipMalformed},
		{"NFLOG without a packet", linkNFLOG, unhex("02 00 0000 0800 0100 0800 0000"), SkipNotIP},
		{"NFLOG, attribute of no length", linkNFLOG, unhex("02 00 0000 0000 0900"), SkipMalformed},
		{"NFLOG, version 1", linkNFLOG, unhex("02 01 0000 0000 0900"), SkipMalformed},
		{"NFLOG, no type", linkNFLOG, unhex("07 00 0000 0600 0900 4500"), SkipNotIP},
		{"Frame Relay, signalling", linkRelay, unhex("0001 03 08 0075"), SkipNotIP},
		{"Frame Relay, Cisco's signalling", linkRelay, unhex("fcf1 0309 0075"), SkipNotIP},
		{"Frame Relay, no type", linkRelay, unhex("1841 0001 0000"), SkipNotIP},
		{"Frame Relay, address without end", linkRelay, unhex("1840 0000 0000"), SkipMalformed},
		{"Frame Relay, nothing aligned", linkRelay, unhex("1841 03 00"), SkipMalformed},
		{"FDDI, management", linkFDDI, unhex("41" + macs + data), SkipNotIP},
		{"Linux cooked, netlink", linkSLL, unhex("0000 0338 0000 0000000000000000 0800 45"), SkipNotIP},
		{"bridged by Ethernet", linkEthernet, unhex(macs + "6558" + macs + "0800 45"), SkipNotIP},
		{"nine backbones", linkEthernet, slices.Repeat(unhex(macs+"88e7 00000001"), 9), SkipTooDeep},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := testPacket(c.link, c.frame)
			d := newTestDecoder()
			if r := decodeOne(t, d, p); r.Kind != Skipped || r.Skip != c.want {
				t.Errorf("got %d, %q; want %q", r.Kind, r.Skip, c.want)
			}
			for n := range c.frame {
				p.Data = c.frame[:n]
				if r := decodeOne(t, d, p); r.Kind != Skipped {
					t.Errorf("cut to %d octets: %d", n, r.Kind)
				}
			}
		})
	}
}

// TestTooDeep holds that every tunnel counts: inside eight others it is not followed.
func TestTooDeep(t *testing.T) {
	for _, ip := range [][]byte{serialize(testIP4(6), testTCP()), serialize(testIP6(6), testTCP())} {
		for _, e := range tunnelsOf(ip) {
			frame, others := e.frame, 8
			if e.link == linkEthernet {
				frame, others = outerIP(protoGRE, unhex("0000 6558"), frame), 7
			}
			for range others {
				frame = outerIP(protoIPv4, frame)
			}
			if r := decodeOne(t, newTestDecoder(), testPacket(linkRaw, frame)); r.Skip != SkipTooDeep {
				t.Errorf("IPv%d, %s: %+v", ip[0]>>4, e.name, r)
			}
		}
		relay := slices.Concat(unhex("1841 03 80 0080c2 0007"+macs), slices.Repeat(unhex("8100 0000"), 7), unhex("0800"), ip)
		if ip[0]>>4 == 4 {
			if r := decodeOne(t, newTestDecoder(), testPacket(linkRelay, relay)); r.Kind != AsSegment {
				t.Errorf("bridged by Frame Relay, seven tags: %+v", r)
			}
		}
		relay = slices.Concat(relay[:21], unhex("8100 0000"), relay[21:])
		if r := decodeOne(t, newTestDecoder(), testPacket(linkRelay, relay)); r.Skip != SkipTooDeep {
			t.Errorf("bridged by Frame Relay, eight tags: %+v", r)
		}
	}
}

// TestBothWays holds that the two directions of a connection have one context,
// whatever the ends of its tunnel choose for themselves.
func TestBothWays(t *testing.T) {
	ip := serialize(testIP4(6), testTCP())
	eth := slices.Concat(unhex(macs+"0800"), ip)
	for _, c := range []struct {
		name       string
		link       uint32
		there, and []byte
	}{
		{"GTP-U, tunnel endpoint", linkRaw, outerUDP(2152, 2152, unhex("30 ff 0028 00000001"), ip), outerUDP(2152, 2152, unhex("30 ff 0028 00000002"), ip)},
		{"PPTP, call", linkRaw, outerIP(protoGRE, unhex("3001 880b 002a 0005 00000001 0021"), ip), outerIP(protoGRE, unhex("3001 880b 002a 0006 00000001 0021"), ip)},
		{"NVGRE, flow", linkRaw, outerIP(protoGRE, unhex("2000 6558 00100001"), eth), outerIP(protoGRE, unhex("2000 6558 001000ff"), eth)},
		{"MPLS, labels", linkMPLS, slices.Concat(unhex("00002140"), ip), slices.Concat(unhex("00003040 00004140"), ip)},
		{"pseudowire, labels", linkMPLS, slices.Concat(unhex("00002140 00000000"), eth), slices.Concat(unhex("00003040 00004140 00000000"), eth)},
		{"Teredo, ports", linkRaw, outerUDP(50000, 3544, serialize(testIP6(6), testTCP())), outerUDP(3544, 50000, serialize(testIP6(6), testTCP()))},
		{"PPPoE, session", linkPPPoE, slices.Concat(unhex("11 00 0001 002a 0021"), ip), slices.Concat(unhex("11 00 0002 002a 0021"), ip)},
		{"VXLAN, source port", linkRaw, outerUDP(50000, 4789, unhex("08000000 000001 00"), eth), outerUDP(50001, 4789, unhex("08000000 000001 00"), eth)},
		{"ERSPAN, sequence and VLAN", linkRaw, outerIP(protoGRE, unhex("1000 88be 00000001 1064 0005 00000000"), eth), outerIP(protoGRE, unhex("1000 88be 00000002 1065 0005 00000000"), eth)},
	} {
		d := newTestDecoder()
		var ids [2]uint32
		for i, frame := range [][]byte{c.there, c.and} {
			if r := decodeOne(t, d, testPacket(c.link, frame)); r.Kind != AsSegment {
				t.Fatalf("%s: skipped: %v", c.name, r.Skip)
			}
			ids[i] = d.Segment.Context
		}
		if ids[0] != ids[1] {
			t.Errorf("%s: %+v and %+v", c.name, d.Context(ids[0]), d.Context(ids[1]))
		}
	}
}

// TestChecksumOfRadio takes the checksum of a frame off, which else would be data
// of a packet whose length is left to the card.
func TestChecksumOfRadio(t *testing.T) {
	ip := serialize(testIP4(6), testTCP(), octets("payload"))
	copy(ip[2:], be16(0))
	for _, c := range []struct {
		header string
		want   uint32
	}{
		{"00 00 0900 02000000 10", 7},
		{"00 00 0900 02000000 00", 11},
	} {
		frame := slices.Concat(unhex(c.header+dataWLAN+snapHeader+"0800"), ip, unhex("deadbeef"))
		d := newTestDecoder()
		if r := decodeOne(t, d, testPacket(linkRadiotap, frame)); r.Kind != AsSegment || d.Segment.Len != c.want {
			t.Errorf("%s: %+v, %d octets; want %d", c.header, r, d.Segment.Len, c.want)
		}
	}
}

// TestAggregate counts an A-MSDU that holds more than the segment that is taken.
func TestAggregate(t *testing.T) {
	ip := serialize(testIP4(6), testTCP(), octets("payload"))
	body := slices.Concat(unhex(snapHeader+"0800"), ip) // 55 octets, and 14 before them: 3 to align
	subframe := slices.Concat(unhex(macs), be16(len(body)), body)
	qos := unhex("88 01 0000 020000000003 020000000001 020000000002 3012 8000")
	d := newTestDecoder()
	for _, c := range []struct {
		frame []byte
		want  Remark
	}{
		{slices.Concat(qos, subframe), RemarkNone},
		{slices.Concat(qos, subframe, unhex("000000")), RemarkNone},
		{slices.Concat(qos, subframe, unhex("000000"), subframe), RemarkAggregate},
	} {
		if r := decodeOne(t, d, testPacket(linkWLAN, c.frame)); r.Kind != AsSegment || d.Segment.Len != 7 || r.Remark != c.want {
			t.Errorf("%+v, %d octets; want remark %d", r, d.Segment.Len, c.want)
		}
	}
}

// TestSliced holds that a packet that IP says is longer than its frame is a segment
// of that length, of which the capture holds less, and that this is told.
func TestSliced(t *testing.T) {
	for name, whole := range map[string][]byte{
		"IPv4":         serialize(testIP4(6), testTCP(nop, nop, timestamps), octets(make([]byte, 1000))),
		"IPv6":         serialize(testIP6(6), testTCP(nop, nop, timestamps), octets(make([]byte, 1000))),
		"in a tunnel":  outerIP(protoGRE, unhex("0000 0800"), serialize(testIP4(6), testTCP(nop, nop, timestamps), octets(make([]byte, 1000)))),
		"mirrored cut": outerIP(protoGRE, unhex("1000 88be 00000001 1064 0405 00000000"+macs+"0800"), serialize(testIP4(6), testTCP(nop, nop, timestamps), octets(make([]byte, 1000)))[:200]),
	} {
		b := whole[:min(len(whole), 150)]
		d := newTestDecoder()
		if r := decodeOne(t, d, testPacket(linkRaw, b)); r.Kind != AsSegment || r.Remark != RemarkSliced {
			t.Errorf("%s: %+v", name, r)
			continue
		}
		s := d.Segment
		if s.Len != 1000 || !s.Cut || s.Checksum != ChecksumUnknown || s.Opts != OptTimestamps || s.Wire != 150 {
			t.Errorf("%s: %+v", name, s)
		}
		// What the capture's own snapshot length took is not remarked on.
		p := testPacket(linkRaw, whole)
		p.Data = b
		if r := decodeOne(t, d, p); name != "mirrored cut" && r != (Result{Kind: AsSegment}) {
			t.Errorf("%s, cut by the snapshot length: %+v", name, r)
		}
	}
}

// TestTunnelFragments holds that tunnels are found in datagrams that were put
// together, and fragments in tunnels, and both at once.
func TestTunnelFragments(t *testing.T) {
	ip := serialize(testIP4(6), testTCP(nop, nop, timestamps), octets(make([]byte, 1000)))
	eth := slices.Concat(unhex(macs+"0800"), ip)
	small := serialize(testIP4(6), testTCP(nop, nop, timestamps), octets("payload"))
	vxlan := outerUDP(50000, 4789, unhex("08000000 000064 00"), eth)
	inner := parts(len(ip)-20, 400)
	var nested [][]byte
	for i, p := range inner {
		outer := outerIP(protoGRE, unhex("2000 0800 00000007"), fragment4(ip, p))
		outer[5] = byte(i)
		for _, q := range parts(len(outer)-20, 104) {
			nested = append(nested, fragment4(outer, q))
		}
	}
	fragments := func(ip []byte, size int) (all [][]byte) {
		for _, p := range parts(len(ip)-20, size) {
			all = append(all, fragment4(ip, p))
		}
		return all
	}
	backwards := func(all [][]byte) [][]byte { all = slices.Clone(all); slices.Reverse(all); return all }
	six := slices.Concat(unhex("60000000"), be16(len(ip)), unhex("0440"), client6, server6, ip)
	var inSix [][]byte
	for _, p := range parts(len(ip), 512) {
		inSix = append(inSix, fragment6(six, p))
	}
	for _, c := range []struct {
		name   string
		frames [][]byte
		n      uint32
		tunnel string
		sum    Checksum
	}{
		{"VXLAN", fragments(vxlan, 552), 1000, "vxlan:100", ChecksumUnknown},
		{"VXLAN, last first", backwards(fragments(vxlan, 552)), 1000, "vxlan:100", ChecksumUnknown},
		{"VXLAN, 8 octets each, the last small", fragments(outerUDP(50000, 4789, unhex("08000000 000064 00"+macs+"0800"), small), 8), 7, "vxlan:100", ChecksumGood},
		{"GRE", fragments(outerIP(protoGRE, unhex("0000 0800"), ip), 552), 1000, "gre", ChecksumUnknown},
		{"IP in IP", fragments(outerIP(protoIPv4, ip), 552), 1000, "ipip", ChecksumUnknown},
		{"IP in IPv6", inSix, 1000, "4in6", ChecksumUnknown},
		{"fragments in GRE", [][]byte{
			outerIP(protoGRE, unhex("0000 0800"), fragment4(ip, part{0, 552, false})),
			outerIP(protoGRE, unhex("0000 0800"), fragment4(ip, part{552, 1032, true})),
		}, 1000, "gre", ChecksumUnknown},
		{"fragments in GRE in fragments", nested, 1000, "gre:7", ChecksumUnknown},
		{"fragments in GRE in fragments, last first", backwards(nested), 1000, "gre:7", ChecksumUnknown},
	} {
		d := newTestDecoder()
		wire := uint32(0)
		for i, b := range c.frames {
			p := testPacket(linkRaw, b)
			wire += p.Length
			r := decodeOne(t, d, p)
			if last := i == len(c.frames)-1; !last {
				if r.Skip != SkipFragment {
					t.Errorf("%s, frame %d: %+v", c.name, i+1, r)
				}
				continue
			}
			if r.Kind != AsSegment {
				t.Errorf("%s, skipped: %v", c.name, r.Skip)
				continue
			}
			want := testSegment(client4, server4, c.n)
			want.Wire, want.Checksum, want.Context = wire, c.sum, d.Segment.Context
			want.Opts, want.TSVal, want.TSEcr = OptTimestamps, 9, 8
			if diff := cmp.Diff(want, d.Segment, lengthAside); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.name, diff)
			}
			if got := d.Context(d.Segment.Context).Tunnel; got != c.tunnel {
				t.Errorf("%s: context %q", c.name, got)
			}
		}
	}
}

// TestFragmentsUDP holds that fragments of UDP that is no tunnel are counted as
// UDP, and do not push out those of TCP.
func TestFragmentsUDP(t *testing.T) {
	ip := serialize(testIP4(6), testTCP(), octets(make([]byte, 1000)))
	tcp := parts(1020, 552)
	d := newTestDecoder()
	decodeOne(t, d, testPacket(linkRaw, fragment4(ip, tcp[0])))
	udp := outerUDP(53, 50000, make([]byte, 1000))
	for id := range 2 * maxDatagrams {
		copy(udp[4:], be16(id))
		for _, p := range parts(1008, 552) {
			if r := decodeOne(t, d, testPacket(linkRaw, fragment4(udp, p))); r.Skip != SkipUDP {
				t.Fatalf("%v: %+v", p, r)
			}
		}
	}
	for id := range 2 * maxDatagrams { // of which the first never comes
		copy(udp[4:], be16(id))
		decodeOne(t, d, testPacket(linkRaw, fragment4(udp, part{552, 1008, true})))
	}
	if n := len(d.outer.slots); n > maxDatagrams {
		t.Errorf("%d datagrams", n)
	}
	if r := decodeOne(t, d, testPacket(linkRaw, fragment4(ip, tcp[1]))); r.Kind != AsSegment {
		t.Errorf("TCP: %+v", r)
	}
	// The identification comes again, with a tunnel.
	vxlan := outerUDP(50000, 4789, unhex("08000000 000064 00"+macs+"0800"), ip)
	copy(udp[4:], be16(1))
	copy(vxlan[4:], be16(1))
	decodeOne(t, d, testPacket(linkRaw, fragment4(udp, part{0, 552, false})))
	var r Result
	for _, p := range parts(len(vxlan)-20, 552) {
		r = decodeOne(t, d, testPacket(linkRaw, fragment4(vxlan, p)))
	}
	if r.Kind != AsSegment {
		t.Errorf("VXLAN: %+v", r)
	}
}

// TestFragmentsContradict holds that fragments that say different things about the
// same octets, where that matters, leave nothing to believe.
func TestFragmentsContradict(t *testing.T) {
	ip := serialize(testIP4(6), testTCP(nop, nop, timestamps), octets(make([]byte, 1000)))
	changed := func(at int, p part) []byte {
		b := slices.Clone(ip)
		b[20+at] ^= 1
		return fragment4(b, p)
	}
	for _, c := range []struct {
		name   string
		second []byte
		want   Skip
	}{
		{"flags", changed(13, part{8, 1032, true}), SkipMalformed},
		{"copy with other flags", changed(13, part{0, 24, false}), SkipMalformed},
		{"data behind what is kept", changed(500, part{16, 1032, true}), SkipNone},
		{"data that comes once", changed(30, part{24, 1032, true}), SkipNone},
	} {
		d := newTestDecoder()
		decodeOne(t, d, testPacket(linkRaw, fragment4(ip, part{0, 24, false})))
		if r := decodeOne(t, d, testPacket(linkRaw, c.second)); r.Skip != c.want {
			t.Errorf("%s: %q, want %q", c.name, r.Skip, c.want)
		}
		if c.want == SkipNone {
			// Complete; different octets are another datagram now.
			if r := decodeOne(t, d, testPacket(linkRaw, changed(4, part{0, 24, false}))); r.Skip != SkipFragment {
				t.Errorf("%s: then %q", c.name, r.Skip)
			}
			if r := decodeOne(t, d, testPacket(linkRaw, fragment4(ip, part{24, 1032, true}))); r.Kind != AsSegment || d.Segment.Seq == 1000 {
				t.Errorf("%s: then %+v", c.name, r)
			}
		}
	}
}

// TestICMPInTunnel holds that an error is in the context of the connection that it
// is about.
func TestICMPInTunnel(t *testing.T) {
	segment := serialize(testIP4(6), testTCP(), octets("payload"))
	msg := serialize(testIP4(1), octets(slices.Concat(unhex("0303 0000 00000000"), segment[:28])))
	d := newTestDecoder()
	for _, tunnel := range []func([]byte) *capture.Packet{
		func(b []byte) *capture.Packet {
			return testPacket(linkRaw, outerIP(protoGRE, unhex("2000 0800 00000007"), b))
		},
		func(b []byte) *capture.Packet {
			return testPacket(linkRaw, outerUDP(50000, 4789, unhex("08000000 000064 00"+macs+"8100 0005 0800"), b))
		},
	} {
		if r := decodeOne(t, d, tunnel(segment)); r.Kind != AsSegment {
			t.Fatalf("segment: %+v", r)
		}
		if r := decodeOne(t, d, tunnel(msg)); r.Kind != AsICMP || d.ICMP.Context != d.Segment.Context || d.ICMP.Seq != 1000 {
			t.Errorf("error: %+v, %+v", r, d.ICMP)
		}
	}
}
