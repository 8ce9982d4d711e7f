package main

import (
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tcplife/decode"
	"tcplife/decode/capture"
	"tcplife/track"
)

const pcaps = "../../testdata/pcaps"

// TestReplay holds the tracker to what the kernels said when the captures were
// made.
func TestReplay(t *testing.T) {
	files, err := filepath.Glob(pcaps + "/*.want")
	if err != nil || files == nil {
		t.Fatalf("no captures in %s: %v", pcaps, err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".want")
		t.Run(name, func(t *testing.T) { replay(t, filepath.Dir(file), name) })
	}
}

// TestCapturesAreComplete finds a capture without its row or its truth.
func TestCapturesAreComplete(t *testing.T) {
	readme, err := os.ReadFile(pcaps + "/README.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(pcaps + "/*.pcap")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".pcap")
		if _, err := os.Stat(strings.TrimSuffix(file, ".pcap") + ".want"); err != nil {
			t.Error(err)
		}
		if !strings.Contains(string(readme), "| "+name+" |") {
			t.Errorf("%s: no row in README.md", name)
		}
	}
}

// replay compares the tracker with the kernels on one capture.
func replay(t *testing.T, dir, name string) {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, name+".want"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ws, err := parseWants(f)
	if err != nil {
		t.Fatal(err)
	}
	if ws == nil {
		t.Fatal("no connections in ", f.Name())
	}
	gs, err := tracked(filepath.Join(dir, name+".pcap"))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range compare(ws, gs) {
		t.Error(d)
	}
}

// tracked returns the connections of a capture file, in order of first frame.
func tracked(file string) ([]*got, error) {
	r, err := capture.Open(file)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	type numbered struct {
		frame uint64
		*got
	}
	var all []numbered
	tr := track.New(track.Config{})
	tr.Done = func(c *track.Conn) {
		g := &got{ClosedFirst: c.ClosedFirst().String()}
		for i, e := range c.Ends() {
			for j, tn := range e.Transitions() {
				if j == 0 {
					g.Ends[i] = append(g.Ends[i], tn.From.String())
				}
				g.Ends[i] = append(g.Ends[i], tn.To.String())
			}
		}
		addr := func(e *track.End) netip.AddrPort { return netip.AddrPortFrom(e.Addr.IP(), e.Port) }
		g.Client, g.Server = addr(c.Client()), addr(c.Server())
		all = append(all, numbered{c.First, g})
	}
	d := decode.NewDecoder()
	for {
		var p capture.Packet
		err := r.Next(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		switch d.Decode(&p).Kind {
		case decode.AsSegment:
			tr.Segment(&d.Segment)
		case decode.AsICMP:
			tr.ICMP(&d.ICMP)
		default:
			tr.Tick(p.Time, p.Frame)
		}
	}
	tr.Finish()
	slices.SortStableFunc(all, func(a, b numbered) int {
		return int(a.frame) - int(b.frame)
	})
	var gs []*got
	for _, n := range all {
		gs = append(gs, n.got)
	}
	return gs, nil
}

func TestPattern(t *testing.T) {
	for _, tt := range []struct {
		pattern, states string
		fits            bool
	}{
		{"", "", true},
		{"", "CLOSED", false},
		{"*", "A B", true},
		{"A B", "A B", true},
		{"A B", "A", false},
		{"A B", "A B C", false},
		{"A B? C", "A C", true},
		{"A B? C", "A B C", true},
		{"A? A", "A", true}, // the optional one is the missing one
		{"A B? C?", "A", true},
		{"A B? C?", "A C B", false},
	} {
		if got := pattern(strings.Fields(tt.pattern)).fits(strings.Fields(tt.states)); got != tt.fits {
			t.Errorf("pattern %q, states %q: %v", tt.pattern, tt.states, got)
		}
	}
}
