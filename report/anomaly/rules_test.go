package anomaly_test

import (
	"flag"
	"fmt"
	"io"
	"net/netip"
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
		if r.Flaw != nil {
			continue // see TestFlaws
		}
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
	case r.Severity == 0, r.Ref == "", kinds(r) != 1:
		t.Fatal("a rule needs a severity, a reference and one of Check, Start and Flaw")
	case title == "" || strings.Contains(title, "\n"), len(text) < 100:
		t.Fatal("Doc needs a title, a blank line, and an explanation")
	}
	for _, s := range r.Settings {
		if s.Name == "" || s.Default <= 0 || len(s.Why) < 20 {
			t.Errorf("setting %q needs a name, a default, and a reason for it", s.Name)
		}
	}
	for _, name := range r.Explains {
		if anomaly.Find(name) == nil {
			t.Errorf("explains %s, which is no rule", name)
		}
	}
	name := "testdata/" + r.Name + ".txtar"
	file, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	ar := txtar.Parse(file)
	var config anomaly.Config
	files := ar.Files
	if len(files) > 0 && files[0].Name == "set" { // limits that a short script can reach
		for line := range strings.Lines(string(files[0].Data)) {
			if err := config.Set(strings.TrimSpace(line)); err != nil {
				t.Fatal(err)
			}
		}
		files = files[1:]
	}
	if got := sections(files); !slices.Equal(got, []string{"fires", "findings", "silent"}) {
		t.Fatalf("%s: has the sections %v, wants fires, findings, silent", name, got)
	}
	if len(strings.TrimSpace(string(ar.Comment))) == 0 {
		t.Errorf("%s: no sentence above", name)
	}
	fires, findings := playAll(t, r, config, files[0].Data, true)
	silent, unjudged := playAll(t, r, config, files[2].Data, false)
	files[0].Data, files[1].Data, files[2].Data = []byte(fires), []byte(findings+unjudged), []byte(silent)
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

func kinds(r *anomaly.Rule) (n int) {
	for _, has := range []bool{r.Check != nil, r.Start != nil, r.Flaw != nil} {
		if has {
			n++
		}
	}
	return n
}

func sections(files []txtar.File) []string {
	var names []string
	for _, f := range files {
		names = append(names, f.Name)
	}
	return names
}

// playAll plays every script of the text and returns it with the states filled
// in, and the findings. Each script must have findings, or none.
func playAll(t *testing.T, r *anomaly.Rule, config anomaly.Config, text []byte, fires bool) (played, findings string) {
	t.Helper()
	scripts, err := script.Parse(string(text))
	if err != nil {
		t.Fatal(err)
	}
	if len(scripts) == 0 {
		t.Fatal("no script")
	}
	for len(scripts) > 0 {
		n := 1
		for n < len(scripts) && scripts[n].And {
			n++
		}
		f, unjudged := play([]*anomaly.Rule{r}, config, scripts[:n], 0, 0)
		// The second pair wraps within the handshake.
		if again, _ := play([]*anomaly.Rule{r}, config, scripts[:n], 1<<32-1, 1<<31-1); again != f {
			t.Errorf("findings depend on the initial sequence numbers:\n%s\n%s", f, again)
		}
		if (f != "") != fires {
			t.Errorf("findings: %q, in the script:\n%s", f, script.Format(scripts[:n]))
		}
		findings += f
		if !fires {
			findings += unjudged
		}
		played += script.Format(scripts[:n])
		if scripts = scripts[n:]; len(scripts) > 0 {
			played += "\n"
		}
	}
	return played, findings
}

// play plays scripts of one capture, fills in their states, and returns a line per
// finding, and one per rule that was not judged.
func play(rules []*anomaly.Rule, config anomaly.Config, scripts []*script.Script, isnA, isnB uint32) (findings, unjudged string) {
	var found, said strings.Builder
	events, of := script.Merge(scripts, isnA, isnB)
	type ends struct{ a, b netip.AddrPort }
	now := make(map[ends]*script.Step)
	states := func(c *track.Conn) {
		a, b := c.Client(), c.Server()
		step := now[ends{addrPort(a), addrPort(b)}]
		if step == nil {
			a, b = b, a
			step = now[ends{addrPort(a), addrPort(b)}]
		}
		step.A, step.B = a.State().String(), b.State().String()
	}
	checker := anomaly.NewChecker(rules, config)
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
	for i, e := range events {
		at := ends{of[i].A, of[i].B}
		if before := now[at]; before != nil {
			e.Step.A, e.Step.B = before.A, before.B
		}
		now[at] = e.Step
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
	// The states of a script with copies are those of the last.
	for _, s := range scripts {
		last := lastOf(of, s)
		for i := range s.Steps {
			s.Steps[i].A, s.Steps[i].B = last.Steps[i].A, last.Steps[i].B
		}
	}
	return found.String(), said.String()
}

// lastOf returns the last copy of s among those that were played.
func lastOf(of []*script.Script, s *script.Script) *script.Script {
	for _, c := range slices.Backward(of) {
		if c.Origin() == s {
			return c
		}
	}
	return s
}

func addrPort(e *track.End) netip.AddrPort { return netip.AddrPortFrom(e.Addr().IP(), e.Port()) }

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
