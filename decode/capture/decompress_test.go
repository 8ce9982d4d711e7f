package capture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/dsnet/compress/bzip2"
	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz"
)

// compressors write what the codecs read.
var compressors = map[string]func(io.Writer) (io.WriteCloser, error){
	"gzip":       func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil },
	"zstd":       func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1)) },
	"xz":         func(w io.Writer) (io.WriteCloser, error) { return xz.WriterConfig{DictCap: 1 << 20}.NewWriter(w) },
	"lz4":        func(w io.Writer) (io.WriteCloser, error) { return lz4.NewWriter(w), nil },
	"lz4 legacy": legacyLZ4,
	"bzip2":      func(w io.Writer) (io.WriteCloser, error) { return bzip2.NewWriter(w, nil) },
}

func legacyLZ4(w io.Writer) (io.WriteCloser, error) {
	z := lz4.NewWriter(w)
	err := z.Apply(lz4.LegacyOption(true))
	return z, err
}

func compressed(t testing.TB, how string, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := compressors[how](&b)
	if err == nil {
		_, err = w.Write(data)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(how, err)
	}
	return b.Bytes()
}

func TestCompressed(t *testing.T) {
	for name, file := range containers() {
		for how := range compressors {
			z := compressed(t, how, file)
			codec, _, _ := strings.Cut(how, " ")
			for in, src := range map[string]io.Reader{
				"at once":          bytes.NewReader(z),
				"octet by octet":   iotest.OneByteReader(bytes.NewReader(z)),
				"error with data":  iotest.DataErrReader(bytes.NewReader(z)),
				"half of each ask": iotest.HalfReader(bytes.NewReader(z)),
			} {
				got, err := readAll(src)
				if err != io.EOF {
					t.Errorf("%s, %s, %s: %v", name, how, in, err)
				}
				if diff := cmp.Diff(samples, got); diff != "" {
					t.Errorf("%s, %s, %s (-want +got):\n%s", name, how, in, diff)
				}
			}
			r, err := NewReader(bytes.NewReader(z))
			if err != nil {
				t.Fatal(err)
			}
			for p := (Packet{}); r.Next(&p) == nil; {
			}
			if i := r.Info(); i.Compression != codec || i.Bytes != int64(len(z)) {
				t.Errorf("%s, %s: info %+v of %d octets", name, how, i, len(z))
			}
		}
	}
}

// pieces returns the file in several, as concatenated members have it.
func pieces(file []byte) [][]byte { return slices.Collect(slices.Chunk(file, len(file)/3)) }

func TestConcatenated(t *testing.T) {
	file := newPcapWriter(binary.LittleEndian).file(samples)
	for how := range compressors {
		if how == "lz4 legacy" {
			continue // its frames have no end: the next is part of the first
		}
		var z []byte
		for _, p := range pieces(file) {
			z = append(z, compressed(t, how, p)...)
		}
		got, err := readAll(bytes.NewReader(z))
		if err != io.EOF {
			t.Errorf("%s: %v", how, err)
		}
		if diff := cmp.Diff(samples, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", how, diff)
		}
	}
}

// TestSkippable holds that frames of zstd and lz4 that carry something else are
// passed over, also where they stand first.
func TestSkippable(t *testing.T) {
	file := newPcapWriter(binary.LittleEndian).file(samples)
	skip := []byte("\x5a\x2a\x4d\x18\x05\x00\x00\x00other")
	for _, how := range []string{"zstd", "lz4"} {
		got, err := readAll(bytes.NewReader(slices.Concat(skip, skip, compressed(t, how, file), skip)))
		if err != io.EOF || !slices.Equal(got, samples) {
			t.Errorf("%s: %d packets, %v", how, len(got), err)
		}
	}
	for n := range 2 * len(skip) {
		if _, err := readAll(bytes.NewReader(slices.Concat(skip, skip)[:n])); err == nil || err == io.EOF {
			t.Errorf("cut to %d octets: %v", n, err)
		}
	}
}

// TestCompressedCutAnywhere holds that what can be decompressed of a file cut
// short is read, and that the cut is told.
func TestCompressedCutAnywhere(t *testing.T) {
	var many []sample
	for i := range 3000 {
		many = append(many, sample{Time(i) * 1000, 1, 40, fmt.Sprintf("%x", i*i*7919)})
	}
	for name, packets := range map[string][]sample{"few": samples, "many": many} {
		file := newPcapWriter(binary.LittleEndian).file(packets)
		for how := range compressors {
			z := compressed(t, how, file)
			step := 1
			if how == "lz4 legacy" {
				step = 7 // each has a block of 8 MiB
			}
			if name == "many" {
				step = 1 + len(z)/29
			}
			most := 0
			for n := 0; n < len(z); n += step {
				got, err := readAll(bytes.NewReader(z[:n]))
				if len(got) > len(packets) || !slices.Equal(got, packets[:len(got)]) {
					t.Fatalf("%s cut to %d octets: not the first packets", how, n)
				}
				most = max(most, len(got))
				want := fmt.Sprintf("frame %d: unexpected EOF", len(got)+1)
				switch {
				case how == "lz4 legacy" && (err == io.EOF || n == 4):
					continue // its frames have no end: between blocks a cut isn't seen
				case n == 0:
					want = "not a pcap or pcapng file: it is empty"
				case n < 4: // no signature
					want = "not a pcap or pcapng file"
				case strings.HasPrefix(err.Error(), "file header"):
					want = "file header: unexpected EOF"
				}
				if err.Error() != want {
					t.Errorf("%s cut to %d of %d octets: %v, want %s", how, n, len(z), err, want)
				}
			}
			if name == "many" && how == "gzip" && most < 2000 {
				t.Errorf("%s: at most %d packets were read", how, most)
			}
		}
	}
}

// TestCompressedDamage holds that damage ends the file with one line that names
// the codec, or goes unseen where the format has no checksum.
func TestCompressedDamage(t *testing.T) {
	file := newPcapWriter(binary.LittleEndian).file(samples)
	for how := range compressors {
		codec, _, _ := strings.Cut(how, " ")
		z := compressed(t, how, file)
		for i := range z {
			bad := bytes.Clone(z)
			bad[i] ^= 0x55
			_, err := readAll(bytes.NewReader(bad))
			switch s := err.Error(); {
			case strings.Contains(s, "\n"), s == "":
				t.Errorf("%s, octet %d: %q", how, i, s)
			case err == io.EOF, errors.Is(err, ErrFormat), errors.Is(err, io.ErrUnexpectedEOF):
			case strings.Contains(s, codec), strings.HasPrefix(s, "frame "), strings.HasPrefix(s, "file header: "):
			default:
				t.Errorf("%s, octet %d: %q", how, i, s)
			}
		}
	}
	bad := compressed(t, "gzip", file)
	bad[len(bad)-8] ^= 1
	got, err := readAll(bytes.NewReader(bad))
	if want := "frame 7: gzip: invalid checksum"; len(got) != len(samples) || err.Error() != want {
		t.Errorf("%d packets, then %q, want %q", len(got), err, want)
	}
}

// TestNested holds that only one compression is undone.
func TestNested(t *testing.T) {
	file := newPcapWriter(binary.LittleEndian).file(samples)
	for outer := range compressors {
		for inner := range compressors {
			_, err := readAll(bytes.NewReader(compressed(t, outer, compressed(t, inner, file))))
			o, _, _ := strings.Cut(outer, " ")
			i, _, _ := strings.Cut(inner, " ")
			want := fmt.Sprintf("not a pcap or pcapng file: it is compressed by %s within %s, and only one is undone", i, o)
			if !errors.Is(err, ErrFormat) || err.Error() != want {
				t.Errorf("got %q, want %q", err, want)
			}
		}
	}
	if _, err := readAll(bytes.NewReader(compressed(t, "zstd", []byte("packets, please")))); !errors.Is(err, ErrFormat) {
		t.Errorf("compressed text: %v", err)
	}
}

// TestSourceError holds that what the source says is told, not what the codec
// makes of it.
func TestSourceError(t *testing.T) {
	file := newPcapWriter(binary.LittleEndian).file(samples)
	for how := range compressors {
		z := compressed(t, how, file)
		for n := 1; n < len(z)-1; n += 3 {
			_, err := readAll(io.MultiReader(bytes.NewReader(z[:n]), iotest.ErrReader(errors.New("pulled the plug"))))
			if err == nil || !strings.HasSuffix(err.Error(), "pulled the plug") {
				t.Errorf("%s, after %d octets: %v", how, n, err)
			}
		}
	}
}

// greedy are files whose headers ask for a window of 1 GiB and more.
var greedy = map[string][]byte{
	"zstd": slices.Concat([]byte("\x28\xb5\x2f\xfd\x00\xa0\x01\x00\x00"), make([]byte, 64)),
	"zstd, a single segment": slices.Concat(
		[]byte("\x28\xb5\x2f\xfd\xe0"), binary.LittleEndian.AppendUint64(nil, 1<<40), make([]byte, 64)),
	"xz": greedyXZ(38),
}

// greedyXZ returns an xz file with a dictionary of that size, coded.
func greedyXZ(dict byte) []byte {
	b := []byte("\xfd7zXZ\x00\x00\x00")
	b = binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b[6:]))
	block := []byte{2, 0, 0x21, 1, dict, 0, 0, 0}
	b = append(b, block...)
	b = binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(block))
	return append(b, 1, 0xff, 0xff)
}

func TestWindowLimit(t *testing.T) {
	for name, file := range greedy {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := readAll(bytes.NewReader(file))
		runtime.ReadMemStats(&after)
		codec, _, _ := strings.Cut(name, ",")
		if want := codec + ": it takes a window of more than 128 MiB to read it"; err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 16<<20 {
			t.Errorf("%s: %d octets allocated", name, n)
		}
	}
	// What xz -9 and zstd --ultra -22 write is within.
	if _, err := readAll(bytes.NewReader(greedyXZ(28))); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("xz -9: %v", err)
	}
}

// repeated yields one piece n times.
type repeated struct {
	piece []byte
	n, at int
}

func (r *repeated) Read(b []byte) (int, error) {
	if r.n == 0 {
		return 0, io.EOF
	}
	n := copy(b, r.piece[r.at:])
	if r.at += n; r.at == len(r.piece) {
		r.at = 0
		r.n--
	}
	return n, nil
}

// TestBombs reads gigabytes out of kilobytes. What it takes is no more than for
// any other file.
func TestBombs(t *testing.T) {
	const records = 1 << 10
	zeros := bytes.Repeat(le.record(0, 0, 64<<10-16, 64<<10-16, strings.Repeat("\x00", 64<<10-16)), records)
	for how, pieces := range map[string]int{"zstd": 16, "gzip": 1, "lz4": 1} { // xz and bzip2 take too long
		t.Run(how, func(t *testing.T) {
			head := compressed(t, how, newPcapWriter(binary.LittleEndian).header())
			body := compressed(t, how, zeros)
			r, err := NewReader(io.MultiReader(bytes.NewReader(head), &repeated{piece: body, n: pieces}))
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			most := uint64(0)
			var p Packet
			var m runtime.MemStats
			for n := 0; err == nil; n++ {
				if n%(2*records) == 0 {
					runtime.GC()
					runtime.ReadMemStats(&m)
					most = max(most, m.HeapInuse)
				}
				err = r.Next(&p)
			}
			if err != io.EOF {
				t.Error(err)
			}
			if want := uint64(pieces * records); p.Frame != 0 || r.Info().Packets != want {
				t.Errorf("%d packets, want %d", r.Info().Packets, want)
			}
			t.Logf("%d octets give %d, at most %d MiB in use (%d of them the test's)", r.Info().Bytes, pieces*len(zeros), most>>20, len(zeros)>>20)
			if most > uint64(len(zeros))+24<<20 {
				t.Errorf("%d octets in use", most)
			}
		})
	}
}

// FuzzOpen holds that whatever is put before the decompressors, reading ends
// without a panic, in one error that says where.
func FuzzOpen(f *testing.F) {
	file := newPcapWriter(binary.LittleEndian).file(samples)
	for how := range compressors {
		z := compressed(f, how, file)
		f.Add(z)
		f.Add(z[:len(z)/2])
		f.Add(compressed(f, how, z))
	}
	for _, z := range greedy {
		f.Add(z)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		r, err := NewReader(bytes.NewReader(file))
		if err == nil {
			defer r.Close()
			var p Packet
			for n := 0; n < 100_000 && err == nil; n++ { // a bomb has more
				err = r.Next(&p)
			}
		}
		if err == nil {
			return
		}
		switch s := err.Error(); {
		case err == io.EOF, errors.Is(err, ErrFormat), strings.HasPrefix(s, "frame "), strings.HasPrefix(s, "file header: "):
		case slices.ContainsFunc(codecs, func(c codec) bool { return strings.HasPrefix(s, c.name) }):
		default:
			t.Error(err)
		}
	})
}

// BenchmarkCompressed measures octets after decompression. TCPLIFE_BENCH names a
// capture; without it the packets are made up.
func BenchmarkCompressed(b *testing.B) {
	file, err := os.ReadFile(os.Getenv("TCPLIFE_BENCH"))
	if err != nil {
		var packets []sample
		for i := range 20000 {
			packets = append(packets, sample{Time(i) * 1000, 1, 1500, strings.Repeat(fmt.Sprint(i*7919), 1+i%99)})
		}
		file = newPcapWriter(binary.LittleEndian).file(packets)
	}
	for _, how := range slices.Sorted(maps.Keys(compressors)) {
		z := compressed(b, how, file)
		b.Run(how, func(b *testing.B) {
			b.SetBytes(int64(len(file)))
			b.ReportAllocs()
			for b.Loop() {
				r, err := NewReader(bytes.NewReader(z))
				var p Packet
				for err == nil {
					err = r.Next(&p)
				}
				if err != io.EOF {
					b.Fatal(err)
				}
				r.Close()
			}
		})
	}
}
