package workload

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tcplife/decode"
	"tcplife/decode/capture"
)

// all returns every kind of workload, small.
func all() []Workload { return append(Standard(0.0005), Curve(0.0005)...) }

// Figures of two commits can be compared only if both were taken on the same
// octets. If these change on purpose, raise version.
func TestSameOctets(t *testing.T) {
	want := map[string]string{
		"W1":    "3809388db7bcd524",
		"W2":    "821b577159c067d8",
		"W3":    "6765def1c158509b",
		"W4":    "c3a4b8373c97a4de",
		"W5":    "7e0c123439e332ab",
		"C5":    "08cdcf61286d1017",
		"C50":   "8f81f834f09d72bf",
		"C500":  "9b52fca7991863ab",
		"C5000": "5f0b243cd416dd11",
	}
	for _, w := range all() {
		h := sha256.New()
		if _, err := w.Write(h); err != nil {
			t.Fatal(w.Name, err)
		}
		if got := hex.EncodeToString(h.Sum(nil))[:16]; got != want[w.Name] {
			t.Errorf("%s: sha256 %s, want %s", w.Name, got, want[w.Name])
		}
	}
}

func TestSeedChangesOctets(t *testing.T) {
	w := all()[1]
	a, b := sha256.New(), sha256.New()
	if _, err := w.Write(a); err != nil {
		t.Fatal(err)
	}
	w.Seed++
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if slices.Equal(a.Sum(nil), b.Sum(nil)) {
		t.Error("another seed makes the same capture")
	}
}

// Every packet decodes, with good checksums, in the order of time; and the truth
// counts what is in the file.
func TestTruth(t *testing.T) {
	for _, w := range all() {
		t.Run(w.Name, func(t *testing.T) {
			path, want, err := Make(w, t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			got := Truth{Connections: want.Connections, Retransmits: want.Retransmits, Outcomes: want.Outcomes}
			fi, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			got.Bytes = fi.Size()
			r, err := capture.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			d := decode.NewDecoder()
			var seg decode.Segment
			var p capture.Packet
			var last capture.Time
			for {
				if err := r.Next(&p); err == io.EOF {
					break
				} else if err != nil {
					t.Fatal(err)
				}
				if got.Packets++; p.Time < last {
					t.Fatalf("frame %d is older than the one before", p.Frame)
				}
				last = p.Time
				switch res := d.Decode(&p, &seg); {
				case res.Kind == decode.AsSegment && seg.Checksum == decode.ChecksumGood:
				case res.Kind == decode.Skipped && res.Skip == decode.SkipUDP && w.UDP > 0:
					continue
				default:
					t.Fatalf("frame %d: %+v, %+v", p.Frame, res, seg)
				}
				s := &seg
				got.Segments++
				got.PayloadBytes += uint64(s.Len)
				if s.Flags.Has(decode.SYN) {
					got.SYN++
				}
				if s.Flags.Has(decode.FIN) {
					got.FIN++
				}
				if s.Flags.Has(decode.RST) {
					got.RST++
				}
			}
			g, _ := json.Marshal(got)
			v, _ := json.Marshal(want)
			if string(g) != string(v) {
				t.Errorf("the file holds\n%s, the truth says\n%s", g, v)
			}
			var n uint64
			for _, k := range want.Outcomes {
				n += k
			}
			if n != want.Connections || n != uint64(w.Connections) {
				t.Errorf("%d connections wanted, %d made, %d outcomes", w.Connections, want.Connections, n)
			}
		})
	}
}

// What is there is not made again, unless it is another workload's or damaged.
func TestMadeOnce(t *testing.T) {
	dir, w := t.TempDir(), all()[1]
	if _, ok := Made(w, dir); ok {
		t.Fatal("made before it was made")
	}
	path, truth, err := Make(w, dir)
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := Made(w, dir); !ok || got.Packets != truth.Packets {
		t.Error("not found again")
	}
	other := w
	other.Seed++
	if _, ok := Made(other, dir); ok {
		t.Error("another workload's capture was taken for it")
	}
	if err := os.Truncate(path, truth.Bytes-1); err != nil {
		t.Fatal(err)
	}
	if _, ok := Made(w, dir); ok {
		t.Error("a capture that was cut was taken for it")
	}
}

type full struct{}

var errFull = errors.New("no space left")

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestWriteError(t *testing.T) {
	w := Standard(0.05)[1] // longer than what is buffered
	if _, err := w.Write(full{}); err == nil || !strings.Contains(err.Error(), errFull.Error()) {
		t.Errorf("%v, want %v", err, errFull)
	}
}

// The estimate decides whether a user lets it be made.
func TestSize(t *testing.T) {
	for _, w := range append(Standard(0.005), Curve(0.005)...) {
		truth, err := w.Write(io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if got := w.Size(); got < truth.Bytes*8/10 || got > truth.Bytes*12/10 {
			t.Errorf("%s: %d octets foretold, %d made", w.Name, got, truth.Bytes)
		}
	}
}

// Copies of the sample captures have addresses of their own, and checksums as
// good as before.
func TestMerged(t *testing.T) {
	dir := t.TempDir()
	sample, err := os.ReadFile("../../../testdata/pcaps/close-wait-stuck.pcap")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"a.pcap": string(sample), "b.txt": "no capture", "sub/cut.pcap": string(sample[:300])} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	m := Merged{Name: "W6", Dir: dir, Size: 10_000, Seed: 6}
	path, truth, err := Make(m, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if truth.Bytes < m.Size || truth.Bytes > m.Size+2000 {
		t.Errorf("%d octets, %d were wanted", truth.Bytes, m.Size)
	}
	r, err := capture.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	d := decode.NewDecoder()
	var seg decode.Segment
	var p capture.Packet
	clients := make(map[decode.Addr]int)
	var packets uint64
	for r.Next(&p) == nil {
		packets++
		if d.Decode(&p, &seg).Kind != decode.AsSegment {
			continue
		}
		if seg.Checksum == decode.ChecksumBad {
			t.Errorf("frame %d: bad checksum", p.Frame)
		}
		if seg.Flags.Has(decode.SYN) && !seg.Flags.Has(decode.ACK) {
			clients[seg.Src]++
		}
	}
	if packets != truth.Packets {
		t.Errorf("%d packets, the truth says %d", packets, truth.Packets)
	}
	if len(clients) < 3 {
		t.Errorf("clients %v: copies are not told apart", clients)
	}
}

func TestMergedNothing(t *testing.T) {
	_, _, err := Make(Merged{Name: "W6", Dir: t.TempDir(), Size: 1000}, t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "holds no capture") {
		t.Error(err)
	}
}

// readdress takes frames as they were captured, and so whatever there is.
func FuzzReaddress(f *testing.F) {
	w := all()[0]
	path, _, err := Make(w, f.TempDir())
	if err != nil {
		f.Fatal(err)
	}
	r, err := capture.Open(path)
	if err != nil {
		f.Fatal(err)
	}
	var p capture.Packet
	for range 20 {
		if err := r.Next(&p); err != nil {
			f.Fatal(err)
		}
		f.Add(slices.Clone(p.Data), byte(1))
	}
	r.Close()
	f.Fuzz(func(t *testing.T, b []byte, mask byte) {
		was := decoded(slices.Clone(b))
		if was.checksum == decode.ChecksumOffload {
			return
		}
		readdress(b, mask)
		if is := decoded(b); is != was {
			t.Errorf("%v, %v before", is, was)
		}
	})
}

// decoded says what of a frame must stay as it was.
func decoded(b []byte) (is struct {
	kind     decode.Kind
	checksum decode.Checksum
},
) {
	d := decode.NewDecoder()
	var seg decode.Segment
	is.kind = d.Decode(&capture.Packet{LinkType: 1, Length: uint32(len(b)), Data: b}, &seg).Kind
	if is.kind == decode.AsSegment {
		is.checksum = seg.Checksum
	}
	return is
}
