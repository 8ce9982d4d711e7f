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

	"pgregory.net/rapid"
)

// merged is what a Merge yields.
type merged struct {
	file  int
	frame uint64
	time  Time
	data  string
}

// memory returns a Merge of files in memory. Their readers can be opened again
// if again is set, as those of files can.
func memory(files [][]byte, again bool, ended func(int, Info, error)) *Merge {
	var paths []string
	for i := range files {
		paths = append(paths, fmt.Sprint(i))
	}
	m := NewMerge(paths, 0, Options{}, ended)
	m.open = func(path string, o Options) (*Reader, error) {
		var i int
		fmt.Sscan(path, &i)
		o.BufferSize = 64
		r, err := newReader(bytes.NewReader(files[i]), o)
		if err == nil {
			r.regular = again
		}
		return r, err
	}
	return m
}

func mergeAll(m *Merge) (all []merged) {
	var p Packet
	for {
		switch err := m.Next(&p); err {
		case nil:
		case io.EOF:
			return all
		default:
			panic(err)
		}
		file, n := SplitFrame(p.Frame)
		all = append(all, merged{file, n, p.Time, string(p.Data)})
	}
}

func TestFrame(t *testing.T) {
	for _, f := range []struct {
		file int
		n    uint64
	}{{0, 0}, {0, 1}, {0, 1<<40 - 1}, {1, 1}, {MaxFiles - 1, 1<<40 - 1}} {
		if file, n := SplitFrame(JoinFrame(f.file, f.n)); file != f.file || n != f.n {
			t.Errorf("%v: got %d, %d", f, file, n)
		}
	}
	if JoinFrame(0, 7) != 7 {
		t.Error("the frames of a single file have other numbers than in it")
	}
}

// TestMerge holds a Merge to the plain rule: of the files' next packets the
// earliest, and of several the first file's. Every packet comes, in its file's
// order, with its file's number, and every file ends once.
func TestMerge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 24).Draw(t, "files")
		times := make([][]Time, n)
		files := make([][]byte, n)
		total := 0
		for i := range files {
			at := Time(rapid.IntRange(0, 50).Draw(t, "begins"))
			var packets []sample
			for range rapid.IntRange(0, 6).Draw(t, "packets") {
				times[i] = append(times[i], at*1000)
				packets = append(packets, sample{at * 1000, 1, 2, fmt.Sprintf("%d %d", i, len(packets))})
				at = max(0, at+Time(rapid.IntRange(-2, 9).Draw(t, "step")))
			}
			total += len(packets)
			files[i] = newPcapWriter(binary.LittleEndian).file(packets)
		}
		ended := make([]int, n)
		again := rapid.Bool().Draw(t, "again")
		got := mergeAll(memory(files, again, func(file int, i Info, err error) {
			if err != nil || i.Format != "pcap" || i.Packets != uint64(len(times[file])) {
				t.Errorf("file %d of %d packets ends with %v, %+v", file, len(times[file]), err, i)
			}
			ended[file]++
		}))
		if len(got) != total || slices.ContainsFunc(ended, func(n int) bool { return n != 1 }) {
			t.Fatalf("%d packets of %d; files ended %v times", len(got), total, ended)
		}
		next := make([]int, n)
		for _, p := range got {
			least := -1
			for i := range files {
				if next[i] < len(times[i]) && (least < 0 || times[i][next[i]] < times[least][next[least]]) {
					least = i
				}
			}
			want := merged{least, uint64(next[least] + 1), times[least][next[least]], fmt.Sprintf("%d %d", least, next[least])}
			if p != want {
				t.Fatalf("got %v, want %v", p, want)
			}
			next[least]++
		}
	})
}

// TestSplit holds that a capture split anywhere is the same observation, if its
// clock does not step back over a split.
func TestSplit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var packets []sample
		at := Time(0)
		for i := range rapid.IntRange(1, 60).Draw(t, "packets") {
			at += Time(rapid.IntRange(0, 3).Draw(t, "step")) * 1000
			packets = append(packets, sample{at, 1, 2, fmt.Sprint(i)})
		}
		var files [][]byte
		for rest := packets; len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "split")
			files = append(files, newPcapWriter(binary.LittleEndian).file(rest[:n]))
			rest = rest[n:]
		}
		got := mergeAll(memory(files, true, func(int, Info, error) {}))
		if len(got) != len(packets) {
			t.Fatalf("%d packets of %d", len(got), len(packets))
		}
		for i, p := range got {
			if p.data != packets[i].Data || p.time != packets[i].Time {
				t.Fatalf("packet %d: %v, want %v", i, p, packets[i])
			}
		}
	})
}

// TestMergeErrors: a file that cannot be opened, or not be read to its end,
// leaves the others as they are.
func TestMergeErrors(t *testing.T) {
	good := newPcapWriter(binary.LittleEndian).file(samples[:2])
	empty := newPcapWriter(binary.LittleEndian).header()
	told := map[int]string{}
	m := memory([][]byte{good, good[:len(good)-1], []byte("packets"), empty, good[:30]}, false, func(file int, i Info, err error) {
		told[file] = fmt.Sprint(i.Format, " ", i.Packets, " ", err)
	})
	if n := len(mergeAll(m)); n != 3 {
		t.Errorf("%d packets", n)
	}
	var p Packet
	if err := m.Next(&p); err != io.EOF {
		t.Errorf("behind the end: %v", err)
	}
	for file, want := range []string{
		"pcap 2 <nil>", "pcap 1 frame 2: unexpected EOF", " 0 not a pcap or pcapng file", "pcap 0 <nil>", "pcap 0 frame 1: unexpected EOF",
	} {
		if told[file] != want {
			t.Errorf("file %d: %q, want %q", file, told[file], want)
		}
	}
}

// TestManyFiles holds that files are open only while their packets are merged,
// and that there is a limit.
func TestManyFiles(t *testing.T) {
	dir := t.TempDir()
	var apart, together []string
	size := int64(0)
	for i := range maxOpen + 50 {
		at := Time(i) * 1e9
		packets := []sample{{at, 1, 1, "a"}, {at + 1500e6, 1, 1, "b"}} // overlaps with the next
		for name, list := range map[string]*[]string{"apart": &apart, "together": &together} {
			path := filepath.Join(dir, fmt.Sprintf("%s-%03d.pcap", name, i))
			if name == "together" {
				packets[1].Time = 1e15
			}
			if err := os.WriteFile(path, newPcapWriter(binary.LittleEndian).file(packets), 0o600); err != nil {
				t.Fatal(err)
			}
			packets[1].Time = at + 1500e6
			*list = append(*list, path)
		}
		size += 24 + 2*17
	}
	slices.Reverse(apart) // the files are numbered as they are named, not as they begin
	for _, c := range []struct {
		paths      []string
		open, lost int
	}{{apart, 3, 0}, {together, maxOpen, 50}} {
		lost := 0
		m := NewMerge(c.paths, 3, Options{}, func(file int, i Info, err error) {
			if err != nil {
				if want := "not read: it overlaps in time with 200 files that are open"; err.Error() != want {
					t.Errorf("file %d: %v, want %s", file, err, want)
				}
				lost++
			}
		})
		most, n, last := 0, 0, Time(0)
		var p Packet
		for m.Next(&p) == nil {
			most = max(most, len(m.streams))
			n++
			file, frame := SplitFrame(p.Frame)
			if p.Time < last || frame < 1 || frame > 2 || file < 3 {
				t.Fatalf("frame %d of file %d at %d after %d", frame, file, p.Time, last)
			}
			last = p.Time
		}
		if most > c.open || lost != c.lost || n != 2*(len(c.paths)-lost) {
			t.Errorf("%d packets; %d files open at most, want %d; %d lost, want %d", n, most, c.open, lost, c.lost)
		}
		if read, of := m.Progress(); lost == 0 && (read != size || of != size) {
			t.Errorf("progress is %d of %d, want %d", read, of, size)
		}
		m.Close()
	}
}

func TestMergeClose(t *testing.T) {
	file := newPcapWriter(binary.LittleEndian).file(samples)
	m := memory([][]byte{file, file}, true, func(int, Info, error) { t.Error("ended") })
	var p Packet
	if err := errors.Join(m.Next(&p), m.Next(&p)); err != nil {
		t.Fatal(err)
	}
	m.Close()
	if err := m.Next(&p); err != io.EOF {
		t.Errorf("after Close: %v", err)
	}
}

func endless(n int) *Merge {
	m := memory(make([][]byte, n), false, func(int, Info, error) {})
	file := newPcapWriter(binary.LittleEndian).file([]sample{{1e9, 1, 40, strings.Repeat("x", 40)}, {2e9, 1, 40, strings.Repeat("y", 40)}})
	m.open = func(string, Options) (*Reader, error) { return NewReader(&repeat{file: file, from: len(file)}) }
	return m
}

func TestMergeAllocs(t *testing.T) {
	for _, files := range []int{1, 5} {
		m := endless(files)
		var p Packet
		if n := testing.AllocsPerRun(1000, func() { _ = m.Next(&p) }); n != 0 {
			t.Errorf("%d files: %v allocations per packet", files, n)
		}
	}
}

func BenchmarkMerge(b *testing.B) {
	for _, n := range []int{1, 2, 16, maxOpen} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			m := endless(n)
			var p Packet
			b.ReportAllocs()
			for b.Loop() {
				_ = m.Next(&p)
			}
		})
	}
}

func (m merged) String() string {
	return fmt.Sprintf("%d:%d at %d %q", m.file, m.frame, m.time, m.data)
}
