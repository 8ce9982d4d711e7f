package capture

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/big"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var (
	le = newPcapWriter(binary.LittleEndian)
	ng = ngWriter{binary.LittleEndian}
)

// good is a packet that stands before the damage.
func good() []byte { return ng.packet(0, 5e6, 4, "good") }

// head is a section with one Ethernet interface.
func head() []byte { return slices.Concat(ng.section(1, 0), ng.iface(1, 0)) }

// lie sets the lengths at both ends of a block.
func lie(block []byte, first, last uint32) []byte {
	binary.LittleEndian.PutUint32(block[4:], first)
	binary.LittleEndian.PutUint32(block[len(block)-4:], last)
	return block
}

// damaged are files that are refused where they contradict themselves.
var damaged = []struct {
	name string
	file []byte
	good int // packets before the damage
	want string
}{
	{
		"pcap record of 4 GB",
		slices.Concat(le.file(samples[:1]), le.record(1, 0, math.MaxUint32, math.MaxUint32, "abcd")), 1,
		"frame 2: captured length 4294967295 is above the limit of 16777216",
	},
	{
		"pcap record of 16 MiB in a short file",
		slices.Concat(le.file(samples[:1]), le.record(1, 0, maxRecord, maxRecord, "abcd")), 1,
		"frame 2: unexpected EOF",
	},
	{
		"block lengths differ",
		slices.Concat(head(), good(), lie(good(), 36, 40)), 1,
		"frame 2: block length is 36 at its start, 40 at its end",
	},
	{
		"lengths of an unknown block differ",
		slices.Concat(head(), good(), lie(ng.block(77, make([]byte, 24)), 36, 40)), 1,
		"frame 2: block length is 36 at its start, 40 at its end",
	},
	{
		"block of length 0",
		slices.Concat(head(), good(), lie(ng.block(77), 0, 0)), 1,
		"frame 2: block length 0 is less than the 12 its type needs",
	},
	{
		"packet block too short for its fields",
		slices.Concat(head(), good(), ng.block(blockPacket, make([]byte, 16))), 1,
		"frame 2: block length 28 is less than the 32 its type needs",
	},
	{
		"packet block of 4 GB",
		slices.Concat(head(), good(), lie(good(), math.MaxUint32, math.MaxUint32)), 1,
		"frame 2: block length 4294967295 is above the limit of 16777216",
	},
	{
		"unknown block of 4 GB in a short file",
		slices.Concat(head(), good(), lie(ng.block(77), math.MaxUint32-3, math.MaxUint32-3)), 1,
		"frame 2: unexpected EOF",
	},
	{
		"captured length of 1 GiB in a short block",
		slices.Concat(head(), good(), ng.block(blockPacket, ng.words(0, 0, 0, 1<<30, 1<<30), make([]byte, 64))), 1,
		"frame 2: captured length 1073741824 is more than its block of 96 holds",
	},
	{
		"captured length one octet past the block",
		slices.Concat(head(), ng.block(blockPacket, ng.words(0, 0, 0, 5, 5), make([]byte, 4))), 0,
		"frame 1: captured length 5 is more than its block of 36 holds",
	},
	{
		"statistics too short for their fields",
		slices.Concat(head(), good(), ng.block(blockStatistics, make([]byte, 8))), 1,
		"frame 2: block length 20 is less than the 24 its type needs",
	},
	{
		"simple packet without a length",
		slices.Concat(head(), good(), ng.block(blockSimplePacket)), 1,
		"frame 2: block length 12 is less than the 16 its type needs",
	},
	{
		"simple packet longer than its block",
		slices.Concat(head(), good(), ng.simplePacket(64, "abcd")), 1,
		"frame 2: captured length 64 is more than its block of 20 holds",
	},
	{
		"packet of an interface that is not there",
		slices.Concat(head(), good(), ng.packet(1, 0, 1, "x")), 1,
		"frame 2: packet of interface 1, which is not described",
	},
	{
		"obsolete packet of an interface that is not there",
		slices.Concat(head(), ng.obsoletePacket(7, 0, 0, 1, "x")), 0,
		"frame 1: packet of interface 7, which is not described",
	},
	{
		"simple packet before any interface",
		slices.Concat(ng.section(1, 0), ng.simplePacket(1, "x")), 0,
		"frame 1: packet of interface 0, which is not described",
	},
	{
		"interfaces end with their section",
		slices.Concat(head(), good(), ng.section(1, 0), good()), 1,
		"frame 2: packet of interface 0, which is not described",
	},
	{
		"interface option longer than its block",
		slices.Concat(ng.section(1, 0), ng.block(blockInterface, ng.halves(1, 0), ng.words(0), ng.halves(optIfTsresol, 400))), 0,
		"frame 1: option 9 of 400 octets is longer than its block",
	},
	{
		"section of another major version",
		slices.Concat(head(), good(), ng.section(2, 0)), 1,
		"frame 2: pcapng version 2.0 is not supported",
	},
	{
		"section without byte order",
		slices.Concat(head(), good(), ng.block(blockSection, make([]byte, 16))), 1,
		"frame 2: section without a byte order",
	},
	{
		"file of another major version", ng.section(3, 1), 0,
		"file header: pcapng version 3.1 is not supported",
	},
	{
		"too many interfaces",
		slices.Concat(ng.section(1, 0), bytes.Repeat(ng.iface(1, 0), maxInterfaces+1)), 0,
		"frame 1: more than 65536 interfaces in one section",
	},
}

func TestDamaged(t *testing.T) {
	for _, c := range damaged {
		t.Run(c.name, func(t *testing.T) {
			r, err := NewReader(bytes.NewReader(c.file))
			n := 0
			for p := (Packet{}); err == nil; n++ {
				err = r.Next(&p)
			}
			if err.Error() != c.want {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
			if r == nil {
				return
			}
			if n-1 != c.good {
				t.Errorf("%d packets before the damage, want %d", n-1, c.good)
			}
			if len(r.buf) > bufferSize {
				t.Errorf("took %d octets of memory for a file of %d", len(r.buf), len(c.file))
			}
		})
	}
}

// TestOddities reads what is wrong or old, but clear.
func TestOddities(t *testing.T) {
	with := func(f func(*pcapWriter)) pcapWriter { w := le; f(&w); return w }
	one := sample{1_000_002_000, 1, 60, "abcd"}
	for _, c := range []struct {
		name    string
		file    []byte
		want    sample
		warning string
	}{
		{"snapshot length 0", with(func(w *pcapWriter) { w.snaplen = 0 }).file([]sample{one}), one, ""},
		{"more than the snapshot length", with(func(w *pcapWriter) { w.snaplen = 2 }).file([]sample{one}), one, ""},
		{"version 2.9", with(func(w *pcapWriter) { w.minor = 9 }).file([]sample{one}), one, ""},
		{"version 7.4", with(func(w *pcapWriter) { w.major = 7 }).file([]sample{one}), one, "pcap version 7.4 read as 2.4"},
		{"length of the check sequence", with(func(w *pcapWriter) { w.link = 0x24000001 }).file([]sample{one}), one, ""},
		{
			"more captured than sent",
			slices.Concat(le.header(), le.record(1, 2, 4, 3, "abcd")),
			sample{1_000_002_000, 1, 4, "abcd"},
			"",
		},
		{
			"fraction of more than a second",
			slices.Concat(le.header(), le.record(1, 2_000_001, 4, 4, "abcd")),
			sample{3_000_001_000, 1, 4, "abcd"},
			"",
		},
		{
			"version 2.2, lengths the other way round",
			with(func(w *pcapWriter) { w.minor = 2 }).file([]sample{{one.Time, 1, 4, "abcd"}}),
			sample{one.Time, 1, 4, "abcd"},
			"",
		},
		{
			"version 2.3, lengths the other way round",
			slices.Concat(with(func(w *pcapWriter) { w.minor = 3 }).header(), le.record(1, 2, 60, 4, "abcd")),
			one, "",
		},
		{
			"version 2.3, lengths as ever",
			with(func(w *pcapWriter) { w.minor = 3 }).file([]sample{one}),
			one, "",
		},
		{
			"link type above 255",
			with(func(w *pcapWriter) { w.link = 276 }).file([]sample{{one.Time, 276, 60, "abcd"}}),
			sample{one.Time, 276, 60, "abcd"},
			"",
		},
		{
			"block lengths without their padding",
			slices.Concat(head(), lie(ng.packet(0, 1_000_002, 60, "abc"), 35, 35)),
			sample{one.Time, 1, 60, "abc"},
			"block lengths are not multiples of 4",
		},
		{
			"simple packet, cut by the snapshot length",
			slices.Concat(ng.section(1, 0), ng.iface(1, 4), ng.simplePacket(60, "abcd")),
			sample{0, 1, 60, "abcd"},
			"simple packet blocks have no time; the time of the packet before is used",
		},
		{
			"statistics of an interface that is not there",
			slices.Concat(head(), ng.block(blockStatistics, ng.words(9, 0, 0)), ng.packet(0, 1_000_002, 60, "abcd")),
			one, "statistics of an interface that is not described",
		},
		{
			"statistics with options that are too short, and too long",
			slices.Concat(head(), ng.block(blockStatistics, ng.words(0, 0, 0), ng.option(optIsbIfdrop, 1), ng.halves(optIsbIfrecv, 99)),
				ng.packet(0, 1_000_002, 60, "abcd")),
			one, "statistics with a damaged option",
		},
		{
			"time after 2262",
			slices.Concat(head(), ng.packet(0, math.MaxUint64, 60, "abcd")),
			sample{math.MaxInt64, 1, 60, "abcd"},
			"times before 1677 or after 2262",
		},
		{
			"time before 1970",
			slices.Concat(ng.section(1, 0),
				ng.iface(1, 0, ng.option(optIfTsoffset, binary.LittleEndian.AppendUint64(nil, ^uint64(1))...)),
				ng.packet(0, 1, 60, "abcd")),
			sample{-2e9 + 1000, 1, 60, "abcd"},
			"",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := NewReader(bytes.NewReader(c.file))
			if err != nil {
				t.Fatal(err)
			}
			var p Packet
			if err := r.Next(&p); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, sample{p.Time, p.LinkType, p.Length, string(p.Data)}); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if err := r.Next(&p); err != io.EOF {
				t.Errorf("then %v", err)
			}
			if got := fmt.Sprint(r.Info().Warnings); got != fmt.Sprintf("[%s]", c.warning) {
				t.Errorf("warnings %s, want [%s]", got, c.warning)
			}
		})
	}
}

// TestSimplePacketTime holds that a packet without a time does not set the clock
// back.
func TestSimplePacketTime(t *testing.T) {
	got, err := readAll(bytes.NewReader(slices.Concat(head(), good(), ng.simplePacket(3, "abc"))))
	if err != io.EOF {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]sample{{5e9, 1, 4, "good"}, {5e9, 1, 3, "abc"}}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestFrameNumbers holds that frames are numbered as Wireshark 4.0 numbers them:
// some blocks that are no packets count.
func TestFrameNumbers(t *testing.T) {
	r, err := NewReader(bytes.NewReader(slices.Concat(
		head(), good(),
		ng.block(4, ng.words(0)), // names
		ng.block(blockCustom, ng.words(32473)),
		good(),
		ng.block(blockJournal, []byte("MESSAGE=hi\n")),
		ng.block(blockCustomNoCopy, ng.words(32473)),
		ng.block(77),
		good(), good()[:20],
	)))
	if err != nil {
		t.Fatal(err)
	}
	var got []uint64
	var p Packet
	for err == nil {
		if err = r.Next(&p); err == nil {
			got = append(got, p.Frame)
		}
	}
	if want := []uint64{1, 3, 6}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if err.Error() != "frame 7: unexpected EOF" {
		t.Error(err)
	}
}

func TestInfo(t *testing.T) {
	statistics := func(id uint32, recv, ifdrop, osdrop byte) []byte {
		n := func(code uint16, v byte) []byte { return ng.option(code, v, 0, 0, 0, 0, 0, 0, 0) }
		return ng.block(blockStatistics, ng.words(id, 0, 0),
			n(optIsbIfrecv, recv), n(optIsbIfdrop, ifdrop), n(optIsbOsdrop, osdrop), ng.end())
	}
	file := slices.Concat(
		ng.section(1, 0), ng.iface(276, 0), ng.iface(1, 0),
		ng.packet(0, 0, 1, "x"), ng.packet(1, 0, 1, "x"), ng.packet(0, 0, 1, "x"),
		statistics(0, 5, 1, 0), statistics(1, 40, 0, 2), statistics(0, 50, 2, 1), // the last of each counts
		ng.section(1, 0), ng.iface(1, 0),
		statistics(0, 7, 4, 0),
		ng.packet(0, 0, 1, "x"),
	)
	r, err := NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	for p := (Packet{}); err == nil; {
		err = r.Next(&p)
	}
	want := Info{
		Format: "pcapng", Packets: 4, Bytes: int64(len(file)),
		LinkTypes: []uint32{1, 276}, Interfaces: 3, Received: 97, Dropped: 9,
	}
	if diff := cmp.Diff(want, r.Info()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestEnded believes the end that tcplife has written, and no other program's, nor
// one that is cut short.
func TestEnded(t *testing.T) {
	end := ng.option(optIsbEndtime, 0, 0, 0, 0, 0x40, 0x4b, 0x4c, 0) // 5 s in units of 1 µs
	for name, c := range map[string]struct {
		program string
		end     []byte
		want    Time
	}{
		"ours":      {"tcplife (devel)", end, 5e9},
		"another":   {"editcap", end, 0},
		"nobody":    {"", end, 0},
		"cut short": {"tcplife", ng.option(optIsbEndtime, 0, 0, 0, 0), 0},
	} {
		section := ng.section(1, 0)
		section = ng.block(blockSection, section[8:len(section)-4], ng.option(optShbUserappl, []byte(c.program)...), ng.end())
		file := slices.Concat(section, ng.iface(1, 0), ng.packet(0, 1e6, 1, "x"), ng.block(blockStatistics, ng.words(0, 0, 0), c.end, ng.end()))
		r, err := NewReader(bytes.NewReader(file))
		for p := (Packet{}); err == nil; {
			err = r.Next(&p)
		}
		if got := r.Info().Ended; got != c.want || err != io.EOF {
			t.Errorf("%s: got %d, %v; want %d", name, got, err, c.want)
		}
	}
}

func TestClock(t *testing.T) {
	for _, c := range []struct {
		tsresol byte
		offset  int64
		stamp   uint64
		want    Time
		ok      bool
	}{
		{0, 0, 3, 3e9, true},
		{6, 0, 1_000_001, 1_000_001_000, true},
		{9, 0, math.MaxInt64, math.MaxInt64, true},
		{9, 0, math.MaxInt64 + 1, math.MaxInt64, false},
		{12, 0, 1_999_999_999_999, 1_999_999_999, true}, // rounded down
		{28, 0, math.MaxUint64, 1, true},
		{29, 0, math.MaxUint64, 0, true},
		{127, 0, math.MaxUint64, 0, true},
		{0x80, 0, 3, 3e9, true},
		{0x80 | 20, 0, 1<<20 - 1, 999_999_046, true},
		{0x80 | 30, 0, 1<<30 - 1, 999_999_999, true},
		{0x80 | 63, 0, math.MaxUint64, 1_999_999_999, true},
		{0x80 | 64, 0, math.MaxUint64, 999_999_999, true},
		{0x80 | 65, 0, math.MaxUint64, 499_999_999, true},
		{0x80 | 127, 0, math.MaxUint64, 0, true},
		{0, 0, math.MaxUint64, math.MaxInt64, false},
		{6, 100, 1, 100_000_001_000, true},
		{6, -100, 1, -99_999_999_000, true},
		{0, -math.MaxInt64, math.MaxInt64, 0, true},
		{0, math.MinInt64, 0, math.MinInt64, false},
		{6, math.MaxInt64, math.MaxUint64, math.MaxInt64, false},
		{0, -1, math.MaxUint64, math.MaxInt64, false},
	} {
		k := newClock(c.tsresol)
		k.offset = c.offset
		if got, ok := k.time(c.stamp); got != c.want || ok != c.ok {
			t.Errorf("resolution %#x, offset %d: stamp %d is %d, %v; want %d, %v",
				c.tsresol, c.offset, c.stamp, got, ok, c.want, c.ok)
		}
	}
}

// TestClockExact compares all resolutions with arithmetic that cannot overflow.
func TestClockExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tsresol := rapid.Byte().Draw(t, "tsresol")
		offset := rapid.OneOf(rapid.Just(int64(0)), rapid.Int64()).Draw(t, "offset")
		stamp := rapid.Uint64().Draw(t, "stamp")

		base := big.NewInt(10)
		if tsresol&0x80 != 0 {
			base = big.NewInt(2)
		}
		want := new(big.Int).SetUint64(stamp)
		want.Mul(want, big.NewInt(1e9))
		want.Quo(want, base.Exp(base, big.NewInt(int64(tsresol&0x7f)), nil))
		want.Add(want, new(big.Int).Mul(big.NewInt(offset), big.NewInt(1e9)))
		wantOK := want.IsInt64()
		if !wantOK {
			want = big.NewInt(math.MaxInt64)
			if offset < 0 {
				want = big.NewInt(math.MinInt64)
			}
		}
		c := newClock(tsresol)
		c.offset = offset
		got, ok := c.time(stamp)
		if ok != wantOK {
			t.Fatalf("%d, %v; want %v, %v", got, ok, want, wantOK)
		}
		if ok && int64(got) != want.Int64() {
			t.Fatalf("%d; want %v", got, want)
		}
	})
}
