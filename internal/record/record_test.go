package record

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tcplife/decode/capture"
	"tcplife/decode/capture/live"
	"tcplife/internal/script"
)

// fake is a Source of the packets that are sent to it.
type fake struct {
	packets  chan capture.Packet
	stop     chan struct{}
	deadline time.Time
	fail     error // what Next returns when the packets are over
	closed   bool
}

func newFake() *fake {
	return &fake{packets: make(chan capture.Packet, 100), stop: make(chan struct{})}
}

func (f *fake) SetDeadline(t time.Time) { f.deadline = t }

func (f *fake) Next(p *capture.Packet) error {
	select {
	case *p = <-f.packets:
		return nil
	default:
	}
	if f.fail != nil {
		return f.fail
	}
	select {
	case *p = <-f.packets:
		return nil
	case <-f.stop:
		return io.EOF
	case <-time.After(time.Until(f.deadline)):
		return os.ErrDeadlineExceeded
	}
}

func (f *fake) Stop()             { close(f.stop) }
func (f *fake) Stats() live.Stats { return live.Stats{Received: 9, Dropped: 2} }
func (f *fake) Close() error      { f.closed = true; return nil }

// packets returns those of a script.
func packets(t *testing.T, text string) []capture.Packet {
	t.Helper()
	scripts, err := script.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "in.pcap")
	file, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := script.WritePcap(file, 1, 2, scripts...); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	return read(t, name)
}

func read(t *testing.T, name string) (all []capture.Packet) {
	t.Helper()
	r, err := capture.Options{}.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var p capture.Packet
	for err = r.Next(&p); err == nil; err = r.Next(&p) {
		p.Data = append([]byte(nil), p.Data...)
		all = append(all, p)
	}
	if !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return all
}

const closing = `
0        --> S 0:0(0)
+.010    <-- S. 0:0(0) ack 1
+.000    --> . 1:1(0) ack 1
+1       --> F. 1:1(0) ack 1
+.010    <-- . 1:1(0) ack 2
+1       <-- F. 1:1(0) ack 2
+.000    --> . 2:2(0) ack 2
`

// TestRecord keeps what the source yields, octet by octet.
func TestRecord(t *testing.T) {
	want := packets(t, closing)
	f := newFake()
	name := filepath.Join(t.TempDir(), "out.pcapng")
	r, err := Start(f, name)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range want {
		f.packets <- p
	}
	stats, err := r.Stop()
	if err != nil || stats.Dropped != 2 || !f.closed {
		t.Fatal(err, stats, f.closed)
	}
	got := read(t, name)
	if len(got) != len(want) {
		t.Fatalf("%d packets, want %d", len(got), len(want))
	}
	for i := range got {
		if got[i].Time != want[i].Time || string(got[i].Data) != string(want[i].Data) || got[i].Length != want[i].Length {
			t.Errorf("packet %d: %+v, want %+v", i, got[i], want[i])
		}
	}
}

// TestSettle waits for the connection that is closing, and no longer than is allowed.
func TestSettle(t *testing.T) {
	all := packets(t, closing)
	for name, c := range map[string]struct {
		before, later int // packets that passed, and that pass after a second
		least, most   time.Duration
		left          int
	}{
		"open":          {3, 3, 0, 200 * time.Millisecond, 0},
		"closes":        {5, 7, time.Second, 1200 * time.Millisecond, 0},
		"stays":         {5, 5, 3 * time.Second, 3200 * time.Millisecond, 1},
		"in the middle": {1, 1, 3 * time.Second, 3200 * time.Millisecond, 1},
	} {
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "out.pcapng")
			synctest.Test(t, func(t *testing.T) {
				f := newFake()
				r, err := Start(f, out)
				if err != nil {
					t.Fatal(err)
				}
				for _, p := range all[:c.before] {
					f.packets <- p
				}
				time.AfterFunc(time.Second, func() {
					for _, p := range all[c.before:c.later] {
						f.packets <- p
					}
				})
				begun := time.Now()
				left := r.Settle(3 * time.Second)
				if took := time.Since(begun); left != c.left || took < c.least || took > c.most {
					t.Errorf("took %v, %d left", took, left)
				}
				if _, err := r.Stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestFailure ends the recording, and Settle, and is told by Stop.
func TestFailure(t *testing.T) {
	f := newFake()
	f.fail = errors.New("the interface is gone")
	r, err := Start(f, filepath.Join(t.TempDir(), "out.pcapng"))
	if err != nil {
		t.Fatal(err)
	}
	if n := r.Settle(time.Minute); n != 0 {
		t.Errorf("%d left", n)
	}
	if _, err := r.Stop(); err == nil || !strings.Contains(err.Error(), "gone") || !f.closed {
		t.Error(err, f.closed)
	}

	if _, err := Start(newFake(), filepath.Join(t.TempDir(), "no", "where")); err == nil {
		t.Error("a file where there can't be one")
	}
}
