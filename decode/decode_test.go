package decode

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket/layers"

	"tcplife/decode/capture"
)

// TestSegments decodes packets that were typed field by field.
func TestSegments(t *testing.T) {
	src4, dst4 := addr(client4), addr(server4)
	for _, c := range []struct {
		name   string
		link   uint32
		length uint32 // on the wire; 0: as captured
		packet string
		want   Segment
	}{
		{
			name: "SYN with a client's options",
			link: linkEthernet,
			packet: `
				020000000002 020000000001 0800 # Ethernet
				45 00 003c 1234 4000 40 06 3c6e # IPv4: 60 octets, id 0x1234, DF, TTL 64, TCP
				c0000201 c6336402 # 192.0.2.1 to 198.51.100.2
				9c40 01bb 00000fa0 00000000 # ports 40000 and 443, sequence number 4000
				a002 faf0 b2d8 0000 # 40 octets of header, SYN, window 64240
				0204 05b4 # MSS 1460
				0402 # SACK permitted
				080a 00000064 00000000 # timestamp 100
				01 0303 07 # window scale 7`,
			want: Segment{
				Wire: 74, Src: src4, Dst: dst4, SrcPort: 40000, DstPort: 443,
				Seq: 4000, Wnd: 64240, Flags: SYN, Checksum: ChecksumGood,
				Opts: OptMSS | OptSACKPermitted | OptTimestamps | OptScale, MSS: 1460, Scale: 7, TSVal: 100,
				IPID: 0x1234, HasIPID: true, TTL: 64,
			},
		},
		{
			name: "RST with padding of Ethernet, no identification",
			link: linkEthernet,
			packet: `
				020000000002 020000000001 0800 # Ethernet
				45 00 0028 0000 4000 40 06 0000 # IPv4: 40 octets, id 0, DF
				c0000201 c6336402
				9c40 01bb 00000fa1 00000000
				5004 0000 160d 0000 # RST
				000000000000 # padding`,
			want: Segment{
				Wire: 60, Src: src4, Dst: dst4, SrcPort: 40000, DstPort: 443,
				Seq: 4001, Flags: RST, Checksum: ChecksumGood, TTL: 64,
			},
		},
		{
			name: "data behind IPv4 options",
			link: linkRaw,
			packet: `
				46 00 0030 0001 0000 01 06 0000 # IPv4: 24 octets of header
				c0000201 c6336402
				94040000 # router alert
				9c40 01bb 00000fa1 00000065
				5018 0100 2c4c 0000 # PSH, ACK
				61626364 # "abcd"`,
			want: Segment{
				Wire: 48, Src: src4, Dst: dst4, SrcPort: 40000, DstPort: 443,
				Seq: 4001, Ack: 101, Len: 4, Wnd: 256, Flags: PSH | ACK, Checksum: ChecksumBad,
				IPID: 1, HasIPID: true, TTL: 1,
			},
		},
		{
			name:   "snapshot length of 54: options are not captured, lengths are IP's",
			link:   linkEthernet,
			length: 566,
			packet: `
				020000000002 020000000001 0800
				45 00 0228 1234 4000 40 06 0000 # IPv4: 552 octets
				c0000201 c6336402
				9c40 01bb 00000fa1 00000065
				8018 0100 0000 0000 # 32 octets of header`,
			want: Segment{
				Wire: 566, Src: src4, Dst: dst4, SrcPort: 40000, DstPort: 443,
				Seq: 4001, Ack: 101, Len: 500, Wnd: 256, Flags: PSH | ACK,
				Opts: OptCut | OptUnknown, IPID: 0x1234, HasIPID: true, TTL: 64, Cut: true,
			},
		},
		{
			name:   "cut behind the flags",
			link:   linkRaw,
			length: 40,
			packet: `
				45 00 0028 1234 4000 40 06 0000
				c0000201 c6336402
				9c40 01bb 00000fa1 00000065
				5011`,
			want: Segment{
				Wire: 40, Src: src4, Dst: dst4, SrcPort: 40000, DstPort: 443,
				Seq: 4001, Ack: 101, Flags: FIN | ACK,
				Opts: OptCut, IPID: 0x1234, HasIPID: true, TTL: 64, Cut: true, NoWnd: true,
			},
		},
		{
			name:   "cut within the timestamp option",
			link:   linkRaw,
			length: 60,
			packet: `
				45 00 003c 1234 4000 40 06 0000
				c0000201 c6336402
				9c40 01bb 00000fa0 00000000
				a002 faf0 0000 0000
				0204 05b4 0402 080a 0000`,
			want: Segment{
				Wire: 60, Src: src4, Dst: dst4, SrcPort: 40000, DstPort: 443,
				Seq: 4000, Wnd: 64240, Flags: SYN,
				Opts: OptMSS | OptSACKPermitted | OptCut | OptUnknown, MSS: 1460,
				IPID: 0x1234, HasIPID: true, TTL: 64, Cut: true,
			},
		},
		{
			name:   "segmentation offload: IPv4 length 0, more than 64 KiB",
			link:   linkEthernet,
			length: 70014,
			packet: `
				020000000002 020000000001 0800
				45 00 0000 1234 4000 40 06 0000 # IPv4: length 0
				c0000201 c6336402
				9c40 01bb 00000fa1 00000065
				5010 0100 0000 0000`,
			want: Segment{
				Wire: 70014, Src: src4, Dst: dst4, SrcPort: 40000, DstPort: 443,
				Seq: 4001, Ack: 101, Len: 70000 - 40, Wnd: 256, Flags: ACK,
				IPID: 0x1234, HasIPID: true, TTL: 64, Cut: true,
			},
		},
		{
			name:   "segmentation offload: IPv6 length 0",
			link:   linkIPv6,
			length: 70000,
			packet: `
				60000000 0000 06 40 # IPv6: length 0
				20010db8000000000000000000000001 20010db8000000000000000000000002
				9c40 01bb 00000fa1 00000065
				5010 0100 0000 0000`,
			want: Segment{
				Wire: 70000, Src: addr(client6), Dst: addr(server6), SrcPort: 40000, DstPort: 443,
				Seq: 4001, Ack: 101, Len: 70000 - 60, Wnd: 256, Flags: ACK, TTL: 64, Cut: true,
			},
		},
		{
			name:   "jumbogram",
			link:   linkEthernet,
			length: 14 + 40 + 80000 + 6, // padding, of whatever length, is not the jumbogram's
			packet: `
				020000000002 020000000001 86dd
				60000000 0000 00 40 # IPv6: length 0, hop-by-hop header
				20010db8000000000000000000000001 20010db8000000000000000000000002
				06 00 c204 00013880 # jumbo payload of 80000
				9c40 01bb 00000fa1 00000065
				5010 0100 0000 0000`,
			want: Segment{
				Wire: 80060, Src: addr(client6), Dst: addr(server6), SrcPort: 40000, DstPort: 443,
				Seq: 4001, Ack: 101, Len: 80000 - 28, Wnd: 256, Flags: ACK, TTL: 64, Cut: true,
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := testPacket(c.link, unhex(c.packet))
			if c.length != 0 {
				p.Length = c.length
			}
			c.want.Time, c.want.Frame = p.Time, p.Frame
			d := newTestDecoder()
			if r := decodeOne(t, d, p); r.Kind != AsSegment {
				t.Fatalf("skipped: %v", r.Skip)
			}
			if diff := cmp.Diff(c.want, d.Segment, lengthAside); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestEncapsulations holds that what lies around an IP packet changes nothing but
// the context, and that a packet of which the capture holds less yields the same
// segment or none.
func TestEncapsulations(t *testing.T) {
	for version, ip := range map[string][]byte{
		"IPv4": serialize(testIP4(6), testTCP(nop, nop, timestamps), octets("payload")),
		"IPv6": serialize(testIP6(6), testTCP(nop, nop, timestamps), octets("payload")),
	} {
		want := testSegment(client4, server4, 7)
		if version == "IPv6" {
			want = testSegment(client6, server6, 7)
		}
		want.Opts, want.TSVal, want.TSEcr = OptTimestamps, 9, 8
		for _, e := range encapsulations(ip) {
			t.Run(version+" "+e.name, func(t *testing.T) {
				d := newTestDecoder()
				p := testPacket(e.link, e.frame)
				if r := decodeOne(t, d, p); r.Kind != AsSegment {
					t.Fatalf("skipped: %v", r.Skip)
				}
				if diff := cmp.Diff(e.context, d.Context(d.Segment.Context)); diff != "" {
					t.Errorf("context (-want +got):\n%s", diff)
				}
				want := want
				want.Context, want.Wire = d.Segment.Context, p.Length
				if diff := cmp.Diff(want, d.Segment, lengthAside); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}

				want.Cut, want.Checksum = true, ChecksumUnknown
				for n := range e.frame {
					p.Data = e.frame[:n]
					r := decodeOne(t, d, p)
					tcp := n - (len(e.frame) - 32 - 7)
					if r.Kind != AsSegment {
						if tcp >= tcpFlags || r.Skip != SkipCutShort && (e.context.Tunnel == "" || r.Skip != SkipUDP) {
							t.Errorf("cut to %d octets, skipped: %v", n, r.Skip)
						}
						continue
					}
					if tcp < tcpFlags {
						t.Errorf("cut to %d octets, yet decoded", n)
					}
					want := want
					if tcp < tcpWindow {
						want.Wnd, want.NoWnd = 0, true
					}
					if tcp < 32 {
						want.Opts, want.TSVal, want.TSEcr = OptCut|OptUnknown, 0, 0
					}
					if diff := cmp.Diff(want, d.Segment, lengthAside); diff != "" {
						t.Errorf("cut to %d octets (-want +got):\n%s", n, diff)
					}
				}
			})
		}
	}
}

// TestExtensionHeaders holds that IPv6 extension headers count neither as payload
// nor hide the segment.
func TestExtensionHeaders(t *testing.T) {
	const hops, routing, dest, ah, fragment, mobility = "00", "2b", "3c", "33", "2c", "87"
	for _, c := range []struct {
		name    string
		headers string // the next header field of the last one is 06
		first   layers.IPProtocol
		dst     string // of the segment, if not the packet's
	}{
		{"hop-by-hop", "06 00 0502 0000 0100", 0, ""},
		{"destination options of 16 octets", "06 01 010c 000000000000 000000000000", 60, ""},
		{"hop-by-hop, destination, routing, mobility", dest + "00010400000000" + routing + "00010400000000" + mobility + "00 04 00 00000000" + "06 00 010400000000", 0, ""},
		{"authentication", "06 04 0000 00000001 00000001 000000000000000000000000", 51, ""},
		{"atomic fragment", "06 00 0000 00000001", 44, ""},
		{"hop-by-hop, atomic fragment, destination", fragment + "00010400000000" + dest + "000000 00000001" + "06 00 010400000000", 0, ""},
		{"source route, to go", "06 04 00 01 00000000 20010db8000000000000000000000077 20010db8000000000000000000000088", 43, "2001:db8::88"},
		{"source route, done", "06 02 00 00 00000000 20010db8000000000000000000000077", 43, ""},
		{"segment route, to go", "06 04 04 01 01000000 20010db8000000000000000000000088 20010db8000000000000000000000077", 43, "2001:db8::88"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dst := server6
			if c.dst != "" {
				dst = bytes.Clone(server6)
				copy(dst, unhex("20010db8000000000000000000000088"))
			}
			// The checksum is over the last destination.
			covered := testIP6(6)
			covered.DstIP = dst
			tcp := serialize(covered, testTCP(), octets("ten octets"))[40:]
			ip := serialize(testIP6(c.first), octets(slices.Concat(unhex(c.headers), tcp)))
			d := newTestDecoder()
			p := testPacket(linkEthernet, slices.Concat(unhex("020000000002 020000000001 86dd"), ip, unhex("000000000000")))
			if r := decodeOne(t, d, p); r.Kind != AsSegment {
				t.Fatalf("skipped: %v", r.Skip)
			}
			want := testSegment(client6, dst, 10)
			want.Wire = p.Length
			if diff := cmp.Diff(want, d.Segment, lengthAside); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestAuthenticatedIPv4(t *testing.T) {
	tcp := serialize(testIP4(6), testTCP(), octets("x"))[20:]
	ip := serialize(testIP4(51), octets(slices.Concat(unhex("06 04 0000 00000001 00000001 000000000000000000000000"), tcp)))
	d := newTestDecoder()
	if r := decodeOne(t, d, testPacket(linkRaw, ip)); r.Kind != AsSegment {
		t.Fatalf("skipped: %v", r.Skip)
	}
	want := testSegment(client4, server4, 1)
	want.Wire = uint32(len(ip))
	if diff := cmp.Diff(want, d.Segment, lengthAside); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestOptions(t *testing.T) {
	type opts = []layers.TCPOption
	sack := func(edges ...uint32) layers.TCPOption {
		var v []byte
		for _, e := range edges {
			v = append(v, byte(e>>24), byte(e>>16), byte(e>>8), byte(e))
		}
		return option(5, v...)
	}
	for _, c := range []struct {
		name string
		ack  uint32
		opts opts
		raw  string // instead of opts
		want Segment
	}{
		{"none", 0, nil, "", Segment{}},
		{"one SACK block", 100, opts{sack(200, 300)}, "", Segment{Opts: OptSACK, SACKEdge: 300}},
		{"three SACK blocks, the highest second", 100, opts{sack(150, 160, 300, 400, 200, 300)}, "", Segment{Opts: OptSACK, SACKEdge: 400}},
		{"SACK across the wrap", 0xfffffff0, opts{sack(0xfffffff8, 0xfffffffc, 8, 16)}, "", Segment{Opts: OptSACK, SACKEdge: 16}},
		{"SACK of duplicates only", 500, opts{sack(100, 500)}, "", Segment{}},
		{"SACK of duplicates and a block", 500, opts{sack(100, 200, 600, 700)}, "", Segment{Opts: OptSACK, SACKEdge: 700}},
		{"Fast Open, request", 0, opts{option(34)}, "", Segment{Opts: OptFastOpen}},
		{"Fast Open, cookie", 0, opts{option(34, 1, 2, 3, 4, 5, 6, 7, 8)}, "", Segment{Opts: OptFastOpen}},
		{"Fast Open, experimental", 0, opts{option(254, 0xf9, 0x89, 1, 2, 3, 4)}, "", Segment{Opts: OptFastOpen}},
		{"another experiment", 0, opts{option(254, 0x12, 0x34)}, "", Segment{}},
		{"scale of more than 14", 0, opts{option(3, 255)}, "", Segment{Opts: OptScale, Scale: 14}},
		{"unknown kinds", 0, opts{option(30, 0, 1), option(2, 5, 0xb4)}, "", Segment{Opts: OptMSS, MSS: 1460}},
		{"MSS of 3 octets", 0, opts{option(2, 5)}, "", Segment{Opts: OptUnknown}},
		{"timestamps of 4 octets, then MSS", 0, opts{option(8, 1, 2), option(2, 5, 0xb4)}, "", Segment{Opts: OptUnknown | OptMSS, MSS: 1460}},
		{"SACK of half a block", 0, opts{sack(1)}, "", Segment{Opts: OptUnknown}},
		{"SACK of none", 0, opts{sack()}, "", Segment{Opts: OptUnknown}},
		{"end, then rubbish", 0, nil, "0204 05b4 00 ffffff", Segment{Opts: OptMSS, MSS: 1460}},
		{"length 0", 0, nil, "0204 05b4 0800 0000", Segment{Opts: OptUnknown | OptMSS, MSS: 1460}},
		{"length 1 of a kind without data", 0, nil, "0204 05b4 0401 0101", Segment{Opts: OptUnknown | OptMSS, MSS: 1460}},
		{"length past the header", 0, nil, "0204 05b4 080a 0000", Segment{Opts: OptUnknown | OptMSS, MSS: 1460}},
		{"kind without length", 0, nil, "0204 05b4 0101 0108", Segment{Opts: OptUnknown | OptMSS, MSS: 1460}},
	} {
		t.Run(c.name, func(t *testing.T) {
			tcp := testTCP(c.opts...)
			tcp.Ack = c.ack
			ip := serialize(testIP4(6), tcp, octets("x"))
			if c.raw != "" {
				raw := unhex(c.raw)
				ip = serialize(testIP4(6), tcp, octets(raw))
				ip[20+12] += byte(len(raw) / 4 << 4) // the checksum is bad now
				ip = append(ip, 'x')
				copy(ip[2:], be16(len(ip)))
			}
			d := newTestDecoder()
			if r := decodeOne(t, d, testPacket(linkRaw, ip)); r.Kind != AsSegment {
				t.Fatalf("skipped: %v", r.Skip)
			}
			want := testSegment(client4, server4, 1)
			want.Ack, want.Wire, want.Checksum = c.ack, uint32(len(ip)), d.Segment.Checksum
			want.Opts, want.MSS, want.Scale, want.SACKEdge = c.want.Opts, c.want.MSS, c.want.Scale, c.want.SACKEdge
			if diff := cmp.Diff(want, d.Segment, lengthAside); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestChecksum(t *testing.T) {
	for version, ip := range map[string][]byte{
		"IPv4": serialize(testIP4(6), testTCP(), octets("odd")),
		"IPv6": serialize(testIP6(6), testTCP(), octets("odd")),
	} {
		field, pseudo, bare := 36, 0, 0
		switch version {
		case "IPv4": // c000 + 0201 + c633 + 6402 + 6, and 23 octets
			pseudo, bare = 0xec54, 0xec3d
		case "IPv6": // 2 * (2001 + 0db8) + 1 + 2 + 6, and 23 octets
			field = 56
			pseudo, bare = 0x5b92, 0x5b7b
		}
		for _, c := range []struct {
			name string
			set  int
			want Checksum
		}{
			{"as sent", int(ip[field])<<8 | int(ip[field+1]), ChecksumGood},
			{"sum of the pseudo-header", pseudo, ChecksumOffload},
			{"sum of the pseudo-header without length", bare, ChecksumOffload},
			{"complement of the pseudo-header's sum", pseudo ^ 0xffff, ChecksumBad},
			{"none", 0, ChecksumBad},
			{"wrong", 0x1234, ChecksumBad},
		} {
			b := bytes.Clone(ip)
			copy(b[field:], be16(c.set))
			d := newTestDecoder()
			decodeOne(t, d, testPacket(linkRaw, b))
			if d.Segment.Checksum != c.want {
				t.Errorf("%s, %s (%#04x): got %d, want %d", version, c.name, c.set, d.Segment.Checksum, c.want)
			}
		}
	}
}

// TestChecksumLengths compares the sum with gopacket's at all lengths and
// contents that carry.
func TestChecksumLengths(t *testing.T) {
	for n := range 200 {
		for _, fill := range []byte{0, 1, 0x80, 0xff} {
			d := newTestDecoder()
			b := serialize(testIP6(6), testTCP(), octets(bytes.Repeat([]byte{fill, 0xff}, 100)[:n]))
			decodeOne(t, d, testPacket(linkRaw, b))
			if d.Segment.Checksum != ChecksumGood {
				t.Errorf("%d octets of %#x: %d", n, fill, d.Segment.Checksum)
			}
			b[len(b)-1] ^= 1
			decodeOne(t, d, testPacket(linkRaw, b))
			if d.Segment.Checksum != ChecksumBad {
				t.Errorf("%d octets of %#x, one bit wrong: %d", n, fill, d.Segment.Checksum)
			}
		}
	}
}

// TestSum compares the sum with one that is taken word by word, of contents that
// carry at every place and of others.
func TestSum(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for n := 8; n < 300; n++ {
		for _, fill := range []int{0, 0x01, 0x80, 0xff, -1} {
			b := make([]byte, n)
			for i := range b {
				if b[i] = byte(fill); fill < 0 {
					b[i] = byte(random.Uint32())
				}
			}
			want := 0
			for i := range b {
				want += int(b[i]) << (i % 2 * 8)
			}
			if got := sum(b); got%0xffff != uint64(want%0xffff) || got >= 1<<33 {
				t.Errorf("%d octets of %d: %#x, want %#x", n, fill, got, want)
			}
		}
	}
}

func TestSkips(t *testing.T) {
	const (
		eth  = "020000000002 020000000001 "
		from = " c0000201 c6336402 "
		six  = " 20010db8000000000000000000000001 20010db8000000000000000000000002 "
		tcp  = " 9c40 01bb 00000fa1 00000065 5010 0100 0000 0000 "
	)
	for _, c := range []struct {
		name   string
		link   uint32
		length uint32 // on the wire; 0: as captured
		packet string
		want   Skip
	}{
		{"a user's link type", 147, 0, "0800", SkipLinkType},
		{"empty", linkRaw, 0, "", SkipMalformed},
		{"nothing captured", linkRaw, 60, "", SkipCutShort},
		{"half an Ethernet header, sent so", linkEthernet, 0, "020000000002", SkipMalformed},
		{"half an Ethernet header, captured", linkEthernet, 60, "020000000002", SkipCutShort},
		{"ARP", linkEthernet, 0, eth + "0806 0001 0800 0604", SkipNotIP},
		{"ARP in a VLAN", linkEthernet, 0, eth + "8100 0064 0806 0001", SkipNotIP},
		{"spanning tree", linkEthernet, 0, eth + "0026 424203 0000 0000", SkipNotIP},
		{"SNAP of another organization", linkEthernet, 0, eth + "0026 aaaa03 00000c 2000 0000", SkipNotIP},
		{"802.2 with a numbered frame", linkEthernet, 0, eth + "0026 aaaa 0000 00000800", SkipNotIP},
		{"Linux cooked, Novell", linkSLL, 0, "0000 0001 0006 020000000001 0000 0001 ffff", SkipNotIP},
		{"PPPoE, discovery in a session", linkEthernet, 0, eth + "8864 11 a7 0001 0000 0021", SkipNotIP},
		{"PPPoE, half a header", linkEthernet, 60, eth + "8864 11 00", SkipCutShort},
		{"PPP, link control", linkPPP, 0, "ff03 c021 01010004", SkipNotIP},
		{"PPP, one octet", linkPPP, 0, "00", SkipMalformed},
		{"Cisco HDLC, keepalive", linkCHDLC, 0, "8f00 0035 0000", SkipNotIP},
		{"Cisco HDLC is short", linkCHDLC, 0, "8f00", SkipMalformed},
		{"Cisco HDLC, keepalive with a type", linkCHDLC, 0, "8f00 8035 0000", SkipNotIP},
		{"MPLS without bottom", linkEthernet, 0, eth + "8847 00001040 00002040", SkipMalformed},
		{"MPLS, pseudowire", linkEthernet, 0, eth + "8847 00002140 00000000 020000000002", SkipNotIP},
		{"NULL, AppleTalk", linkNull, 0, "10000000 0000", SkipNotIP},
		{"NULL, no family", linkNull, 0, "12345678 0000", SkipNotIP},
		{"nine VLANs", linkEthernet, 0, eth + strings.Repeat("8100 0001", 9) + "0800 45", SkipTooDeep},
		{"UDP", linkRaw, 0, "45 00 001c 0000 0000 40 11 0000" + from + "0035 9c40 0008 0000", SkipUDP},
		{"UDP to VXLAN's port that is not VXLAN", linkRaw, 0, "45 00 002c 0000 0000 40 11 0000" + from + "0035 12b5 0018 0000 00000000 00000000 0000000000000000", SkipUDP},
		{"OSPF", linkRaw, 0, "45 00 0018 0000 0000 40 59 0000" + from + "00000000", SkipProtocol},
		{"ESP", linkRaw, 0, "60000000 0008 32 40" + six + "0000000000000000", SkipESP},
		{"MACsec", linkEthernet, 0, eth + "88e5 0800 0000 0001", SkipMACsec},
		{"no next header", linkRaw, 0, "60000000 0000 3b 40" + six, SkipProtocol},
		{"ICMPv6 in IPv4", linkRaw, 0, "45 00 001c 0000 0000 40 3a 0000" + from + "0100 0000 00000000", SkipProtocol},
		{"echo", linkRaw, 0, "45 00 001c 0000 0000 40 01 0000" + from + "0800 0000 00000000", SkipICMP},
		{"IPv5", linkRaw, 0, "55 00 0028" + from, SkipMalformed},
		{"IPv4 header of 16 octets", linkRaw, 0, "44 00 0028 0000 0000 40 06 0000" + from + tcp, SkipMalformed},
		{"IPv4 header past the packet", linkRaw, 0, "4f 00 0028 0000 0000 40 06 0000" + from + tcp, SkipMalformed},
		{"IPv4 length of 19", linkRaw, 0, "45 00 0013 0000 0000 40 06 0000" + from + tcp, SkipMalformed},
		{"jumbogram past the frame", linkRaw, 0, "60000000 0000 00 40" + six + "06 00 c204 00013880" + tcp, SkipMalformed},
		{"half a tag", linkEthernet, 60, eth + "8100 00", SkipCutShort},
		{"half an IPv4 header", linkRaw, 60, "45 00 003c 0000", SkipCutShort},
		{"half an IPv6 header", linkRaw, 60, "60000000 0014 06 40", SkipCutShort},
		{"IPv4 options cut", linkRaw, 60, "46 00 003c 0000 0000 40 06 0000" + from, SkipCutShort},
		{"half a SNAP header", linkEthernet, 60, eth + "0026 aaaa03 00", SkipCutShort},
		{"SNAP with a length for a type", linkEthernet, 0, eth + "0026 aaaa03 000000 0010 0000", SkipNotIP},
		{"ICMP echo, cut", linkRaw, 60, "45 00 003c 0000 0000 40 01 0000" + from + "0800", SkipICMP},
		{"ICMP error, cut", linkRaw, 60, "45 00 003c 0000 0000 40 01 0000" + from + "0303", SkipCutShort},
		{"ICMP of 4 octets", linkRaw, 0, "45 00 0018 0000 0000 40 01 0000" + from + "0303 0000", SkipMalformed},
		{"VXLAN whose UDP length is 4", linkRaw, 0, "45 00 002c 0000 0000 40 11 0000" + from + "0035 12b5 0004 0000 08000000 00000000 0000000000000000", SkipUDP},
		{"IPv4 with a header of authentication too long", linkRaw, 0, "45 00 0020 0000 0000 40 33 0000" + from + "06 04 0000 00000001 00000001", SkipMalformed},
		{"IPv4 with IPv6's fragments behind authentication", linkRaw, 0, "45 00 0034 0000 0000 40 33 0000" + from + "2c 01 0000 00000001 00000001 06 00 0001 00000001 000000000000000000000000", SkipMalformed},
		{"jumbo option behind padding, past the frame", linkRaw, 0, "60000000 0000 00 40" + six + "06 01 00 01 01 00 c204 00013880 000000000000" + tcp, SkipMalformed},
		{"hop-by-hop option past its header", linkRaw, 0, "60000000 0000 00 40" + six + "3b 00 05 09 00000000", SkipProtocol},
		{"hop-by-hop header cut", linkRaw, 60, "60000000 0000 00 40" + six + "3b", SkipCutShort},
		{"IPv6 extension past the packet", linkRaw, 0, "60000000 0014 3c 40" + six + "06 ff 00 00 00000000 000000000000000000000000", SkipMalformed},
		{"IPv6 extension of 4 octets", linkRaw, 0, "60000000 0004 3c 40" + six + "06 00 00 00", SkipMalformed},
		{"TCP header of 16 octets", linkRaw, 0, "45 00 0024 0000 0000 40 06 0000" + from + "9c40 01bb 00000fa1 00000065 4010 0100", SkipMalformed},
		{"TCP data offset of 4", linkRaw, 0, "45 00 0028 0000 0000 40 06 0000" + from + "9c40 01bb 00000fa1 00000065 4010 0100 0000 0000", SkipMalformed},
		{"TCP data offset past the segment", linkRaw, 0, "45 00 0028 0000 0000 40 06 0000" + from + "9c40 01bb 00000fa1 00000065 6010 0100 0000 0000", SkipMalformed},
		{"cut before the flags", linkRaw, 40, "45 00 0028 0000 0000 40 06 0000" + from + "9c40 01bb 00000fa1 00000065 50", SkipCutShort},
		{"IPv6 in a tunnel for IPv4", linkRaw, 0, "45 00 003c 0000 0000 40 04 0000" + from + "60000000 0000 3b 40" + six, SkipMalformed},
		{"nothing in a tunnel", linkRaw, 0, "45 00 0014 0000 0000 40 04 0000" + from, SkipMalformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := testPacket(c.link, unhex(c.packet))
			if c.length != 0 {
				p.Length = c.length
			}
			if r := decodeOne(t, newTestDecoder(), p); r.Kind != Skipped || r.Skip != c.want {
				t.Errorf("got %d, %q; want %q", r.Kind, r.Skip, c.want)
			}
		})
	}
}

func TestSkipNames(t *testing.T) {
	var names []string
	for _, s := range Skips() {
		names = append(names, s.String())
	}
	if slices.Contains(names, "") || len(slices.Compact(slices.Sorted(slices.Values(names)))) != int(NumSkips)-1 {
		t.Errorf("names are %q", names)
	}
}

// TestTunnelDepth holds that tunnels are followed eight deep.
func TestTunnelDepth(t *testing.T) {
	ip := serialize(testIP4(6), testTCP())
	for depth := 1; depth <= 9; depth++ {
		ip = serialize(testIP4(4), octets(ip))
		d := newTestDecoder()
		r := decodeOne(t, d, testPacket(linkRaw, ip))
		if depth > 8 {
			if r.Skip != SkipTooDeep {
				t.Errorf("%d deep: %+v", depth, r)
			}
			continue
		}
		want := Context{Tunnel: strings.Repeat("/ipip", depth)[1:]}
		if diff := cmp.Diff(want, d.Context(d.Segment.Context)); r.Kind != AsSegment || diff != "" {
			t.Errorf("%d deep: %+v (-want +got):\n%s", depth, r, diff)
		}
	}
}

// TestContexts holds that contexts are told apart up to a limit, beyond which they
// are others, and that their numbers stay.
func TestContexts(t *testing.T) {
	d := newTestDecoder()
	ip := serialize(testIP4(6), testTCP())
	frame := slices.Concat(unhex("020000000002 020000000001 88a8 0000 8100 0000 0800"), ip)
	enter := func(outer, inner int) uint32 {
		copy(frame[14:], be16(outer))
		copy(frame[18:], be16(inner))
		if r := decodeOne(t, d, testPacket(linkEthernet, frame)); r.Kind != AsSegment {
			t.Fatalf("skipped: %v", r.Skip)
		}
		return d.Segment.Context
	}
	seen := map[uint32]bool{}
	for outer := 1; outer < 20; outer++ {
		for inner := 1; inner < 4096; inner++ {
			id := enter(outer, inner)
			want := Context{VLANs: []uint16{uint16(outer), uint16(inner)}}
			switch {
			case outer <= 15:
				if seen[id] {
					t.Fatalf("VLAN %d.%d has the context of another", outer, inner)
				}
			case outer > 16:
				want = Context{Tunnel: "others"}
			default:
				continue
			}
			seen[id] = true
			if diff := cmp.Diff(want, d.Context(id)); diff != "" {
				t.Fatalf("VLAN %d.%d (-want +got):\n%s", outer, inner, diff)
			}
		}
	}
	if n := len(d.contexts.layers); n > maxContexts {
		t.Errorf("%d contexts are kept", n)
	}
	if got := d.Context(enter(3, 17)); !slices.Equal(got.VLANs, []uint16{3, 17}) {
		t.Errorf("an old context is %+v", got)
	}
}

func TestContextUnknown(t *testing.T) {
	if diff := cmp.Diff(Context{}, newTestDecoder().Context(12345)); diff != "" {
		t.Error(diff)
	}
}

// TestICMPNames holds each name to one error of a family.
func TestICMPNames(t *testing.T) {
	for k, name := range icmpNames {
		if typ, code, ok := ICMPCode(k.v6, name); !ok || typ != k.typ || code != k.code {
			t.Errorf("%s is of type %d, code %d, and type %d, code %d", name, k.typ, k.code, typ, code)
		}
	}
	for _, test := range []struct {
		v6        bool
		typ, code uint8
		want      string
	}{
		{false, 3, 3, "port-unreachable"},
		{true, 1, 4, "port-unreachable"},
		{false, 3, 99, "unreachable"},
		{true, 1, 99, "unreachable"},
		{true, 2, 1, "too-big"},
		{false, 11, 2, "time-exceeded"},
		{true, 3, 2, "time-exceeded"},
		{false, 99, 0, "unknown"},
	} {
		if got := ICMPName(test.v6, test.typ, test.code); got != test.want {
			t.Errorf("type %d, code %d: %s, want %s", test.typ, test.code, got, test.want)
		}
	}
}

func TestICMP(t *testing.T) {
	segment := serialize(testIP4(6), testTCP(), octets("payload"))
	segment6 := serialize(testIP6(6), testTCP(), octets("payload"))
	fragment := bytes.Clone(segment)
	fragment[7] = 1
	router := func(msg string, quote []byte) []byte {
		ip := testIP4(1)
		ip.SrcIP, ip.DstIP = []byte{203, 0, 113, 9}, client4
		return serialize(ip, octets(slices.Concat(unhex(msg), quote)))
	}
	router6 := func(msg string, quote []byte) []byte {
		ip := testIP6(58)
		ip.SrcIP, ip.DstIP = server6, client6
		return serialize(ip, octets(slices.Concat(unhex(msg), quote)))
	}
	quoted := ICMPError{
		Time: 7, Frame: 1, From: addr([]byte{203, 0, 113, 9}), Type: 3, Code: 3,
		Src: addr(client4), Dst: addr(server4), SrcPort: 40000, DstPort: 443, Seq: 1000,
	}
	quoted6 := ICMPError{
		Time: 7, Frame: 1, From: addr(server6), V6: true, Type: 1, Code: 4,
		Src: addr(client6), Dst: addr(server6), SrcPort: 40000, DstPort: 443, Seq: 1000,
	}
	typed := func(e ICMPError, typ, code uint8) *ICMPError { e.Type, e.Code = typ, code; return &e }
	options := slices.Concat(segment6[:6], unhex("3c"), segment6[7:40], unhex("0600010400000000"), segment6[40:])
	for _, c := range []struct {
		name   string
		packet []byte
		want   *ICMPError // nil: skipped as ICMP
	}{
		{"port unreachable, all quoted", router("0303 0000 00000000", segment), &quoted},
		{"port unreachable, 8 octets quoted", router("0303 0000 00000000", segment[:28]), &quoted},
		{"7 octets quoted", router("0303 0000 00000000", segment[:27]), nil},
		{"no header quoted", router("0303 0000 00000000", segment[:19]), nil},
		{"fragmentation needed", router("0304 0000 000005dc", segment[:28]), typed(quoted, 3, 4)},
		{"source quench", router("0400 0000 00000000", segment[:28]), typed(quoted, 4, 0)},
		{"time exceeded", router("0b00 0000 00000000", segment[:28]), typed(quoted, 11, 0)},
		{"parameter problem", router("0c00 0000 00000000", segment[:28]), typed(quoted, 12, 0)},
		{"redirect", router("0501 0000 cb007101", segment[:28]), nil},
		{"a later fragment quoted", router("0303 0000 00000000", fragment[:28]), nil},
		{"UDP quoted", router("0303 0000 00000000", serialize(testIP4(17), octets("12345678"))), nil},
		{"IPv6 quoted by ICMP", router("0303 0000 00000000", segment6), nil},
		{"ICMPv6 port unreachable", router6("0104 0000 00000000", segment6), &quoted6},
		{"ICMPv6 too big", router6("0200 0000 000005dc", segment6[:48]), typed(quoted6, 2, 0)},
		{"ICMPv6, extension header quoted", router6("0300 0000 00000000", options), typed(quoted6, 3, 0)},
		{"neighbor solicitation", router6("8700 0000 00000000", segment6), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newTestDecoder()
			r := decodeOne(t, d, testPacket(linkRaw, c.packet))
			if c.want == nil {
				if r.Skip != SkipICMP {
					t.Errorf("got %+v", r)
				}
				return
			}
			if r.Kind != AsICMP {
				t.Fatalf("skipped: %v", r.Skip)
			}
			if diff := cmp.Diff(*c.want, d.ICMP); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestSegmentSize holds that the garbage collector need not look into segments,
// and that they stay as small as they are: batches of them are copied about.
func TestSegmentSize(t *testing.T) {
	typ := reflect.TypeFor[Segment]()
	if typ.Size() > 104 {
		t.Errorf("%d octets", typ.Size())
	}
	for i := range typ.NumField() {
		f := typ.Field(i)
		kind := f.Type.Kind()
		if kind == reflect.Array {
			kind = f.Type.Elem().Kind()
		}
		if kind < reflect.Bool || kind > reflect.Uint64 {
			t.Errorf("%s may have pointers", f.Name)
		}
	}
}

func TestDecodeAllocs(t *testing.T) {
	packets := map[string]*capture.Packet{
		"ICMP": testPacket(linkRaw, serialize(testIP4(1), octets(slices.Concat(unhex("0303 0000 00000000"), serialize(testIP4(6), testTCP()))))),
		"UDP":  testPacket(linkRaw, serialize(testIP4(17), octets("12345678"))),
		"ARP":  testPacket(linkEthernet, unhex("020000000002 020000000001 0806 0001 0800 0604")),
	}
	for _, ip := range [][]byte{
		serialize(testIP4(6), testTCP(nop, nop, timestamps), octets("payload")),
		serialize(testIP6(6), testTCP(option(34, 1, 2, 3, 4)), octets("payload")),
		serialize(testIP6(0), octets(slices.Concat(unhex("06 00 0502 0000 0100"), serialize(testIP6(6), testTCP())[40:]))),
	} {
		for _, e := range encapsulations(ip) {
			p := testPacket(e.link, e.frame)
			packets[fmt.Sprintf("IPv%d in %s", ip[0]>>4, e.name)] = p
			cut := *p
			cut.Data = p.Data[:len(p.Data)-12]
			packets[fmt.Sprintf("IPv%d in %s, cut", ip[0]>>4, e.name)] = &cut
		}
	}
	d := newTestDecoder()
	for name, p := range packets {
		if n := testing.AllocsPerRun(100, func() { d.Decode(p) }); n != 0 {
			t.Errorf("%s: %v allocations per packet", name, n)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, c := range []struct {
		name   string
		packet *capture.Packet
	}{
		{"ack", testPacket(linkEthernet, serialize(ethernet(layers.EthernetTypeIPv4), testIP4(6), testTCP(nop, nop, timestamps)))},
		{"data-1448", testPacket(linkEthernet, serialize(ethernet(layers.EthernetTypeIPv4), testIP4(6), testTCP(nop, nop, timestamps), octets(make([]byte, 1448))))},
		{"ipv6-ack", testPacket(linkEthernet, serialize(ethernet(layers.EthernetTypeIPv6), testIP6(6), testTCP(nop, nop, timestamps)))},
		{"vlan", testPacket(linkEthernet, slices.Concat(unhex("020000000002 020000000001 8100 0064 0800"), serialize(testIP4(6), testTCP(nop, nop, timestamps))))},
		{"udp", testPacket(linkEthernet, serialize(ethernet(layers.EthernetTypeIPv4), testIP4(17), octets("12345678")))},
	} {
		b.Run(c.name, func(b *testing.B) {
			d, seg := NewDecoder(), new(Segment)
			b.ReportAllocs()
			for b.Loop() {
				d.Decode(c.packet, seg)
			}
		})
		b.Run(c.name+"-by-layers", func(b *testing.B) {
			d, seg := NewDecoder(), new(Segment)
			b.ReportAllocs()
			for b.Loop() {
				d.decode(c.packet, len(c.packet.Data), seg)
			}
		})
	}
}

// TestIPLen: IPLen is what the IP headers say, whatever is around the packet, and
// of fragments what the whole has.
func TestIPLen(t *testing.T) {
	const tcp = "9c40 01bb 00000fa1 00000065 5010 0100 0000 0000 61626364" // 4 octets of payload
	for _, c := range []struct {
		name    string
		link    uint32
		packets []string
		want    uint32
	}{
		{"IPv4, padded", linkEthernet, []string{"020000000002 020000000001 0800 4500 002c 1234 4000 4006 0000 c0000201 c6336402" + tcp + "0000"}, 44},
		{"IPv4 with options", linkRaw, []string{"4600 0030 1234 4000 4006 0000 c0000201 c6336402 01010100" + tcp}, 48},
		{"IPv4 without length", linkRaw, []string{"4500 0000 1234 4000 4006 0000 c0000201 c6336402" + tcp}, 44},
		{"IPv6", linkRaw, []string{"60000000 0018 06 40 20010db8000000000000000000000001 20010db8000000000000000000000002" + tcp}, 64},
		{"IPv6 with options", linkRaw, []string{"60000000 0020 3c 40 20010db8000000000000000000000001 20010db8000000000000000000000002 0600 010400000000" + tcp}, 72},
		{"IPv4 fragments", linkRaw, []string{
			"4500 002c 1234 2000 4006 0000 c0000201 c6336402" + tcp[:len(tcp)-8] + "61626364",
			"4500 0018 1234 0003 4006 0000 c0000201 c6336402 65666768",
		}, 48},
		{"IPv6 fragments", linkRaw, []string{
			"60000000 0020 2c 40 20010db8000000000000000000000001 20010db8000000000000000000000002 06000001 00000007" + tcp,
			"60000000 000c 2c 40 20010db8000000000000000000000001 20010db8000000000000000000000002 06000018 00000007 65666768",
		}, 68},
	} {
		d := newTestDecoder()
		var got uint32
		for _, p := range c.packets {
			if decodeOne(t, d, testPacket(c.link, unhex(p))).Kind == AsSegment {
				got = d.Segment.IPLen()
			}
		}
		if got != c.want {
			t.Errorf("%s: %d octets, want %d", c.name, got, c.want)
		}
	}
}
