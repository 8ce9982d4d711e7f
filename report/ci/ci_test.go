package ci

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"tcplife/decode/capture"
	"tcplife/report/anomaly"
	"tcplife/report/policy"
)

var update = flag.Bool("update", false, "rewrite the goldens in testdata; read the diff before committing it")

// hostile is text that breaks what does not escape it.
const hostile = "a'\"|`<b>&\\\n::error::%0A\r\x1b[31m\x00\xff\u2028\u009b\u202e\U000e0001 # not ok]]>,:@x"

// verdict returns one with a result of every kind and status.
func verdict(t testing.TB) *policy.Verdict {
	t.Helper()
	p, err := policy.Parse("ci/tcplife.yaml", []byte("version: 1\n"))
	if err != nil {
		t.Fatal(err)
	}
	at := capture.Time(1767225600e9)
	return &policy.Verdict{
		Policy: p, Captures: []string{"run.pcap"}, Inputs: 1, Packets: 1234, Connections: 12, First: at, Last: at.Add(90e9),
		Notes: []string{"ci/tcplife.yaml:9: the exception for close-wait was not needed"},
		Results: []policy.Result{
			{
				Kind: policy.RuleCheck, Name: "close-wait", Line: 4, Status: policy.Broken, Severity: anomaly.Warn, Count: 2,
				Message: "2 findings, none is allowed", Suspect: anomaly.ServerApp,
				Examples: []policy.Example{{
					Conn: 7, Client: "10.0.0.1:40000", Server: "10.0.0.5:80", Capture: "run.pcap", Frames: []string{"6", "9"}, Time: at,
					Severity: anomaly.Warn, Suspect: anomaly.ServerApp, Message: "server in CLOSE_WAIT, silent for 1m30s",
					Explain: "tcplife explain run.pcap --conn 7",
				}},
			},
			{
				Kind: policy.LimitCheck, Name: "handshake_time p99", Scope: "database", Line: 12, Status: policy.Broken, Severity: anomaly.Error,
				Message: "1.02s, at most 200ms",
			},
			{
				Kind: policy.RuleCheck, Name: "syn-flood", Line: 1, Status: policy.Told, Severity: anomaly.Error, Count: 1, Message: "1 finding",
				Examples: []policy.Example{{Conn: 1, About: "10.0.0.5:80", Message: "50 half-open", Time: at}},
			},
			{Kind: policy.ExpectCheck, Name: "orders", Line: 15, Status: policy.Kept, Message: "3 connections that ended cleanly, at least 1 expected"},
			{Kind: policy.LimitCheck, Name: "resets", Line: 13, Status: policy.Skipped, Message: "nothing to measure"},
		},
	}
}

// evil returns a verdict whose every text is hostile.
func evil(t testing.TB) *policy.Verdict {
	v := verdict(t)
	v.Policy.Name, v.Captures, v.Notes = hostile, []string{hostile}, []string{hostile}
	for i := range v.Results {
		r := &v.Results[i]
		r.Scope, r.Message = hostile, hostile
		if r.Kind == policy.ExpectCheck {
			r.Name, r.Status = hostile, policy.Broken
		}
		r.Examples = append(r.Examples, policy.Example{
			Conn: 1, Client: hostile, Server: hostile, Capture: hostile, Frames: []string{hostile}, Message: hostile, Explain: hostile,
		})
	}
	return v
}

func write(t testing.TB, format string, v *policy.Verdict) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, format, v); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestGoldens(t *testing.T) {
	for _, f := range Formats() {
		got := write(t, f, verdict(t))
		name := filepath.Join("testdata", "verdict."+f)
		want, err := os.ReadFile(name)
		if *update {
			err = os.WriteFile(name, got, 0o644)
			want = got
		}
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: got\n%s", name, got)
		}
	}
}

// TestHostile has text of captures and policies in every place: nothing of it reaches
// a terminal, and it stays on its line.
func TestHostile(t *testing.T) {
	for _, f := range Formats() {
		got := string(write(t, f, evil(t)))
		for _, r := range got {
			if r != '\n' && r != '\t' && !unicode.IsPrint(r) {
				t.Errorf("%s: %q in %q", f, r, got)
				break
			}
		}
		for line := range strings.Lines(got) {
			if f == "github" && !strings.HasPrefix(line, "::error file=") && !strings.HasPrefix(line, "::warning file=") && !strings.HasPrefix(line, "::notice title=") {
				t.Errorf("a line of its own: %q", line)
			}
			if f == "markdown" && strings.Contains(strings.TrimPrefix(line, "    "), "<b>") && !strings.HasPrefix(line, "    ") {
				t.Errorf("markup: %q", line)
			}
		}
	}
}

// compile returns a JSON Schema.
func compile(t *testing.T, text []byte) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// TestSchemas holds the reports to the schemas of SARIF and of ours.
func TestSchemas(t *testing.T) {
	standard, err := os.ReadFile("testdata/sarif-schema-2.1.0.json")
	if err != nil {
		t.Fatal(err)
	}
	empty := verdict(t)
	empty.Results, empty.Packets = nil, 0
	for format, schema := range map[string]*jsonschema.Schema{"sarif": compile(t, standard), "json": compile(t, Schema)} {
		for name, v := range map[string]*policy.Verdict{"verdict": verdict(t), "hostile": evil(t), "empty": empty, "measured": measured(t)} {
			out, err := jsonschema.UnmarshalJSON(bytes.NewReader(write(t, format, v)))
			if err != nil {
				t.Fatal(err)
			}
			if err := schema.Validate(out); err != nil {
				t.Errorf("%s, %s: %v", format, name, err)
			}
		}
		wrong, err := jsonschema.UnmarshalJSON(strings.NewReader(`{"version":"2.1.0","runs":[{"results":[]}]}`))
		if err != nil || schema.Validate(wrong) == nil {
			t.Error("the schema takes what it must not")
		}
	}
}

// measured returns a verdict of a Judge, which has numbers.
func measured(t *testing.T) *policy.Verdict {
	t.Helper()
	return policy.NewJudge(verdict(t).Policy).Verdict()
}

func TestJUnit(t *testing.T) {
	xmllint, err := exec.LookPath("xmllint")
	for name, v := range map[string]*policy.Verdict{"verdict": verdict(t), "hostile": evil(t)} {
		out := write(t, "junit", v)
		var doc junitSuites
		if err := xml.Unmarshal(out, &doc); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(doc.Suite.Cases) != len(v.Results) || doc.Failures != v.Count(policy.Broken) {
			t.Errorf("%s: %d cases, %d failures", name, len(doc.Suite.Cases), doc.Failures)
		}
		if err != nil {
			continue
		}
		cmd := exec.Command(xmllint, "--noout", "--nonet", "--schema", "testdata/jenkins-junit.xsd", "-")
		cmd.Stdin = bytes.NewReader(out)
		if told, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", name, err, told)
		}
	}
	if err != nil {
		t.Skip("no xmllint (Debian: libxml2-utils): not held to the schema")
	}
}

// TestTAP reads the diagnostics as the YAML they are said to be.
func TestTAP(t *testing.T) {
	for _, v := range []*policy.Verdict{verdict(t), evil(t)} {
		points, block, blocks := 0, "", 0
		for line := range strings.Lines(string(write(t, "tap", v))) {
			switch {
			case strings.HasPrefix(line, "ok ") || strings.HasPrefix(line, "not ok "):
				points++
			case line == "  ---\n":
				block = "\n"
			case line == "  ...\n":
				var doc struct {
					Message  string
					Evidence []string
				}
				if err := yaml.Unmarshal([]byte(block), &doc); err != nil || doc.Message == "" {
					t.Errorf("%v: %q", err, block)
				}
				block, blocks = "", blocks+1
			case block != "":
				block += line
			}
		}
		if points != len(v.Results) || blocks != len(problems(v)) {
			t.Errorf("%d points, %d blocks", points, blocks)
		}
	}
}

// TestCodeQuality wants a fingerprint of its own for each issue.
func TestCodeQuality(t *testing.T) {
	var issues []struct {
		Fingerprint string
		Location    struct {
			Path  string
			Lines struct{ Begin int }
		}
	}
	if err := json.Unmarshal(write(t, "codequality", verdict(t)), &issues); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, i := range issues {
		if seen[i.Fingerprint] || i.Location.Path != "ci/tcplife.yaml" || i.Location.Lines.Begin == 0 {
			t.Errorf("%+v", i)
		}
		seen[i.Fingerprint] = true
	}
	if len(issues) != 3 {
		t.Errorf("%d issues", len(issues))
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space") }

func TestWriteErrors(t *testing.T) {
	for _, f := range Formats() {
		if err := Write(full{}, f, verdict(t)); err == nil {
			t.Errorf("%s: the writer's error is lost", f)
		}
	}
	if err := Write(full{}, "html", verdict(t)); err == nil || !strings.Contains(err.Error(), "want one of text, junit") {
		t.Error(err)
	}
}

// TestPlace: a result stands at the line of the policy, or, if that is built in, at the
// capture that shows it, else the first.
func TestPlace(t *testing.T) {
	v := verdict(t)
	if file, line := place(v, &v.Results[0]); file != "ci/tcplife.yaml" || line != 4 {
		t.Error(file, line)
	}
	v.Policy.Name, v.Captures = policy.DefaultName, []string{"first.pcap", "run.pcap"}
	for i, want := range []string{"run.pcap", "first.pcap"} {
		if file, line := place(v, &v.Results[i]); file != want || line != 1 {
			t.Errorf("%d: %s:%d", i, file, line)
		}
	}
	v.Captures = nil
	if file, line := place(v, &v.Results[1]); file != policy.DefaultName || line != 1 {
		t.Error(file, line)
	}
}

// TestEscapes: what has a meaning in a format has none in a name.
func TestEscapes(t *testing.T) {
	for format, want := range map[string]string{
		"github": "%250A", "tap": `\# not ok]]>`, "markdown": `\|`, "sarif": "%25", "junit": "]]&gt;",
	} {
		if got := string(write(t, format, evil(t))); !strings.Contains(got, want) {
			t.Errorf("%s: lacks %s: %s", format, want, got)
		}
	}
}

// TestSarifRules: a rule that is broken in two scopes is described once.
func TestSarifRules(t *testing.T) {
	v := verdict(t)
	again := v.Results[0]
	again.Scope = "database"
	v.Results = append(v.Results, again)
	var doc sarifLog
	if err := json.Unmarshal(write(t, "sarif", v), &doc); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, r := range doc.Runs[0].Tool.Driver.Rules {
		if seen[r.ID] {
			t.Errorf("%s is described twice", r.ID)
		}
		seen[r.ID] = true
	}
	for _, r := range doc.Runs[0].Results {
		if doc.Runs[0].Tool.Driver.Rules[r.RuleIndex].ID != r.RuleID {
			t.Errorf("%s: rule %d", r.RuleID, r.RuleIndex)
		}
	}
}

// TestDetailsNames: an expectation that is called as a rule is none.
func TestDetailsNames(t *testing.T) {
	for kind, want := range map[policy.Kind]int{policy.RuleCheck: 1, policy.BaselineCheck: 1, policy.ExpectCheck: 0} {
		if got := details(&policy.Result{Kind: kind, Name: "close-wait"}); len(got) != want {
			t.Errorf("%v: %q", kind, got)
		}
	}
}

// TestClockBack: a capture whose clock went back took no time, not less.
func TestClockBack(t *testing.T) {
	v := verdict(t)
	v.First, v.Last = v.Last, v.First
	if got := string(write(t, "junit", v)); !strings.Contains(got, `time="0.000"`) || strings.Contains(got, `time="-`) {
		t.Error(got)
	}
}
