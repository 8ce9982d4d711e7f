package decode

import (
	"errors"
	"io"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tcplife/decode/capture"
)

// A pair decodes what fast takes, and all of it by gopacket's layers.
type pair struct{ with, without *Decoder }

func newPair() pair { return pair{NewDecoder(), NewDecoder()} }

// same holds that both come to the same. It reports whether fast took the packet.
func (d pair) same(t testing.TB, p *capture.Packet) (took bool) {
	t.Helper()
	wire := int(min(max(p.Length, uint32(len(p.Data))), math.MaxInt32))
	var got, want, seg Segment
	r, r2 := d.with.Decode(p, &got), d.without.decode(p, wire, &want)
	if r != r2 || r.Kind == AsSegment && got != want || r.Kind == AsICMP && d.with.ICMP != d.without.ICMP {
		t.Fatalf("link type %d, %d octets, captured %x\n got %+v %+v\nwant %+v %+v", p.LinkType, p.Length, p.Data, r, got, r2, want)
	}
	if r.Kind != AsSegment {
		return false
	}
	if diff := cmp.Diff(d.without.Context(want.Context), d.with.Context(got.Context)); diff != "" {
		t.Fatalf("context (-want +got):\n%s", diff)
	}
	d.with.context, d.with.depth = 0, 0
	return d.with.fast(p, wire, &seg)
}

// TestFast holds what framing fast takes, and that it decodes that, and whatever
// comes of it by changing an octet or cutting it off, as gopacket's layers do.
func TestFast(t *testing.T) {
	taken := []string{
		"Ethernet", "802.1Q", "802.1Q, priority only", "802.1ad",
		"Linux cooked", "Linux cooked, address length a lie", "Linux cooked, 802.1Q", "Linux cooked 2", "Linux cooked 2, 802.1Q",
		"raw", "raw, BSD", "raw, OpenBSD", "raw, one version",
	}
	for name, ip := range map[string][]byte{
		"IPv4, timestamps":   serialize(testIP4(6), testTCP(nop, nop, timestamps), octets("payload")),
		"IPv4, no options":   serialize(testIP4(6), testTCP(), octets("payload")),
		"IPv6, timestamps":   serialize(testIP6(6), testTCP(nop, nop, timestamps)),
		"IPv6, SYN's":        serialize(testIP6(6), testTCP(option(2, 5, 0xb4), option(4), timestamps, nop, option(3, 7))),
		"IPv4, SACK of ours": serialize(testIP4(6), testTCP(nop, nop, timestamps, nop, nop, option(5, 0, 0, 8, 0, 0, 0, 9, 0))),
	} {
		typ := be16(map[byte]int{4: etherIPv4, 6: etherIPv6}[ip[0]>>4])
		for _, e := range append(
			encapsulations(ip),
			encapsulation{"Linux cooked, Netlink", linkSLL, slices.Concat(unhex("0000 0338 0000 0000000000000000"), typ, ip), Context{}},
			encapsulation{"Linux cooked 2, Netlink", linkSLL2, slices.Concat(typ, unhex("0000 00000003 0338 00 00 0000000000000000"), ip), Context{}},
			encapsulation{"Ethernet, nine tags", linkEthernet, slices.Concat(unhex(macs), slices.Repeat(unhex("8100 0001"), 9), typ, ip), Context{}},
		) {
			t.Run(name+" in "+e.name, func(t *testing.T) {
				p := testPacket(e.link, e.frame)
				if took := newPair().same(t, p); took != slices.Contains(taken, e.name) {
					t.Fatalf("taken: %v", took)
				} else if !took {
					return
				}
				d := newPair()
				for i, was := range e.frame {
					for _, b := range []byte{0, 1, 4, 5, 6, 0x45, 0x60, 0x81, 0xa8, 0xff, was ^ 0x10, was + 4, was - 4} {
						e.frame[i] = b
						d.same(t, p)
					}
					e.frame[i] = was
				}
				for n := range e.frame {
					p.Data = e.frame[:n]
					d.same(t, p)
					p.Length = uint32(n)
					d.same(t, p)
					p.Length = uint32(len(e.frame))
				}
				p.Data, p.Length = slices.Concat(e.frame, make([]byte, 6)), p.Length+6 // padding
				if !d.same(t, p) {
					t.Error("with padding: not taken")
				}
				for _, p.Length = range []uint32{0, 70000, math.MaxUint32} {
					d.same(t, p)
				}
			})
		}
	}
}

// TestFastCaptures compares the two on the sample captures.
func TestFastCaptures(t *testing.T) {
	files, err := filepath.Glob("../testdata/pcaps/*.pcap*")
	if err != nil || len(files) == 0 {
		t.Fatalf("no captures: %v", err)
	}
	segments, taken := 0, 0
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			d := newPair()
			eachPacket(t, file, func(p *capture.Packet) {
				segments++
				if d.same(t, p) {
					taken++
				}
			})
		})
	}
	if taken*10 < segments*9 {
		t.Errorf("%d of %d packets were taken", taken, segments)
	}
}

func eachPacket(t testing.TB, file string, f func(*capture.Packet)) {
	t.Helper()
	r, err := capture.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for {
		var p capture.Packet
		switch err := r.Next(&p); {
		case errors.Is(err, io.EOF):
			return
		case err != nil:
			t.Fatal(err)
		}
		f(&p)
	}
}

// FuzzFast compares the two on any packet, and on what is left of it when its end
// is cut off.
func FuzzFast(f *testing.F) {
	for _, ip := range [][]byte{
		serialize(testIP4(6), testTCP(nop, nop, timestamps), octets("payload")),
		serialize(testIP6(6), testTCP(option(2, 5, 0xb4), option(4), timestamps, nop, option(3, 7))),
	} {
		for _, e := range encapsulations(ip) {
			f.Add(e.link, uint32(0), e.frame)
		}
	}
	files, err := filepath.Glob("../testdata/pcaps/*.pcap*")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		n := 0
		eachPacket(f, file, func(p *capture.Packet) {
			if n++; n%8 == 1 && len(p.Data) < 200 {
				f.Add(p.LinkType, p.Length-uint32(len(p.Data)), slices.Clone(p.Data))
			}
		})
	}
	f.Fuzz(func(t *testing.T, link, more uint32, data []byte) {
		d := newPair()
		p := testPacket(link, data)
		p.Length += more // may wrap: what a file says of it may be anything
		d.same(t, p)
		p.Data = data[:len(data)-len(data)/8]
		d.same(t, p)
	})
}
