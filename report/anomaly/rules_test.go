package anomaly_test

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"tcplife/decode"
	"tcplife/internal/script"
	"tcplife/report/anomaly"
	"tcplife/track"
)

var update = flag.Bool("update", false, "rewrite states and findings in testdata; read the diff before committing it")

// TestRules plays the scripts in testdata/NAME.txtar of each rule: in those under
// "fires" it must have the findings listed, in those under "silent" none. A rule
// without a reference, an explanation, or either kind of script is refused.
func TestRules(t *testing.T) {
	var known []string
	for _, r := range anomaly.All {
		known = append(known, "testdata/"+r.Name+".txtar")
		t.Run(r.Name, func(t *testing.T) { testRule(t, r) })
	}
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !slices.Contains(known, f) {
			t.Errorf("%s: no such rule", f)
		}
	}
}

func testRule(t *testing.T, r *anomaly.Rule) {
	title, text, _ := strings.Cut(r.Doc, "\n\n")
	switch {
	case r.Severity == 0, r.Ref == "", (r.Check == nil) == (r.Start == nil):
		t.Fatal("a rule needs a severity, a reference and either Check or Start")
	case title == "" || strings.Contains(title, "\n"), len(text) < 100:
		t.Fatal("Doc needs a title, a blank line, and an explanation")
	}
	for _, s := range r.Settings {
		if s.Name == "" || s.Default <= 0 || len(s.Why) < 20 {
			t.Errorf("setting %q needs a name, a default, and a reason for it", s.Name)
		}
	}
	for _, name := range r.Explains {
		if anomaly.Find(name) == nil && !planned[name] {
			t.Errorf("explains %s, which is no rule", name)
		}
	}
	name := "testdata/" + r.Name + ".txtar"
	file, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	ar := txtar.Parse(file)
	if got := sections(ar); !slices.Equal(got, []string{"fires", "findings", "silent"}) {
		t.Fatalf("%s: has the sections %v, wants fires, findings, silent", name, got)
	}
	if len(strings.TrimSpace(string(ar.Comment))) == 0 {
		t.Errorf("%s: no sentence above", name)
	}
	fires, findings := playAll(t, r, ar.Files[0].Data, true)
	silent, unjudged := playAll(t, r, ar.Files[2].Data, false)
	ar.Files[0].Data, ar.Files[1].Data, ar.Files[2].Data = []byte(fires), []byte(findings+unjudged), []byte(silent)
	got := txtar.Format(ar)
	if string(got) == string(file) {
		return
	}
	if !*update {
		t.Fatalf("%s: got\n%s", name, got)
	}
	if err := os.WriteFile(name, got, 0o644); err != nil {
		t.Fatal(err)
	}
}

// planned are the rules that others explain, and which are yet to come.
var planned = map[string]bool{
	"fin-wait-2": true, "fin-unanswered": true, "half-open-peer": true, "data-after-close": true, "idle-timeout-reset": true,
}

func sections(ar *txtar.Archive) []string {
	var names []string
	for _, f := range ar.Files {
		names = append(names, f.Name)
	}
	return names
}

// playAll plays every script of the text and returns it with the states filled
// in, and the findings. Each script must have findings, or none.
func playAll(t *testing.T, r *anomaly.Rule, text []byte, fires bool) (played, findings string) {
	t.Helper()
	scripts, err := script.Parse(string(text))
	if err != nil {
		t.Fatal(err)
	}
	if len(scripts) == 0 {
		t.Fatal("no script")
	}
	for _, s := range scripts {
		f, unjudged := play(r, s, 0, 0)
		// The second pair wraps within the handshake.
		if again, _ := play(r, s, 1<<32-1, 1<<31-1); again != f {
			t.Errorf("findings depend on the initial sequence numbers:\n%s\n%s", f, again)
		}
		if (f != "") != fires {
			t.Errorf("findings: %q, in the script:\n%s", f, s)
		}
		findings += f
		if !fires {
			findings += unjudged
		}
	}
	return script.Format(scripts), findings
}

// play plays the script, fills in its states, and returns a line per finding, and
// one per rule that was not judged.
func play(r *anomaly.Rule, s *script.Script, isnA, isnB uint32) (findings, unjudged string) {
	var found, said strings.Builder
	var now *script.Step
	states := func(c *track.Conn) {
		a, b := c.Client(), c.Server()
		if a.Addr().IP() != s.A.Addr() || a.Port() != s.A.Port() {
			a, b = b, a
		}
		now.A, now.B = a.State().String(), b.State().String()
	}
	checker := anomaly.NewChecker([]*anomaly.Rule{r}, anomaly.Config{})
	tr := track.New(track.Config{})
	tr.Observe = func(c *track.Conn, _ *decode.Segment, _ track.Notes) { states(c) }
	tr.Done = func(c *track.Conn) {
		states(c)
		findings, unjudged := checker.Check(c, c.ID, tr.Now())
		for i := range findings {
			tell(&found, &findings[i], c)
		}
		for _, n := range unjudged {
			fmt.Fprintf(&said, "%s not judged: %s\n", n.Rule.Name, n.Why)
		}
	}
	for _, e := range s.Events(isnA, isnB) {
		before := now
		now = e.Step
		if before != nil {
			now.A, now.B = before.A, before.B
		}
		switch {
		case e.Segment != nil:
			tr.Segment(e.Segment)
		case e.ICMP != nil:
			tr.ICMP(e.ICMP)
		default:
			tr.Tick(e.Time, e.Frame)
		}
	}
	tr.Flush()
	tr.Each(func(c *track.Conn) { checker.Look(c, c.ID, tr.Now()) })
	tr.Finish()
	group := checker.Finish(tr.Now())
	for i := range group {
		tell(&found, &group[i], nil)
	}
	return found.String(), said.String()
}

// tell writes the finding, about c unless that is nil.
func tell(w io.Writer, f *anomaly.Finding, c *track.Conn) {
	fmt.Fprintf(w, "%v %s", f.Severity, f.Rule.Name)
	switch {
	case c == nil && f.Addr != (decode.Addr{}):
		fmt.Fprintf(w, " %v", f.Addr.IP())
		if f.Port != 0 {
			fmt.Fprintf(w, ":%d", f.Port)
		}
	case f.Side != anomaly.NoSide:
		e := c.Ends()[f.Side-anomaly.ClientSide]
		fmt.Fprintf(w, " %v:%d", e.Addr().IP(), e.Port())
	}
	fmt.Fprintf(w, ": %s (%v; %v)\n", f.Message, f.Suspect, f.Packets)
}
