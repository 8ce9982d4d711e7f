package policy

import (
	"bytes"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"tcplife/decode"
	"tcplife/decode/capture"
	"tcplife/internal/script"
	"tcplife/report"
	"tcplife/report/anomaly"
	"tcplife/track"
)

var update = flag.Bool("update", false, "rewrite what testdata expects; read the diff before committing it")

// rules are those of the scripts, so that a new one does not change them all.
var rules = []*anomaly.Rule{
	anomaly.SynUnanswered, anomaly.ConnectionRefused, anomaly.HalfOpenHandshake,
	anomaly.ResetByClient, anomaly.ResetByServer, anomaly.CloseWait,
}

// judge plays the scripts as one capture to a judge, the connections changed.
func judge(t testing.TB, p *Policy, text string, change ...func(*report.Connection)) *Judge {
	t.Helper()
	scripts, err := script.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	var pcap bytes.Buffer
	if err := script.WritePcap(&pcap, 305419896, 2596069104, scripts...); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "run.pcap")
	if err := os.WriteFile(name, pcap.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	var config anomaly.Config
	for _, s := range p.Set {
		if err := config.Set(s); err != nil {
			t.Fatal(err)
		}
	}
	j := NewJudge(p)
	j.Explain = func(conn uint64, _ string) string { return fmt.Sprintf("explain %d", conn) }
	checker := anomaly.NewChecker(rules, config)
	tr := track.New(track.Config{})
	in := report.Capture{Name: "run.pcap"}
	var sum report.Summary
	tr.Done = func(c *track.Conn) {
		conn := report.Connection{Conn: c, ID: c.ID, Capture: in.Name, Now: tr.Now()}
		conn.Findings, conn.NotJudged = checker.Check(c, c.ID, tr.Now())
		sum.Connection(&conn)
		for _, change := range change {
			change(&conn)
		}
		if err := j.Connection(&conn); err != nil {
			t.Fatal(err)
		}
	}
	d := decode.NewDecoder()
	m := capture.NewMerge([]string{name}, 0, capture.Options{}, func(_ int, _ capture.Info, err error) {
		if err != nil {
			t.Fatal(err)
		}
	})
	defer m.Close()
	var pkt capture.Packet
	for m.Next(&pkt) == nil {
		in.Count(&pkt)
		var seg decode.Segment
		if d.Decode(&pkt, &seg).Kind == decode.AsSegment {
			tr.Add(&seg)
		} else {
			tr.AddTick(pkt.Time, pkt.Frame)
		}
	}
	tr.Flush()
	tr.Finish()
	sum.Capture(&in)
	j.Capture(&in)  //nolint:errcheck // returns none
	j.Summary(&sum) //nolint:errcheck // returns none
	return j
}

// dump tells the results that are of interest: all but those of rules without
// findings.
func dump(v *Verdict) string {
	var b strings.Builder
	for i := range v.Results {
		r := &v.Results[i]
		if r.Kind == RuleCheck && r.Status == Kept && r.Count+r.Allowed == 0 && r.Scope == "" {
			continue
		}
		fmt.Fprintf(&b, "%v %s: %s", r.Status, r.ID(), r.Message)
		if r.Suspect != anomaly.NoSuspect {
			fmt.Fprintf(&b, " [%v]", r.Suspect)
		}
		fmt.Fprintf(&b, " line %d\n", r.Line)
		for _, x := range r.Examples {
			fmt.Fprintf(&b, "    %s; %s\n", x.String(), x.Explain)
		}
	}
	for _, n := range v.Notes {
		fmt.Fprintf(&b, "note %s\n", n)
	}
	return b.String()
}

// TestJudge holds the verdicts on the captures in testdata/judge to what is written
// there: each file has a capture in the notation of package script, and policies
// with the verdict behind each.
func TestJudge(t *testing.T) {
	files, err := filepath.Glob("testdata/judge/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			ar, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if len(ar.Files)%2 != 1 || ar.Files[0].Name != "capture.tcp" {
				t.Fatal("want capture.tcp, then policies with a verdict each")
			}
			changed := false
			for i := 1; i < len(ar.Files); i += 2 {
				p, err := Parse(ar.Files[i].Name, ar.Files[i].Data)
				if err != nil {
					t.Fatal(err)
				}
				got := dump(judge(t, p, string(ar.Files[0].Data)).Verdict())
				if got != string(ar.Files[i+1].Data) {
					changed = true
					if !*update {
						t.Errorf("%s: got\n%swant\n%s", ar.Files[i].Name, got, ar.Files[i+1].Data)
					}
				}
				ar.Files[i+1].Data = []byte(got)
			}
			if changed && *update {
				if err := os.WriteFile(name, txtar.Format(ar), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// TestGroupFinding: a finding about several connections is chosen by the address that
// it is about, and an exception lets it pass.
func TestGroupFinding(t *testing.T) {
	addr := func(s string) decode.Addr { return netip.MustParseAddr(s).As16() }
	finding := func(side anomaly.Side) *report.Finding {
		return &report.Finding{Capture: "run.pcap", Finding: anomaly.Finding{
			Rule: anomaly.CloseWait, Severity: anomaly.Error, Side: side, Suspect: anomaly.ServerApp, Time: script.Epoch,
			Message: "9 sockets", Conns: []uint64{4, 5}, Addr: addr("10.0.0.5"), Port: 5432,
		}}
	}
	for policy, want := range map[string]string{
		"fail: error": "broken rule close-wait: 1 finding, none is allowed [server-app] line 1\n    10.0.0.5:5432: %s9 sockets; explain 4\n",
		"for: [{where: {port: 5432}, rules: {close-wait: 1}}]":                                      "told rule close-wait (port 5432): 1 finding, 1 allowed [server-app] line 2\n    10.0.0.5:5432: %s9 sockets; explain 4\n",
		"for: [{where: {port: 5433}, rules: {close-wait: ignore}}]":                                 "broken rule close-wait: 1 finding, none is allowed [server-app] line 1\n    10.0.0.5:5432: %s9 sockets; explain 4\nkept rule close-wait (port 5433): no findings line 2\n",
		"for: [{where: {host: 10.0.0.0/24}, rules: {close-wait: ignore}}]":                          "kept rule close-wait (host 10.0.0.0/24): no findings that count line 2\n",
		"allow: [{rule: close-wait, where: {host: 10.0.0.5}, reason: known, until: 2026-01-01}]":    "kept rule close-wait: no findings that count, 1 let pass by an exception line 1\n",
		"for: [{where: {suspect: server-app, host: 10.0.0.5}, rules: {close-wait: {from: never}}}]": "kept rule close-wait (host 10.0.0.5, suspect server-app): no findings that count line 2\n",
	} {
		for side, who := range map[anomaly.Side]string{anomaly.NoSide: "", anomaly.ServerSide: "server ", anomaly.ClientSide: "client "} {
			p, err := Parse("p", []byte("version: 1\n"+policy+"\n"))
			if err != nil {
				t.Fatal(err)
			}
			j := NewJudge(p)
			j.Explain = func(conn uint64, _ string) string { return fmt.Sprintf("explain %d", conn) }
			if err := j.Finding(finding(side)); err != nil {
				t.Fatal(err)
			}
			got, want := dump(j.Verdict()), strings.ReplaceAll(want, "%s", who)
			if got != want {
				t.Errorf("%s: %s: got\n%swant\n%s", policy, side, got, want)
			}
		}
	}
}

// TestShareOfConnections: a connection in which a rule finds two things is one of the
// share, and two of a number.
func TestShareOfConnections(t *testing.T) {
	for policy, want := range map[string]Status{"close-wait: 50%": Told, "close-wait: 49%": Broken, "close-wait: 3": Told, "close-wait: 2": Broken} {
		p, err := Parse("p", []byte("version: 1\nrules: {"+policy+"}\n"))
		if err != nil {
			t.Fatal(err)
		}
		j := NewJudge(p)
		j.tally[p.Blocks[0]].governs[anomaly.CloseWait.Name] = 4
		j.match(&ends{})
		for _, conn := range []uint64{7, 7, 8} {
			f := anomaly.Finding{Rule: anomaly.CloseWait, Severity: anomaly.Warn}
			j.finding(&f, &ends{}, conn, func() Example { return Example{} })
		}
		v := j.Verdict()
		i := slices.IndexFunc(v.Results, func(r Result) bool { return r.Name == anomaly.CloseWait.Name })
		if got := v.Results[i]; got.Status != want || got.Count != 3 {
			t.Errorf("%s: %v, %s", policy, got.Status, got.Message)
		}
	}
}

// TestGroupDirection: a finding about several connections crosses the border of home.
func TestGroupDirection(t *testing.T) {
	for _, c := range []struct {
		addr string
		side anomaly.Side
		want Direction
	}{
		{"10.0.0.5", anomaly.ServerSide, Inbound},
		{"10.0.0.5", anomaly.NoSide, Inbound},
		{"10.0.0.5", anomaly.ClientSide, Outbound},
		{"203.0.113.5", anomaly.ServerSide, Outbound},
		{"203.0.113.5", anomaly.ClientSide, Inbound},
	} {
		for d := Inbound; d <= External; d++ {
			p, err := Parse("p", []byte("version: 1\nhome: 10.0.0.0/8\nfail: never\nfor: [{where: {direction: "+d.String()+"}, rules: {close-wait: fail}}]\n"))
			if err != nil {
				t.Fatal(err)
			}
			j := NewJudge(p)
			f := report.Finding{Finding: anomaly.Finding{
				Rule: anomaly.CloseWait, Severity: anomaly.Warn, Side: c.side, Addr: netip.MustParseAddr(c.addr).As16(),
			}}
			if err := j.Finding(&f); err != nil {
				t.Fatal(err)
			}
			if got := j.Verdict().Broken(); got != (d == c.want) {
				t.Errorf("%+v: %v: %v", c, d, got)
			}
		}
	}
}

// TestUntil: an exception holds until the end of its day, and no longer; and it may be
// for one suspect.
func TestUntil(t *testing.T) {
	p, err := Parse("p", []byte("version: 1\nrules: {close-wait: fail}\nallow: [{rule: close-wait, where: {suspect: client-app}, reason: r, until: 2026-01-01}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	midnight := script.Epoch.Add(24 * time.Hour)
	for _, c := range []struct {
		at     capture.Time
		by     anomaly.Suspect
		broken bool
		over   bool
	}{
		{midnight - 1, anomaly.ClientApp, false, false},
		{midnight, anomaly.ClientApp, true, true},
		{midnight - 1, anomaly.ServerApp, true, false},
	} {
		j := NewJudge(p)
		j.match(&ends{})
		f := anomaly.Finding{Rule: anomaly.CloseWait, Severity: anomaly.Warn, Suspect: c.by, Time: c.at}
		j.finding(&f, &ends{}, 1, func() Example { return Example{} })
		j.Summary(&report.Summary{Last: c.at}) //nolint:errcheck // returns none
		if v := j.Verdict(); v.Broken() != c.broken || v.Exceptions[0].Over != c.over {
			t.Errorf("%+v: broken %v, over %v", c, v.Broken(), v.Exceptions[0].Over)
		}
	}
}

// TestTellingOrder: the severest broken check is told first, and who is suspected
// most often is named, of equals the first.
func TestTellingOrder(t *testing.T) {
	p, err := Parse("p", []byte("version: 1\nfail: warn\n"))
	if err != nil {
		t.Fatal(err)
	}
	j := NewJudge(p)
	j.match(&ends{})
	for i, f := range []anomaly.Finding{
		{Rule: anomaly.ConnectionRefused, Severity: anomaly.Warn},
		{Rule: anomaly.CloseWait, Severity: anomaly.Error, Suspect: anomaly.ServerApp},
		{Rule: anomaly.CloseWait, Severity: anomaly.Warn, Suspect: anomaly.ClientApp},
	} {
		j.finding(&f, &ends{}, uint64(i+1), func() Example { return Example{} })
	}
	if v := j.Verdict(); v.Results[0].Name != anomaly.CloseWait.Name || v.Results[1].Name != anomaly.ConnectionRefused.Name ||
		v.Results[0].Severity != anomaly.Error || v.Results[0].Suspect != anomaly.ClientApp {
		t.Errorf("%+v", v.Results[:2])
	}
}

// TestCountConnections: a rule's record counts its findings, and the connections that
// have any.
func TestCountConnections(t *testing.T) {
	p, err := Parse("p", []byte("version: 1\n"))
	if err != nil {
		t.Fatal(err)
	}
	refused := "A 10.0.0.1:%d\nB 10.0.0.5:80\n0 --> S 0:0(0)\n+.01 <-- R. 0:0(0) ack 1\n\n"
	v := judge(t, p, fmt.Sprintf(refused+refused, 40000, 40001), func(c *report.Connection) {
		c.Findings = []anomaly.Finding{
			{Rule: &anomaly.Rule{Name: "of a test"}}, {Rule: anomaly.CloseWait}, {Rule: anomaly.CloseWait}, {Rule: anomaly.ResetByClient},
		}
	}).Verdict()
	for _, f := range v.findings {
		want := map[string]RuleRecord{"close-wait": {"close-wait", 4, 2}, "reset-by-client": {"reset-by-client", 2, 2}}[f.Rule]
		if want.Rule = f.Rule; *f != want {
			t.Errorf("%+v, want %+v", *f, want)
		}
	}
}

func TestParseNetwork(t *testing.T) {
	for text, want := range map[string]string{
		"10.0.0.1": "10.0.0.1/32", "::ffff:10.0.0.1": "10.0.0.1/32", "2001:db8::1": "2001:db8::1/128", "10.0.0.0/8": "10.0.0.0/8",
		"::ffff:10.0.0.0/104": "", "fe80::1%lo": "", "example.org": "", "10.0.0.0/33": "",
	} {
		got, err := parseNetwork(text)
		if (err != nil) != (want == "") || err == nil && got.String() != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
}

// TestSpecificity: more conditions, then narrower networks (the widest of a list; those
// of IPv4 as narrow as they are in IPv6), then fewer ports.
func TestSpecificity(t *testing.T) {
	order := []string{ // from the least to the most specific
		"server: ['::/0', 10.0.0.1]", "port: 1-65535", "port: 1-9", "port: 443", "port: [443]",
		"server: '2001:db8::/64'", "server: 10.0.0.0/8", "client: [10.0.0.0/16, '2001:db8::/120']", "host: 10.0.0.1",
		"direction: inbound, suspect: network", "port: 443, server: 10.0.0.0/8",
		"port: 443, server: 10.0.0.0/8, client: 0.0.0.0/0",
	}
	var last [3]int
	for i, where := range order {
		p, err := Parse("p", []byte("version: 1\nhome: 10.0.0.0/8\nfor: [{where: {"+where+"}}]\n"))
		if err != nil {
			t.Fatal(err)
		}
		this := p.Blocks[1].Where.specificity()
		if c := slices.Compare(last[:], this[:]); c > 0 || c == 0 && i > 0 && where != "port: [443]" {
			t.Errorf("%s: %v, not above %v", where, this, last)
		}
		last = this
	}
}
