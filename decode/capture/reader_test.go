package capture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

var orders = []struct {
	name string
	order
}{
	{"little-endian", binary.LittleEndian},
	{"big-endian", binary.BigEndian},
}

// containers returns the samples in every format that can hold them exactly.
func containers() map[string][]byte {
	files := map[string][]byte{}
	for _, o := range orders {
		w := newPcapWriter(o.order)
		files["pcap µs "+o.name] = w.file(samples)
		w.magic, w.unit = 0xa1b23c4d, 1
		files["pcap ns "+o.name] = w.file(samples)
		w.magic, w.unit, w.modified = 0xa1b2cd34, 1000, true
		files["pcap modified "+o.name] = w.file(samples)

		ng := ngWriter{o.order}
		files["pcapng µs "+o.name] = ng.file(samples, 6, 1e6)
		files["pcapng ns "+o.name] = ng.file(samples, 9, 1e9)
		files["pcapng 100 ns "+o.name] = ng.file(samples, 7, 1e7)

		obsolete := append(ng.section(1, 0), ng.iface(1, 0)...)
		for _, p := range samples {
			obsolete = append(obsolete, ng.obsoletePacket(0, 3, uint64(p.Time/1000), p.Length, p.Data)...)
		}
		files["pcapng obsolete packets "+o.name] = obsolete

		padded := ng.section(1, 2)
		padded = append(padded, ng.block(10, []byte("secrets"))...)
		padded = append(padded, ng.iface(147, 0)...)
		padded = append(padded, ng.iface(1, 0, ng.option(1, []byte("a comment")...), ng.option(optIfTsresol, 6),
			ng.option(optIfTsoffset, o.AppendUint64(nil, 1000)...))...)
		for _, p := range samples {
			padded = append(padded, ng.block(0x80001234)...)
			padded = append(padded, ng.packet(1, uint64(p.Time/1000-1000e6), p.Length, p.Data)...)
			padded = append(padded, ng.block(4, []byte("names"))...)
		}
		files["pcapng other blocks "+o.name] = padded
	}

	var sections []byte
	for i, p := range samples {
		ng := ngWriter{orders[i%2].order}
		sections = append(sections, ng.section(1, 0)...)
		sections = append(sections, ng.iface(1, 0)...)
		sections = append(sections, ng.packet(0, uint64(p.Time/1000), p.Length, p.Data)...)
	}
	files["pcapng a section per packet"] = sections
	return files
}

// readAll returns the packets of a file and what ended them. The buffer is one
// that records do not fit into.
func readAll(src io.Reader) ([]sample, error) {
	r, err := newReader(src, Options{BufferSize: 64})
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var got []sample
	var p Packet
	for {
		if err := r.Next(&p); err != nil {
			if again := r.Next(&p); again != err {
				return got, fmt.Errorf("first %w, then %w", err, again)
			}
			return got, err
		}
		if least := uint64(len(got) + 1); p.Frame < least {
			return got, fmt.Errorf("frame number %d of packet %d", p.Frame, least)
		}
		got = append(got, sample{p.Time, p.LinkType, p.Length, string(p.Data)})
	}
}

func TestContainers(t *testing.T) {
	for name, file := range containers() {
		t.Run(name, func(t *testing.T) {
			for how, src := range map[string]io.Reader{
				"at once":          bytes.NewReader(file),
				"octet by octet":   iotest.OneByteReader(bytes.NewReader(file)),
				"error with data":  iotest.DataErrReader(bytes.NewReader(file)),
				"half of each ask": iotest.HalfReader(bytes.NewReader(file)),
			} {
				got, err := readAll(src)
				if err != io.EOF {
					t.Errorf("%s: %v", how, err)
				}
				if diff := cmp.Diff(samples, got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", how, diff)
				}
			}
		})
	}
}

// TestCutAnywhere holds that a file cut short is read as far as it goes, and that
// the cut is told unless it lies between two packets.
func TestCutAnywhere(t *testing.T) {
	for name, file := range containers() {
		t.Run(name, func(t *testing.T) {
			clean := 0
			for n := range file {
				got, err := readAll(bytes.NewReader(file[:n]))
				if !slices.Equal(got, samples[:len(got)]) {
					t.Fatalf("cut to %d octets: got %v, which are not the first packets", n, got)
				}
				switch {
				case n == 0:
					if !errors.Is(err, ErrFormat) {
						t.Errorf("empty: %v", err)
					}
				case err == io.EOF:
					clean++
				case !errors.Is(err, io.ErrUnexpectedEOF):
					t.Errorf("cut to %d octets: %v", n, err)
				default:
					want := fmt.Sprintf("frame %d: unexpected EOF", len(got)+1)
					if len(got) == 0 && strings.HasPrefix(err.Error(), "file header: ") {
						want = "file header: unexpected EOF"
					}
					if err.Error() != want {
						t.Errorf("cut to %d octets: %q, want %q", n, err, want)
					}
				}
			}
			if blocks := 6 * len(samples); clean < len(samples) || clean > blocks {
				t.Errorf("%d cuts lie between records", clean)
			}
		})
	}
}

// TestWriters holds the tests' writers to what pcapgo reads.
func TestWriters(t *testing.T) {
	read := func(next func() ([]byte, gopacket.CaptureInfo, error)) (got []sample) {
		for {
			data, ci, err := next()
			if err == io.EOF {
				return got
			}
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, sample{Time(ci.Timestamp.UnixNano()), 1, uint32(ci.Length), string(data)})
		}
	}
	want := samples[:3] // pcapgo wants fewer octets captured than sent
	for _, o := range orders {
		r, err := pcapgo.NewReader(bytes.NewReader(newPcapWriter(o.order).file(want)))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, read(r.ReadPacketData)); diff != "" {
			t.Errorf("pcap %s (-want +got):\n%s", o.name, diff)
		}
		ng, err := pcapgo.NewNgReader(bytes.NewReader(ngWriter{o.order}.file(want, 9, 1e9)), pcapgo.DefaultNgReaderOptions)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, read(ng.ReadPacketData)); diff != "" {
			t.Errorf("pcapng %s (-want +got):\n%s", o.name, diff)
		}
	}
}

// TestPcapgoFiles reads what pcapgo writes.
func TestPcapgoFiles(t *testing.T) {
	want := samples[:3]
	info := func(p sample) gopacket.CaptureInfo {
		return gopacket.CaptureInfo{Timestamp: p.Time.UTC(), CaptureLength: len(p.Data), Length: int(p.Length)}
	}
	for name, write := range map[string]func(*bytes.Buffer) error{
		"pcap": func(b *bytes.Buffer) error {
			w := pcapgo.NewWriterNanos(b)
			err := w.WriteFileHeader(65535, layers.LinkTypeEthernet)
			for _, p := range want {
				err = errors.Join(err, w.WritePacket(info(p), []byte(p.Data)))
			}
			return err
		},
		"pcapng": func(b *bytes.Buffer) error {
			w, err := pcapgo.NewNgWriter(b, layers.LinkTypeEthernet)
			if err != nil {
				return err
			}
			for _, p := range want {
				err = errors.Join(err, w.WritePacket(info(p), []byte(p.Data)))
			}
			return errors.Join(err, w.Flush())
		},
	} {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			t.Fatal(err)
		}
		got, err := readAll(&b)
		if err != io.EOF {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestNotACapture(t *testing.T) {
	for _, c := range []struct{ name, file, want string }{
		{"empty", "", "not a pcap or pcapng file: it is empty"},
		{"text", "packets, please\n", "not a pcap or pcapng file"},
		{"two octets", "GE", "not a pcap or pcapng file"},
		{"snoop", "snoop\x00\x00\x00\x00\x00\x00\x02", "not a pcap or pcapng file: it is a snoop file"},
		{"pcapng without a byte order", "\x0a\x0d\x0d\x0a\x1c\x00\x00\x00abcd", "not a pcap or pcapng file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := NewReader(strings.NewReader(c.file))
			if !errors.Is(err, ErrFormat) || err.Error() != c.want {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.pcap")
	file := newPcapWriter(binary.LittleEndian).file(samples)
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	var p Packet
	for err == nil {
		err = r.Next(&p)
	}
	if err != io.EOF {
		t.Error(err)
	}
	if read, size := r.Progress(); read != int64(len(file)) || size != read {
		t.Errorf("progress is %d of %d, want %d of the same", read, size, len(file))
	}
	want := Info{
		Format: "pcap", Packets: uint64(len(samples)), Bytes: int64(len(file)), Size: int64(len(file)),
		LinkTypes: []uint32{1}, Interfaces: 1,
	}
	if diff := cmp.Diff(want, r.Info()); diff != "" {
		t.Errorf("info (-want +got):\n%s", diff)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if r, err := NewReader(bytes.NewReader(file)); err != nil || r.Close() != nil {
		t.Error("closing what Open did not open fails")
	}
	bad := filepath.Join(dir, "bad.pcap")
	if err := os.WriteFile(bad, []byte("packets"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(bad); !errors.Is(err, ErrFormat) {
		t.Errorf("not a capture: %v", err)
	}

	if _, err := Open(filepath.Join(dir, "none.pcap")); err == nil || err.Error() != "no such file or directory" {
		t.Errorf("absent: %v", err)
	}
	if _, err := Open(dir); err == nil || err.Error() != "is a directory" {
		t.Errorf("directory: %v", err)
	}
}

// TestPipe holds that a packet is returned before the source sends what follows.
func TestPipe(t *testing.T) {
	for name, file := range map[string][]byte{
		"pcap":   newPcapWriter(binary.LittleEndian).file(samples[:1]),
		"pcapng": ngWriter{binary.LittleEndian}.file(samples[:1], 6, 1e6),
	} {
		pr, pw := io.Pipe()
		go pw.Write(file)
		r, err := NewReader(pr)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var p Packet
		if err := r.Next(&p); err != nil || p.Frame != 1 {
			t.Errorf("%s: frame %d, %v", name, p.Frame, err)
		}
		pw.CloseWithError(errors.New("pulled the plug"))
		if err := r.Next(&p); err == nil || err.Error() != "frame 2: pulled the plug" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestStalledSource holds that a source that neither yields nor ends is given up.
func TestStalledSource(t *testing.T) {
	stalled := readerFunc(func([]byte) (int, error) { return 0, nil })
	if _, err := NewReader(stalled); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("got %v, want %v", err, io.ErrNoProgress)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// TestLongRecord reads packets and blocks that are longer than the buffer.
func TestLongRecord(t *testing.T) {
	long := strings.Repeat("0123456789abcdef", 3*bufferSize/16)
	want := []sample{{1e9, 1, 6, "before"}, {2e9, 1, uint32(len(long)), long}, {3e9, 1, 6, "behind"}}
	ng := ngWriter{binary.BigEndian}
	skipped := append(ng.section(1, 0), ng.iface(1, 0)...)
	for _, p := range want {
		skipped = append(skipped, ng.block(10, []byte(long[:2*bufferSize+123]))...)
		skipped = append(skipped, ng.packet(0, uint64(p.Time/1000), p.Length, p.Data)...)
	}
	for name, file := range map[string][]byte{
		"pcap":   newPcapWriter(binary.LittleEndian).file(want),
		"pcapng": skipped,
	} {
		got, err := readAll(bytes.NewReader(file))
		if err != io.EOF {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: packets differ", name)
		}
	}
}

func TestNextAllocs(t *testing.T) {
	for name, file := range containers() {
		r, err := NewReader(&repeat{file: file, from: len(file)})
		if err != nil {
			t.Fatal(err)
		}
		var p Packet
		if n := testing.AllocsPerRun(1000, func() {
			if err := r.Next(&p); err != nil {
				t.Fatal(name, err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations per packet", name, n)
		}
	}
}

// repeat yields a file, and then its octets from from on again and again; all of
// it if that is the end of a pcapng file, whose sections may be repeated.
type repeat struct {
	file []byte
	from int
	at   int
}

func (r *repeat) Read(b []byte) (int, error) {
	if r.at == len(r.file) {
		r.at = r.from
		if r.at == len(r.file) {
			if r.at = 0; !isPcapng(r.file) {
				r.at = pcapHeader
			}
		}
	}
	n := copy(b, r.file[r.at:])
	r.at += n
	return n, nil
}

func BenchmarkNext(b *testing.B) {
	var packets []sample
	for i := range 1000 {
		n := 54 + i*7919%1400
		packets = append(packets, sample{Time(i) * 1000, 1, uint32(n), strings.Repeat("x", n)})
	}
	for _, f := range []struct {
		name string
		file []byte
	}{
		{"pcap", newPcapWriter(binary.LittleEndian).file(packets)},
		{"pcapng", ngWriter{binary.LittleEndian}.file(packets, 9, 1e9)},
	} {
		b.Run(f.name, func(b *testing.B) {
			r, err := NewReader(&repeat{file: f.file, from: len(f.file)})
			if err != nil {
				b.Fatal(err)
			}
			var p Packet
			b.SetBytes(int64(len(f.file) / len(packets)))
			b.ReportAllocs()
			for b.Loop() {
				if err := r.Next(&p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// FuzzReader holds that whatever the input, reading ends, without a panic; that
// errors say where; that packets keep within their promises; and that all this
// does not depend on how the source hands out its octets.
func FuzzReader(f *testing.F) {
	for _, file := range containers() {
		f.Add(file)
	}
	for _, c := range damaged {
		f.Add(c.file)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		packets, err := readAll(bytes.NewReader(file))
		if err == nil {
			t.Fatal("no end")
		}
		again, err2 := readAll(iotest.HalfReader(bytes.NewReader(file)))
		if err.Error() != err2.Error() {
			t.Errorf("%v at once, %v in pieces", err, err2)
		}
		if diff := cmp.Diff(packets, again); diff != "" {
			t.Errorf("at once, and in pieces:\n%s", diff)
		}
		octets := 0
		for _, p := range packets {
			octets += len(p.Data)
			if int(p.Length) < len(p.Data) {
				t.Errorf("%d octets captured of %d", len(p.Data), p.Length)
			}
			if p.LinkType > 1<<16-1 {
				t.Errorf("link type %d", p.LinkType)
			}
		}
		if octets > len(file) {
			t.Errorf("%d octets of packets in a file of %d", octets, len(file))
		}
		switch {
		case err == io.EOF, errors.Is(err, ErrFormat) && len(packets) == 0:
		case strings.HasPrefix(err.Error(), "frame "):
		case strings.HasPrefix(err.Error(), "file header: ") && len(packets) == 0:
		default:
			t.Errorf("after %d packets: %v", len(packets), err)
		}
	})
}
