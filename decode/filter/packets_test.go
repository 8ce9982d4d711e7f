package filter

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// be concatenates octets, numbers in network byte order, and what was made of them.
func be(parts ...any) []byte {
	var b []byte
	for _, p := range parts {
		switch p := p.(type) {
		case int: // one octet
			b = append(b, byte(p))
		case uint16:
			b = binary.BigEndian.AppendUint16(b, p)
		case uint32:
			b = binary.BigEndian.AppendUint32(b, p)
		case []byte:
			b = append(b, p...)
		case string: // an address, or hexadecimal digits
			if a, err := netip.ParseAddr(p); err == nil {
				b = append(b, a.AsSlice()...)
				continue
			}
			h, err := hex.DecodeString(strings.ReplaceAll(p, " ", ""))
			if err != nil {
				panic(err)
			}
			b = append(b, h...)
		default:
			panic("be: a part of an unknown type")
		}
	}
	return b
}

const (
	macA = "02 00 00 00 00 0a"
	macB = "02 00 00 00 00 0b"
)

func eth(typ uint16, payload ...any) []byte {
	return be(macB, macA, typ, be(payload...))
}

func ip4Packet(src, dst string, proto int, fragment uint16, options string, payload ...any) []byte {
	b := be(payload...)
	o := be(options)
	return be(0x45+len(o)/4, 0, uint16(20+len(o)+len(b)), "1234", fragment, 64, proto, "0000", src, dst, o, b)
}

func ip6Packet(src, dst string, next int, payload ...any) []byte {
	b := be(payload...)
	return be("60000000", uint16(len(b)), next, 64, src, dst, b)
}

func tcpSeg(sport, dport uint16, flags int, payload ...any) []byte {
	return be(sport, dport, "00000001 00000002", 0x50, flags, "faf0 0000 0000", be(payload...))
}

func udpDgram(sport, dport uint16, payload ...any) []byte {
	b := be(payload...)
	return be(sport, dport, uint16(8+len(b)), "0000", b)
}

func arpMsg(sender, target string) []byte {
	return be("0001 0800 06 04 0001", macA, sender, "000000000000", target)
}

// The pools from which packets are made and expressions ask, so that they meet.
var (
	pool4     = []string{"10.0.0.1", "10.0.0.2", "10.1.2.3", "192.168.1.77", "172.16.3.9", "224.0.0.251", "255.255.255.255", "0.0.0.0"}
	pool6     = []string{"::1", "2001:db8::1", "2001:db8:1::2", "fe80::1", "ff02::fb", "2001:db8:8000::9"}
	poolPorts = []uint16{22, 53, 80, 443, 1024, 8080, 65535, 0}
	poolVLAN  = []uint16{1, 5, 100, 4095, 0}
)

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

func randomBytes(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func randomTransport(r *rand.Rand) (proto int, b []byte) {
	s, d := pick(r, poolPorts), pick(r, poolPorts)
	data := randomBytes(r, r.IntN(24))
	switch r.IntN(9) {
	case 0, 1, 2:
		return 6, tcpSeg(s, d, pick(r, []int{0x02, 0x12, 0x10, 0x18, 0x11, 0x04, 0x14, 0xc2, 0x38, 0}), data)
	case 3, 4:
		return 17, udpDgram(s, d, data)
	case 5:
		return 132, be(s, d, "00000000 00000000", data)
	case 6:
		return 1, be(pick(r, []int{0, 3, 5, 8, 11}), r.IntN(4), "0000 00000000", data)
	case 7:
		return 58, be(pick(r, []int{1, 2, 128, 129, 134, 135}), r.IntN(4), "0000 00000000", data)
	}
	return pick(r, []int{2, 9, 103, 112, 50, 51, 47, 4, 41, 44, 0, 59}), data
}

// randomNetwork returns an Ethernet type and what it announces.
func randomNetwork(r *rand.Rand) (uint16, []byte) {
	proto, b := randomTransport(r)
	switch r.IntN(12) {
	case 0, 1, 2, 3, 4:
		options := pick(r, []string{"", "", "", "01010101", "01010101 01010101 01010101"})
		fragment := pick(r, []uint16{0, 0, 0, 0, 0x4000, 0x2000, 0x2001, 0x1fff, 0x8000})
		return etherIPv4, ip4Packet(pick(r, pool4), pick(r, pool4), proto, fragment, options, b)
	case 5, 6, 7, 8:
		if r.IntN(4) == 0 {
			return etherIPv6, ip6Packet(pick(r, pool6), pick(r, pool6), 44, proto, 0, uint16(r.Uint32()), "00000007", b)
		}
		if r.IntN(8) == 0 {
			return etherIPv6, ip6Packet(pick(r, pool6), pick(r, pool6), 0, proto, 0, "000000000000", b)
		}
		return etherIPv6, ip6Packet(pick(r, pool6), pick(r, pool6), proto, b)
	case 9:
		return etherARP, arpMsg(pick(r, pool4), pick(r, pool4))
	case 10:
		return etherRARP, arpMsg(pick(r, pool4), pick(r, pool4))
	}
	return pick(r, []uint16{0x88cc, 0x1234, 100, 0x42, 1500, 1501, etherPPPoED, 4}), randomBytes(r, r.IntN(60))
}

// wrap puts a header of a link type before a payload that an Ethernet type announces.
func wrap(r *rand.Rand, linkType uint32, typ uint16, b []byte) []byte {
	switch linkType {
	case 0, 108:
		family := uint32(2)
		switch typ {
		case etherIPv6:
			family = pick(r, []uint32{10, 10, 24, 28, 30})
		case etherIPv4:
		default:
			family = uint32(typ)
		}
		if linkType == 0 && r.IntN(4) != 0 {
			return be(binary.LittleEndian.AppendUint32(nil, family), b)
		}
		return be(family, b)
	case 1:
		dst := pick(r, []string{macA, macB, "ffffffffffff", "01005e0000fb", "333300000001"})
		return be(dst, pick(r, []string{macA, macB}), typ, b)
	case 113:
		return be("0000 0001 0006", macA, "0000", typ, b)
	case 276:
		return be(typ, "0000 00000001 0001 00 06", macA, "0000", b)
	}
	return b
}

// randomPacket makes a packet, perhaps with tags, labels and PPPoE around it, and perhaps cut.
func randomPacket(r *rand.Rand, linkType uint32) []byte {
	typ, b := randomNetwork(r)
	if r.IntN(6) == 0 {
		for i := range 1 + r.IntN(3) {
			label := pick(r, []uint32{3, 16, 1048575})<<12 | 64
			if i == 0 {
				label |= 1 << 8
			}
			b = be(label, b)
		}
		typ = etherMPLS
	}
	if r.IntN(6) == 0 {
		session := pick(r, []uint16{1, 77, 65535})
		inner := typ
		switch typ {
		case etherIPv4:
			inner = pppIPv4
		case etherIPv6:
			inner = pppIPv6
		case etherMPLS:
			inner = pppMPLS
		}
		b = be(0x11, 0, session, uint16(2+len(b)), inner, b)
		typ = etherPPPoES
	}
	if r.IntN(3) == 0 {
		for range 1 + r.IntN(3) {
			b = be(pick(r, poolVLAN)|uint16(r.IntN(8))<<13, typ, b)
			typ = pick(r, []uint16{etherVLAN, etherQinQ, etherQinQ1})
		}
	}
	p := wrap(r, linkType, typ, b)
	if r.IntN(4) == 0 {
		p = p[:r.IntN(len(p)+1)]
	}
	return p
}

// captured reads the packets of the project's captures, which are pcap files of this machine's byte order or not.
func captured(t testing.TB, linkType uint32) [][]byte {
	t.Helper()
	files, err := filepath.Glob("../../testdata/pcaps/*.pcap")
	if err != nil || len(files) == 0 {
		t.Fatal("no captures in testdata/pcaps: ", err)
	}
	r := rand.New(rand.NewPCG(3, 4))
	var packets [][]byte
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var order binary.ByteOrder = binary.LittleEndian
		switch b[0] {
		case 0xa1:
			order = binary.BigEndian
		case 0xd4, 0x4d:
		default:
			continue
		}
		typ := order.Uint32(b[20:])
		for b = b[24:]; len(b) >= 16; {
			n := int(order.Uint32(b[8:]))
			if n > len(b)-16 {
				break
			}
			p := b[16 : 16+n]
			b = b[16+n:]
			if typ != linkType {
				if typ != 1 || len(p) < 14 {
					continue
				}
				p = wrap(r, linkType, binary.BigEndian.Uint16(p[12:]), p[14:])
			}
			packets = append(packets, p)
		}
	}
	return packets
}
