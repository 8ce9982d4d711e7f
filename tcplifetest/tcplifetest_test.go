package tcplifetest

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tcplife/decode/capture"
	"tcplife/decode/capture/live"
	"tcplife/internal/script"
)

// told is a testing.TB that keeps what it is told, and is given up at Fatal and Skip.
type told struct {
	testing.TB
	failed, skipped bool
	text            strings.Builder
}

type givenUp struct{}

func (f *told) Helper()                        {}
func (f *told) Logf(format string, a ...any)   { fmt.Fprintf(&f.text, format+"\n", a...) }
func (f *told) Errorf(format string, a ...any) { f.failed = true; f.Logf(format, a...) }
func (f *told) Fatal(a ...any)                 { f.Fatalf("%s", fmt.Sprint(a...)) }

func (f *told) Fatalf(format string, a ...any) {
	f.Errorf(format, a...)
	panic(givenUp{})
}

func (f *told) Skipf(format string, a ...any) {
	f.skipped = true
	f.Logf(format, a...)
	panic(givenUp{})
}

// in runs a test with a TB whose failure is not that of t.
func in(t *testing.T, test func(testing.TB)) *told {
	t.Helper()
	f := &told{TB: t}
	func() {
		defer func() {
			if p := recover(); p != nil && p != (givenUp{}) {
				panic(p)
			}
		}()
		test(f)
	}()
	return f
}

// played is a record.Source of a script's packets.
type played struct {
	t    testing.TB
	r    *capture.Reader
	fail error
}

func play(t testing.TB, text string) *played {
	t.Helper()
	scripts, err := script.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "in.pcap")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := script.WritePcap(f, 1, 2, scripts...); err != nil {
		t.Fatal(err)
	}
	r, err := capture.Options{}.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	return &played{t: t, r: r}
}

func (p *played) Next(pkt *capture.Packet) error {
	err := p.r.Next(pkt)
	if err == io.EOF && p.fail != nil {
		return p.fail
	}
	return err
}

func (p *played) SetDeadline(time.Time) {}
func (p *played) Stop()                 {}
func (p *played) Stats() live.Stats     { return live.Stats{Dropped: 3} }
func (p *played) Close() error          { p.r.Close(); return nil }

const refused = `
0        --> S 0:0(0)
+.010    <-- R. 0:0(0) ack 1
`

// TestCheck fails a test by its policy, with the segments of what is broken.
func TestCheck(t *testing.T) {
	for name, c := range map[string]struct {
		policy string
		failed bool
		want   []string
	}{
		"default": {"", false, []string{"told    rule connection-refused: 1 finding", "policy kept;", "3 packets were lost"}},
		"strict": {"version: 1\nrules: {connection-refused: fail}", true, []string{
			"broken  rule connection-refused: 1 finding, none is allowed (policy:2)",
			"--> S 0:0(0) win 64240", "<-- R. 1:1(0) ack 1", "= warn connection-refused",
		}},
		"wrong": {"version: 1\nrules: {refused: fail}", true, []string{"policy:2:9: rules.refused: no such rule"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := in(t, func(tb testing.TB) { start(tb, play(t, refused), 0).Check(c.policy) })
			if got.failed != c.failed {
				t.Errorf("failed: %v", got.failed)
			}
			for _, w := range c.want {
				if !strings.Contains(got.text.String(), w) {
					t.Errorf("lacks %q:\n%s", w, got.text.String())
				}
			}
		})
	}
}

func TestCheckFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "tcplife.yaml")
	if err := os.WriteFile(name, []byte("version: 1\nlimits: {handshakes_failed: 0}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	got := in(t, func(tb testing.TB) { start(tb, play(t, refused), 0).CheckFile(name) })
	if !got.failed || !strings.Contains(got.text.String(), "broken  limit handshakes_failed: 1 of 1 (100%), at most 0") {
		t.Error(got.text.String())
	}
	got = in(t, func(tb testing.TB) { start(tb, play(t, refused), 0).CheckFile(name + "x") })
	if !got.failed || !strings.Contains(got.text.String(), "no such file") {
		t.Error(got.text.String())
	}
}

// TestFailure tells where the recording broke off.
func TestFailure(t *testing.T) {
	source := play(t, refused)
	source.fail = fmt.Errorf("the interface is gone")
	got := in(t, func(tb testing.TB) { start(tb, source, time.Second).Check("") })
	if !got.failed || !strings.Contains(got.text.String(), "recording connections: the interface is gone") {
		t.Error(got.text.String())
	}
}

// TestLong tells the first and the last of many segments.
func TestLong(t *testing.T) {
	text := "0 --> S 0:0(0)\n+.010 <-- S. 0:0(0) ack 1\n+.000 --> . 1:1(0) ack 1\n"
	for i := range 200 {
		text += fmt.Sprintf("+.001 --> P. %d:%d(10) ack 1\n+.001 <-- . 1:1(0) ack %d\n", 1+10*i, 11+10*i, 11+10*i)
	}
	got := in(t, func(tb testing.TB) {
		start(tb, play(t, text), 0).Check("version: 1\nlimits: {open_at_end: 0}")
	})
	lines := strings.Count(got.text.String(), "\n")
	if !got.failed || lines > maxLines+20 || !strings.Contains(got.text.String(), "\n…\n") ||
		!strings.Contains(got.text.String(), "P. 1:11(10)") || !strings.Contains(got.text.String(), "(end of capture)") {
		t.Errorf("%d lines:\n%s", lines, got.text.String())
	}
}

// TestLeak finds what never closes upstream's bodies, with whom to suspect, while it
// still runs: nothing more passes, and the end of the recording tells for how long.
func TestLeak(t *testing.T) {
	upstream := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "hello")
	}))
	upstream.Config.IdleTimeout = 20 * time.Millisecond
	upstream.Start()
	port := netip.MustParseAddrPort(upstream.Listener.Addr().String()).Port()
	got := in(t, func(tb testing.TB) {
		rec := Record(tb, "lo", Port(port), Filter("tcp port 9"), Settle(10*time.Millisecond))
		resp, err := http.Get(upstream.URL)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { resp.Body.Close(); upstream.Close() })
		time.Sleep(500 * time.Millisecond)
		rec.Check("version: 1\nset: {close-wait.after: 200ms}\nrules: {close-wait: fail}")
	})
	if got.skipped {
		if !strings.Contains(got.text.String(), "connections are not checked: ") {
			t.Error(got.text.String())
		}
		t.Skip(got.text.String())
	}
	for _, w := range []string{"broken  rule close-wait: 1 finding", "look first at client-app", "client in CLOSE_WAIT, silent for ", "FIN_WAIT_2"} {
		if !got.failed || !strings.Contains(got.text.String(), w) {
			t.Fatalf("lacks %q:\n%s", w, got.text.String())
		}
	}
}

func TestRecordErrors(t *testing.T) {
	got := in(t, func(tb testing.TB) { Record(tb, "lo", Filter("port what")) })
	if !got.skipped && (!got.failed || !strings.Contains(got.text.String(), "recording connections: ")) {
		t.Error(got.text.String())
	}
}
