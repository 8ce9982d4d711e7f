package decode

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"tcplife/decode/capture"
)

// A part is one fragment: octets from..to of a datagram, the last one or not.
type part struct {
	from, to int
	last     bool
}

// fragment4 returns a fragment of an IPv4 packet.
func fragment4(ip []byte, p part) []byte {
	b := slices.Concat(ip[:20], ip[20+p.from:20+p.to])
	copy(b[2:], be16(len(b)))
	f := p.from / 8
	if !p.last {
		f |= 1 << 13
	}
	copy(b[6:], be16(f))
	return b
}

// fragment6 returns a fragment of an IPv6 packet.
func fragment6(ip []byte, p part) []byte {
	offset := p.from
	if !p.last {
		offset |= 1
	}
	b := slices.Concat(ip[:40], []byte{ip[6], 0}, be16(offset), unhex("0000 1234"), ip[40+p.from:40+p.to])
	b[6] = protoFragment
	copy(b[4:], be16(len(b)-40))
	return b
}

// parts splits n octets into fragments of size.
func parts(n, size int) (all []part) {
	for from := 0; from < n; from += size {
		to := min(from+size, n)
		all = append(all, part{from, to, to == n})
	}
	return all
}

func TestFragments(t *testing.T) {
	whole := serialize(testIP4(6), testTCP(nop, nop, timestamps), octets(make([]byte, 1000))) // 1032 octets
	short := serialize(testIP4(6), testTCP(nop, nop, timestamps), octets("payload"))          // 39
	segment := func(n uint32, frames ...int) Segment {
		s := testSegment(client4, server4, n)
		s.Opts, s.TSVal, s.TSEcr, s.Checksum = OptTimestamps, 9, 8, ChecksumUnknown
		s.Wire = uint32(len(frames) * 20)
		for _, f := range frames {
			s.Wire += uint32(f)
		}
		return s
	}
	good := func(s Segment) Segment { s.Checksum = ChecksumGood; return s }
	for _, c := range []struct {
		name  string
		ip    []byte
		parts []part
		want  []Skip // of each fragment, and SkipNone for the one that yields the segment
		seg   Segment
	}{
		{
			"in order", whole, parts(1032, 552),
			[]Skip{SkipFragment, SkipNone},
			segment(1000, 552, 480),
		},
		{
			"last first", whole,
			[]part{{800, 1032, true}, {400, 800, false}, {0, 400, false}},
			[]Skip{SkipFragment, SkipFragment, SkipNone},
			segment(1000, 232, 400, 400),
		},
		{
			"middle last", whole,
			[]part{{0, 400, false}, {800, 1032, true}, {400, 800, false}},
			[]Skip{SkipFragment, SkipFragment, SkipNone},
			segment(1000, 400, 232, 400),
		},
		{
			"last of less than 8 octets", whole,
			[]part{{0, 1024, false}, {1024, 1030, true}},
			[]Skip{SkipFragment, SkipNone},
			segment(998, 1024, 6),
		},
		{
			"header in two fragments, all octets kept", short, parts(39, 16),
			[]Skip{SkipFragment, SkipFragment, SkipNone},
			good(segment(7, 16, 16, 7)),
		},
		{
			"captured twice each", whole,
			[]part{{0, 552, false}, {0, 552, false}, {552, 1032, true}, {552, 1032, true}},
			[]Skip{SkipFragment, SkipFragment, SkipNone, SkipFragment},
			segment(1000, 552, 480),
		},
		{
			"another with its identification, at once", whole,
			[]part{{0, 552, false}, {552, 1000, true}, {552, 1032, true}, {0, 552, false}},
			[]Skip{SkipFragment, SkipNone, SkipFragment, SkipNone},
			segment(968, 552, 448),
		},
		{
			"a copy that is shorter", whole,
			[]part{{0, 552, false}, {0, 64, false}, {552, 1032, true}},
			[]Skip{SkipFragment, SkipFragment, SkipNone},
			segment(1000, 552, 480),
		},
		{
			"first of 8 octets", whole,
			[]part{{0, 8, false}, {8, 1032, true}},
			[]Skip{SkipFragment, SkipNone},
			segment(1000, 8, 1024),
		},
		{
			"all of 8 octets, the header's last", short,
			[]part{{32, 39, true}, {24, 32, false}, {16, 24, false}, {8, 16, false}, {0, 8, false}},
			[]Skip{SkipFragment, SkipFragment, SkipFragment, SkipFragment, SkipNone},
			good(segment(7, 7, 8, 8, 8, 8)),
		},
		{
			"overlap", whole,
			[]part{{0, 552, false}, {544, 1032, true}, {552, 1032, true}},
			[]Skip{SkipFragment, SkipNone, SkipFragment},
			segment(1000, 552, 488),
		},
		{
			"overlap from behind", whole,
			[]part{{552, 1032, true}, {0, 560, false}},
			[]Skip{SkipFragment, SkipNone},
			segment(1000, 480, 560),
		},
		{
			"overlap of the header", short,
			[]part{{0, 24, false}, {16, 39, true}},
			[]Skip{SkipFragment, SkipNone},
			good(segment(7, 24, 23)),
		},
		{
			"one over all others", whole,
			[]part{{552, 800, false}, {824, 832, false}, {0, 1024, false}, {1024, 1032, true}},
			[]Skip{SkipFragment, SkipFragment, SkipFragment, SkipNone},
			segment(1000, 248, 8, 1024, 8),
		},
		{
			"not the last, not a multiple of 8", whole,
			[]part{{0, 550, false}},
			[]Skip{SkipMalformed},
			Segment{},
		},
		{
			"empty", whole,
			[]part{{8, 8, false}},
			[]Skip{SkipMalformed},
			Segment{},
		},
		{
			"two that are the last", whole,
			[]part{{552, 800, true}, {800, 1032, true}},
			[]Skip{SkipFragment, SkipMalformed},
			Segment{},
		},
		{
			"one behind the last", whole,
			[]part{{552, 800, true}, {800, 1024, false}},
			[]Skip{SkipFragment, SkipMalformed},
			Segment{},
		},
		{
			"last, but before another", whole,
			[]part{{800, 1024, false}, {552, 800, true}},
			[]Skip{SkipFragment, SkipMalformed},
			Segment{},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newTestDecoder()
			for i, part := range c.parts {
				p := testPacket(linkRaw, fragment4(c.ip, part))
				p.Frame, p.Time = uint64(i+1), capture.Time(i)
				r := decodeOne(t, d, p)
				if r.Skip != c.want[i] {
					t.Errorf("fragment %d: %q, want %q", i+1, r.Skip, c.want[i])
				}
				if r.Kind == AsSegment && i == slices.Index(c.want, SkipNone) {
					c.seg.Frame, c.seg.Time = p.Frame, p.Time
					if diff := cmp.Diff(c.seg, d.Segment, lengthAside); diff != "" {
						t.Errorf("(-want +got):\n%s", diff)
					}
				}
			}
		})
	}
}

// TestPingOfDeath holds that a datagram of more than 65,535 octets is none.
func TestPingOfDeath(t *testing.T) {
	ip := serialize(testIP4(6), testTCP(), octets(make([]byte, 100)))
	b := fragment4(ip, part{0, 120, true})
	copy(b[6:], be16(0x1fff))
	if r := decodeOne(t, newTestDecoder(), testPacket(linkRaw, b)); r.Skip != SkipMalformed {
		t.Errorf("got %+v", r)
	}
}

// TestTooManyPieces holds that a datagram in more pieces than are kept is given up.
func TestTooManyPieces(t *testing.T) {
	ip := serialize(testIP4(6), testTCP(), octets(make([]byte, 1000)))
	d := newTestDecoder()
	for i := range maxPieces + 1 {
		want := SkipFragment
		if i == maxPieces {
			want = SkipMalformed
		}
		b := fragment4(ip, part{16 * i, 16*i + 8, false})
		if r := decodeOne(t, d, testPacket(linkRaw, b)); r.Skip != want {
			t.Errorf("piece %d: %q, want %q", i+1, r.Skip, want)
		}
	}
}

// TestFragmentsInside holds that what a datagram turns out to be, once it is
// complete, need not be a segment.
func TestFragmentsInside(t *testing.T) {
	for _, c := range []struct {
		name, datagram string // beginning with destination options
		want           Skip
	}{
		{"UDP", "11 00 010400000000 0035 9c40 0018 0000 00000000 00000000 00000000 00000000", SkipUDP},
		{"another fragment", "2c 00 010400000000 06 00 0001 00000001 9c40 01bb 00000fa1 00000065 5010 0100", SkipMalformed},
		{"a header past its end", "3c ff 010400000000 00000000 00000000 00000000 00000000 00000000 00000000", SkipMalformed},
	} {
		data := unhex(c.datagram)
		ip := slices.Concat(unhex("60000000 0000 3c 40"), client6, server6, data)
		d := newTestDecoder()
		for _, part := range parts(len(data), 16) {
			want := SkipFragment
			if part.last {
				want = c.want
			}
			if r := decodeOne(t, d, testPacket(linkRaw, fragment6(ip, part))); r.Skip != want {
				t.Errorf("%s: %q, want %q", c.name, r.Skip, want)
			}
		}
	}
}

// TestFragmentsOther counts fragments of other protocols as theirs.
func TestFragmentsOther(t *testing.T) {
	ip := serialize(testIP4(6), testTCP(), octets(make([]byte, 100)))
	for proto, want := range map[byte]Skip{1: SkipICMP, 17: SkipUDP, 4: SkipFragment, 47: SkipFragment, 50: SkipESP, 89: SkipProtocol, 60: SkipProtocol} {
		b := fragment4(ip, part{0, 64, false})
		b[9] = proto
		if r := decodeOne(t, newTestDecoder(), testPacket(linkRaw, b)); r.Skip != want {
			t.Errorf("protocol %d: %q, want %q", proto, r.Skip, want)
		}
	}
}

// TestFragmentsCut holds that what the snapshot length took is known from the
// lengths in the IP headers.
func TestFragmentsCut(t *testing.T) {
	ip := serialize(testIP4(6), testTCP(nop, nop, timestamps), octets(make([]byte, 1000)))
	for captured, opts := range map[int]Opts{20 + 24: OptCut | OptUnknown, 20 + 32: OptTimestamps, 20 + 100: OptTimestamps} {
		d := newTestDecoder()
		for _, part := range parts(1032, 552) {
			p := testPacket(linkRaw, fragment4(ip, part))
			p.Data = p.Data[:captured]
			if r := decodeOne(t, d, p); r.Kind == AsSegment != part.last {
				t.Errorf("%d octets captured: %+v", captured, r)
			}
		}
		if s := d.Segment; s.Len != 1000 || !s.Cut || s.Opts != opts || s.Checksum != ChecksumUnknown {
			t.Errorf("%d octets captured: %+v", captured, s)
		}
	}
}

// TestFragmentsTime holds that fragments that lie too far apart are of two
// datagrams.
func TestFragmentsTime(t *testing.T) {
	ip := serialize(testIP4(6), testTCP(), octets(make([]byte, 1000)))
	two := parts(1020, 552)
	for _, c := range []struct {
		name string
		gap  time.Duration
		want Kind
	}{
		{"30 s", 30 * time.Second, AsSegment},
		{"a little more", 30*time.Second + 1, Skipped},
		{"backwards", -time.Hour, AsSegment},
	} {
		d := newTestDecoder()
		p := testPacket(linkRaw, fragment4(ip, two[0]))
		decodeOne(t, d, p)
		p = testPacket(linkRaw, fragment4(ip, two[1]))
		p.Time = p.Time.Add(c.gap)
		if r := decodeOne(t, d, p); r.Kind != c.want {
			t.Errorf("%s: %+v", c.name, r)
		}
	}

	// The identification comes again when the datagram that had it is complete.
	d := newTestDecoder()
	for round := range 3 {
		for _, part := range two {
			p := testPacket(linkRaw, fragment4(ip, part))
			p.Time = capture.Time(round) * capture.Time(time.Second)
			if r := decodeOne(t, d, p); (r.Kind == AsSegment) != part.last {
				t.Errorf("round %d: %+v", round+1, r)
			}
		}
	}
}

// TestFragmentsBounded holds that datagrams that are never complete push out each
// other, the oldest first, and cost no more.
func TestFragmentsBounded(t *testing.T) {
	ip := serialize(testIP4(6), testTCP(), octets(make([]byte, 1000)))
	two := parts(1020, 552)
	d := newTestDecoder()
	send := func(id int, p part) Result {
		b := fragment4(ip, p)
		copy(b[4:], be16(id))
		return decodeOne(t, d, testPacket(linkRaw, b))
	}
	const n = 3 * maxDatagrams
	for id := range n {
		send(id, two[0])
	}
	if len(d.frags.slots) != maxDatagrams || len(d.frags.byKey) != maxDatagrams {
		t.Errorf("%d datagrams, %d keys", len(d.frags.slots), len(d.frags.byKey))
	}
	if r := send(n-maxDatagrams, two[1]); r.Kind != AsSegment {
		t.Errorf("the oldest that should be there: %+v", r)
	}
	if r := send(n-maxDatagrams-1, two[1]); r.Kind == AsSegment {
		t.Error("the youngest that should be gone is there")
	}
	p := testPacket(linkRaw, fragment4(ip, two[0]))
	if n := testing.AllocsPerRun(100, func() {
		p.Data[5]++ // the identification
		d.Decode(p)
	}); n != 0 {
		t.Errorf("%v allocations per fragment", n)
	}
}

// TestFragmentsTogether interleaves datagrams that differ in one thing each.
func TestFragmentsTogether(t *testing.T) {
	ip := serialize(testIP4(6), testTCP(), octets(make([]byte, 1000)))
	two := parts(1020, 552)
	vlan := func(id byte, b []byte) *capture.Packet {
		return testPacket(linkEthernet, slices.Concat(unhex("020000000002 020000000001 8100 00"), []byte{id}, unhex("0800"), b))
	}
	with := func(at int, v byte, b []byte) []byte { b[at] = v; return b }
	for name, make := range map[string][2]func(part) *capture.Packet{
		"identification": {
			func(p part) *capture.Packet { return testPacket(linkRaw, with(5, 1, fragment4(ip, p))) },
			func(p part) *capture.Packet { return testPacket(linkRaw, with(5, 2, fragment4(ip, p))) },
		},
		"source": {
			func(p part) *capture.Packet { return testPacket(linkRaw, with(15, 1, fragment4(ip, p))) },
			func(p part) *capture.Packet { return testPacket(linkRaw, with(15, 2, fragment4(ip, p))) },
		},
		"VLAN": {
			func(p part) *capture.Packet { return vlan(1, fragment4(ip, p)) },
			func(p part) *capture.Packet { return vlan(2, fragment4(ip, p)) },
		},
	} {
		d := newTestDecoder()
		for _, part := range two {
			for i, make := range make {
				if r := decodeOne(t, d, make(part)); (r.Kind == AsSegment) != part.last {
					t.Errorf("%s, datagram %d: %+v", name, i+1, r)
				}
			}
		}
	}
}

// TestFragmentsAnyOrder cuts segments anywhere, and lets the fragments come in any
// order, some of them twice: the segment comes once, as if it had never been cut.
func TestFragmentsAnyOrder(t *testing.T) {
	destination := unhex("06 00 010400000000")
	rapid.Check(t, func(t *rapid.T) {
		payload := octets(rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "payload"))
		tcp := testTCP(nop, nop, timestamps)
		fragment := fragment4
		ip := serialize(testIP4(6), tcp, payload)
		header := 20
		if rapid.Bool().Draw(t, "IPv6") {
			ip, header, fragment = serialize(testIP6(6), tcp, payload), 40, fragment6
			if rapid.Bool().Draw(t, "destination options") {
				ip = slices.Concat(ip[:40], destination, ip[40:])
				ip[6] = protoDestination
				copy(ip[4:], be16(len(ip)-40))
			}
		}
		d := newTestDecoder()
		if r := d.Decode(testPacket(linkRaw, ip)); r.Kind != AsSegment {
			t.Fatalf("whole: %+v", r)
		}
		want := d.Segment
		want.Wire = 0

		var all []part
		n := len(ip) - header
		for from := 0; from < n; {
			to := min(n, from+8*rapid.IntRange(1, 20).Draw(t, "units"))
			all = append(all, part{from, to, to == n})
			from = to
		}
		if len(all) > maxPieces {
			all = append(all[:maxPieces-1], part{all[maxPieces-1].from, n, true})
		}
		if len(all) == 1 {
			t.Skip("not cut")
		}
		order := rapid.Permutation(all).Draw(t, "order")
		for range rapid.IntRange(0, 3).Draw(t, "copies") {
			at := rapid.IntRange(0, len(order)-1).Draw(t, "copy")
			order = slices.Insert(order, at, order[at])
		}
		missing := map[part]bool{}
		for _, p := range all {
			missing[p] = true
		}
		segments := 0
		for i, part := range order {
			p := testPacket(linkRaw, fragment(ip, part))
			p.Frame = uint64(i + 1)
			r := d.Decode(p)
			if missing[part] {
				want.Wire += p.Length
			}
			delete(missing, part)
			if r.Kind != AsSegment {
				if r.Skip != SkipFragment {
					t.Fatalf("%v: %+v", part, r)
				}
				continue
			}
			segments++
			want.Frame = p.Frame
			if len(missing) != 0 {
				t.Fatalf("segment, but %v are missing", missing)
			}
			if d.Segment.Checksum == ChecksumUnknown && n > maxHead {
				want.Checksum = ChecksumUnknown
			}
			if diff := cmp.Diff(want, d.Segment, lengthAside); diff != "" {
				t.Fatalf("(-want +got):\n%s", diff)
			}
		}
		if segments != 1 {
			t.Fatalf("%d segments", segments)
		}
	})
}

// FuzzFragments feeds fragments of a few datagrams: three octets each say what
// and where. Whatever they are, the bounds hold, and a segment has no more octets
// than its fragments.
func FuzzFragments(f *testing.F) {
	f.Add([]byte{0x00, 0, 3, 0x40, 3, 40})
	f.Add([]byte{0x40, 3, 40, 0x00, 0, 3})
	f.Add([]byte{0x80, 0, 8, 0x80, 8, 8, 0xc0, 16, 1})
	f.Add([]byte{0x00, 0, 4, 0x00, 3, 4, 0x40, 7, 1})
	tcp := serialize(testIP4(6), testTCP(nop, nop, timestamps), octets(make([]byte, 256*8)))[20:]
	f.Fuzz(func(t *testing.T, script []byte) {
		d, again := newTestDecoder(), newTestDecoder()
		var now capture.Time
		wire := 0
		for script = script[:min(len(script), 300)]; len(script) >= 3; script = script[3:] {
			what, from, n := script[0], int(script[1]), int(script[2])
			now = now.Add(time.Duration(what&7) * time.Second)
			p := part{from: from * 8, to: from*8 + n, last: what&0x40 != 0}
			if !p.last {
				p.to = from*8 + min(n, 100)*8
			}
			data := slices.Concat(tcp, tcp[:0])
			for len(data) < p.to {
				data = append(data, tcp...)
			}
			var b []byte
			if what&0x80 != 0 {
				b = fragment6(slices.Concat(unhex("60000000 0000 06 40"), client6, server6, data), p)
			} else {
				b = fragment4(slices.Concat(unhex("45 00 0000 1234 0000 40 06 0000 c0000201 c6336402"), data), p)
			}
			b[len(b)-1] ^= what & 0x20
			if what&0x10 != 0 {
				b[len(b)-1]++
			}
			pkt := testPacket(linkRaw, b)
			pkt.Time = now
			if what&0x08 != 0 {
				pkt.Data = b[:max(len(b)-from, 0)]
			}
			wire += len(b)
			r, r2 := decodeOne(t, d, pkt), again.Decode(pkt)
			if r != r2 || d.Segment != again.Segment {
				t.Fatalf("%+v, then %+v", r, r2)
			}
			if r.Kind == AsSegment {
				s := &d.Segment
				if s.Len > 1<<16 || int(s.Len) > wire || int(s.Wire) > wire {
					t.Fatalf("%d octets from %d captured: %+v", s.Len, wire, *s)
				}
			}
		}
		for i := range d.frags.slots {
			r := &d.frags.slots[i]
			for j, p := range r.pieces[:r.n] {
				if p.from >= p.to || j > 0 && r.pieces[j-1].to >= p.from {
					t.Fatalf("pieces %v", r.pieces[:r.n])
				}
			}
		}
	})
}

// FuzzDecode decodes anything, twice with the same decoder and once with another,
// whole and cut.
func FuzzDecode(f *testing.F) {
	for _, ip := range [][]byte{
		serialize(testIP4(6), testTCP(nop, nop, timestamps, option(5, 0, 0, 8, 0, 0, 0, 9, 0)), octets("payload")),
		serialize(testIP6(6), testTCP(option(2, 5, 180), option(3, 7), option(34, 1, 2, 3, 4)), octets("payload")),
		serialize(testIP6(0), octets(slices.Concat(unhex("06 00 0502 0000 0100"), serialize(testIP6(6), testTCP())[40:]))),
		serialize(testIP4(1), octets(slices.Concat(unhex("0303 0000 00000000"), serialize(testIP4(6), testTCP())))),
		serialize(testIP6(58), octets(slices.Concat(unhex("0104 0000 00000000"), serialize(testIP6(6), testTCP())))),
		serialize(testIP4(51), octets(slices.Concat(unhex("06 04 0000 00000001 00000001 000000000000000000000000"), serialize(testIP4(6), testTCP())[20:]))),
		serialize(testIP6(43), octets(slices.Concat(unhex("06 04 00 01 00000000 20010db8000000000000000000000077 20010db8000000000000000000000088"), serialize(testIP6(6), testTCP())[40:]))),
		fragment4(serialize(testIP4(6), testTCP(), octets(make([]byte, 40))), part{0, 32, false}),
		fragment6(serialize(testIP6(6), testTCP(), octets(make([]byte, 40))), part{32, 60, true}),
	} {
		for _, e := range encapsulations(ip) {
			f.Add(e.link, uint32(0), e.frame)
		}
	}
	for _, b := range [][]byte{ // what only looks like tunnels
		outerUDP(2152, 2152, unhex("34 ff 0008 00000001 0000 00 85 02 000000")),
		outerUDP(53, 4754, unhex("1234 8180 0001 0001 0000 0000")),
		outerIP(protoGRE, unhex("4000 0800 00000000 0800 00 04 0a000003")),
		fragment4(outerUDP(50000, 4789, unhex("08000000 000064 00"), make([]byte, 40)), part{0, 32, false}),
	} {
		f.Add(uint32(linkRaw), uint32(0), b)
	}
	f.Add(uint32(linkRadiotap), uint32(0), unhex("00 00 0c00 00000080 00000080"))
	f.Add(uint32(linkPPI), uint32(0), slices.Repeat(unhex("00 00 0800 c0000000"), 9))
	f.Add(uint32(linkRaw), uint32(70000), unhex("45 00 0000 1234 4000 40 06 0000 c0000201 c6336402 9c40 01bb 00000fa1 00000065 5010 0100 0000 0000"))
	f.Add(uint32(linkRaw), uint32(80060), unhex("60000000 0000 00 40 20010db8000000000000000000000001 20010db8000000000000000000000002 06 00 c204 00013880"))
	f.Fuzz(func(t *testing.T, link, more uint32, data []byte) {
		p := testPacket(link, data)
		p.Length = max(p.Length, p.Length+more)
		d, other := newTestDecoder(), newTestDecoder()
		r := decodeOne(t, d, p)
		seg, icmp := d.Segment, d.ICMP
		if r2 := other.Decode(p); r2 != r || other.Segment != seg || other.ICMP != icmp {
			t.Fatalf("%+v, then %+v", r, r2)
		}
		switch r.Kind {
		case AsSegment:
			if seg.Len > max(p.Length, 1<<16) || seg.Len > p.Length && !seg.Cut || seg.Wire != p.Length || seg.Frame != p.Frame || seg.Time != p.Time {
				t.Errorf("of %d octets: %+v", p.Length, seg)
			}
			if seg.Checksum != ChecksumUnknown && seg.Cut || seg.NoWnd && !seg.Cut || int(seg.Len) > len(data) && !seg.Cut {
				t.Errorf("of %d octets, %d captured: %+v", p.Length, len(data), seg)
			}
			if seg.Opts.Has(OptSACK) && int32(seg.SACKEdge-seg.Ack) <= 0 || seg.Scale > 14 {
				t.Errorf("options: %+v", seg)
			}
			if (seg.Context == 0) != (len(d.Context(seg.Context).VLANs) == 0 && d.Context(seg.Context).Tunnel == "") {
				t.Errorf("context %d is %+v", seg.Context, d.Context(seg.Context))
			}
			// Less of it yields the same segment, as far as it goes, or none.
			p.Data = data[:len(data)-len(data)/8-1]
			if r := other.Decode(p); r.Kind == AsSegment {
				s := other.Segment
				if s.Len != seg.Len || s.Seq != seg.Seq || s.Ack != seg.Ack || s.Flags != seg.Flags || s.Src != seg.Src {
					t.Errorf("whole %+v, cut %+v", seg, s)
				}
			}
		case AsICMP:
			if icmp.Frame != p.Frame || icmp.Time != p.Time {
				t.Errorf("%+v", icmp)
			}
		}
	})
}

// FuzzSequence decodes several IP packets, each behind an octet for its length,
// so that what one leaves behind meets the next: fragments in tunnels in
// fragments. Two decoders agree, and what is kept stays within its bounds.
func FuzzSequence(f *testing.F) {
	seed := func(packets ...[]byte) {
		var all []byte
		for _, b := range packets {
			all = append(append(all, byte(len(b))), b...)
		}
		f.Add(all)
	}
	ip := serialize(testIP4(6), testTCP(nop, nop, timestamps), octets(make([]byte, 40)))
	for _, e := range tunnelsOf(ip) {
		if e.link == linkRaw && e.frame[0] == 0x45 {
			n := len(e.frame) - 20
			seed(fragment4(e.frame, part{0, 40, false}), fragment4(e.frame, part{40, n, true}))
		}
	}
	var nested [][]byte
	for i, p := range parts(len(ip)-20, 40) {
		outer := outerIP(protoGRE, unhex("0000 0800"), fragment4(ip, p))
		outer[5] = byte(i)
		for _, q := range parts(len(outer)-20, 24) {
			nested = append(nested, fragment4(outer, q))
		}
	}
	seed(nested...)
	six := slices.Concat(unhex("60000000 0000 04 40"), client6, server6, ip)
	seed(fragment6(six, part{48, len(ip), true}), fragment6(six, part{0, 48, false}))
	f.Fuzz(func(t *testing.T, script []byte) {
		d, again := newTestDecoder(), newTestDecoder()
		frame, told := uint64(0), []uint64(nil)
		d.Fragmented = func(frames []uint64) { told = frames }
		wire := 0
		for n := 0; len(script) > 0; script = script[n:] {
			n = min(1+int(script[0]), len(script))
			p := testPacket(linkRaw, script[1:n])
			wire += n
			frame++
			p.Frame, told = frame, nil
			r, r2 := decodeOne(t, d, p), again.Decode(p)
			if r != r2 || d.Segment != again.Segment || d.ICMP != again.ICMP {
				t.Fatalf("%+v, then %+v", r, r2)
			}
			if told != nil && (told[len(told)-1] != frame || !slices.IsSorted(told)) || r.Reassembled && told == nil {
				t.Fatalf("frame %d: told of %v", frame, told)
			}
			if s := &d.Segment; r.Kind == AsSegment && (int(s.Wire) > wire || s.Len > 1<<16 || int(s.Len) > wire && !s.Cut) {
				t.Fatalf("of %d octets: %+v", wire, *s)
			}
		}
		for _, frags := range []*fragments{&d.frags, &d.outer} {
			for i := range frags.slots {
				r := &frags.slots[i]
				for j, p := range r.pieces[:r.n] {
					if p.from >= p.to || j > 0 && r.pieces[j-1].to >= p.from {
						t.Fatalf("pieces %v", r.pieces[:r.n])
					}
				}
			}
		}
	})
}

// TestDecodeKeepsNothing holds that results do not change when the packet's octets
// do.
func TestDecodeKeepsNothing(t *testing.T) {
	ip := serialize(testIP4(6), testTCP(nop, nop, timestamps), octets(make([]byte, 1000)))
	d := newTestDecoder()
	var got Segment
	for _, part := range parts(1032, 552) {
		p := testPacket(linkRaw, fragment4(ip, part))
		r := decodeOne(t, d, p)
		got = d.Segment
		clear(p.Data)
		if r.Kind == AsSegment && d.Segment != got || !part.last && r.Kind == AsSegment {
			t.Errorf("%+v", r)
		}
	}
	if got.Seq != 1000 || got.TSVal != binary.BigEndian.Uint32([]byte{0, 0, 0, 9}) {
		t.Errorf("%+v", got)
	}
}

// TestFragmentsIncomplete holds that a datagram of TCP is told as incomplete once,
// with its first frame: when its time is over, its place is taken, or there are no
// more packets.
func TestFragmentsIncomplete(t *testing.T) {
	whole := serialize(testIP4(6), testTCP(), octets(make([]byte, 80))) // 100 octets
	udp := serialize(testIP4(17), octets(make([]byte, 100)))
	d := newTestDecoder()
	var lost []uint64
	d.Incomplete = func(frame uint64) { lost = append(lost, frame) }
	frame := uint64(0)
	feed := func(at time.Duration, id int, ip []byte, p part) Result {
		b := fragment4(ip, p)
		copy(b[4:], be16(id))
		pkt := testPacket(linkRaw, b)
		frame++
		pkt.Time, pkt.Frame = capture.Time(at), frame
		return d.Decode(pkt)
	}
	head, tail := part{0, 48, false}, part{48, 100, true}
	feed(0, 1, whole, tail) // frame 1
	feed(0, 1, udp, tail)
	feed(0, 2, whole, head)
	if r := feed(1, 2, whole, tail); r.Kind != AsSegment || !r.Reassembled {
		t.Errorf("complete: %+v", r)
	}
	if len(lost) > 0 {
		t.Errorf("told early: %v", lost)
	}
	feed(fragmentTimeout+1, 1, whole, head) // frame 5, too late for frame 1
	if !slices.Equal(lost, []uint64{1}) {
		t.Errorf("told %v, not that the time of frame 1 is over", lost)
	}
	for id := range maxDatagrams {
		feed(fragmentTimeout+2, 1000+id, whole, head)
	}
	if !slices.Equal(lost, []uint64{1, 5}) {
		t.Errorf("told %v, not that the place of frame 5 is taken", lost)
	}
	d.Finish()
	if len(lost) != 2+maxDatagrams || lost[2] < 6 {
		t.Errorf("told of %d in the end", len(lost)-2)
	}
}

// TestFragmented: the frames of fragments are told, in tunnels and out of them, and no
// others.
func TestFragmented(t *testing.T) {
	ip := serialize(testIP4(6), testTCP(), octets(make([]byte, 80))) // 100 octets
	other := slices.Clone(ip)
	copy(other[4:], be16(77))
	var frames []uint64
	d := newTestDecoder()
	d.Fragmented = func(f []uint64) { frames = append(frames, f...) }
	frame := uint64(0)
	feed := func(b []byte, want []uint64) {
		t.Helper()
		frames = nil
		frame++
		p := testPacket(linkRaw, b)
		p.Frame = frame
		if r := d.Decode(p); !slices.Equal(frames, want) || (r.Kind == AsSegment) != (want != nil) && frame != 1 {
			t.Errorf("frame %d: %+v, told %v, want %v", frame, r, frames, want)
		}
	}
	feed(ip, nil)
	feed(fragment4(ip, part{48, 80, true}), nil)
	feed(fragment4(other, part{0, 48, false}), nil)
	feed(fragment4(ip, part{0, 48, false}), []uint64{2, 4})
	feed(fragment4(other, part{48, 80, true}), []uint64{3, 5})
	// Fragments of a fragment: all that it took.
	copy(ip[4:], be16(99))
	for i, p := range parts(len(ip)-20, 40) {
		outer := outerIP(protoGRE, unhex("0000 0800"), fragment4(ip, p))
		outer[5] = byte(i + 1)
		for _, q := range parts(len(outer)-20, 40) {
			var want []uint64
			if p.last && q.last {
				want = []uint64{6, 7, 8, 9, 10, 11}
			}
			feed(fragment4(outer, q), want)
		}
	}
}

// TestFragmentedBounded: of a datagram in fragments of fragments the latest frames are
// told.
func TestFragmentedBounded(t *testing.T) {
	r := reassembly{frames: make([]uint64, maxFrames)}
	d := newTestDecoder()
	var frames []uint64
	d.Fragmented = func(f []uint64) { frames = f }
	ip := serialize(testIP4(6), testTCP(), octets(make([]byte, 80)))
	first := testPacket(linkRaw, fragment4(ip, part{0, 48, false}))
	d.Decode(first)
	d.frags.slots[0].frames = r.frames
	last := testPacket(linkRaw, fragment4(ip, part{48, 100 - 20, true}))
	last.Frame = 7
	d.Decode(last)
	if len(frames) != maxFrames || frames[maxFrames-1] != 7 {
		t.Errorf("%d frames", len(frames))
	}
}
