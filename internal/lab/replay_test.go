package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
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
		t.Run(name, func(t *testing.T) {
			for _, d := range replay(t, filepath.Dir(file), name, true) {
				t.Error(d)
			}
		})
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

// replay returns what the tracker says of a capture otherwise than the kernels.
func replay(t *testing.T, dir, name string, times bool) []string {
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
	gs, err := trackFile(filepath.Join(dir, name+".pcap"))
	if err != nil {
		t.Fatal(err)
	}
	if !times {
		for _, w := range ws {
			w.At = [2][]when{}
		}
	}
	return compare(ws, gs)
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
		if _, ok := pattern(strings.Fields(tt.pattern)).fit(strings.Fields(tt.states)); ok != tt.fits {
			t.Errorf("pattern %q, states %q: %v", tt.pattern, tt.states, ok)
		}
	}
}

func TestCompare(t *testing.T) {
	const kernel = `# refused: a SYN to a closed port
connection 192.0.2.1:40000 > 198.51.100.1:80
client SYN_SENT ESTABLISHED? CLOSED
server -
client-at -0.002 - 0.500
within 60ms
closed-first none
`
	ws, err := parseWants(strings.NewReader(kernel))
	if err != nil {
		t.Fatal(err)
	}
	client, server := ws[0].Client, ws[0].Server
	const ms = when(time.Millisecond)
	good := func() *got {
		return &got{Client: client, Server: server, Ends: [2][]move{{{state: "CLOSED"}, {state: "SYN_SENT"}, {state: "CLOSED", at: 550 * ms}}, nil}, ClosedFirst: "none"}
	}
	for _, tt := range []struct {
		what string
		gs   func() []*got
		want string // of the only difference
	}{
		{"the same", func() []*got { return []*got{good()} }, ""},
		{"nothing", func() []*got { return nil }, "no such connection"},
		{"twice", func() []*got { return []*got{good(), good()} }, "the kernels had no such connection"},
		{"exchanged", func() []*got {
			g := good()
			g.Client, g.Server = server, client
			g.Ends[0], g.Ends[1] = g.Ends[1], g.Ends[0]
			return []*got{g}
		}, "client and server exchanged"},
		{"a state too many", func() []*got {
			g := good()
			g.Ends[1] = []move{{state: "LISTEN"}, {state: "SYN_RCVD"}}
			return []*got{g}
		}, "server\n"},
		{"late", func() []*got {
			g := good()
			g.Ends[0][2].at = 561 * ms
			return []*got{g}
		}, "client enters CLOSED"},
		{"closed first", func() []*got {
			g := good()
			g.ClosedFirst = "client"
			return []*got{g}
		}, "closed first"},
	} {
		diffs := compare(ws, tt.gs())
		if tt.want == "" && diffs != nil || tt.want != "" && (len(diffs) != 1 || !strings.Contains(diffs[0], tt.want)) {
			t.Errorf("%s: differences %q, want %q", tt.what, diffs, tt.want)
		}
	}
	var b strings.Builder
	ws[0].Notes = []string{"refused: a SYN to a closed port"}
	ws[0].write(&b)
	if b.String() != kernel {
		t.Errorf("written as\n%s", b.String())
	}
}
