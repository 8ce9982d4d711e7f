package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"tcplife/report/policy"
)

// inCI returns a directory with captures and a command, as docs/ci.md has them, and
// what runs a bash script there with tcplife on its path: in a network of its own, if
// that can be had.
func inCI(t *testing.T) (dir string, bash func(script string, env ...string) (out string, err error)) {
	t.Helper()
	shell := []string{"bash", "-ec"}
	if ok, _ := condition("capture"); ok {
		shell = append([]string{"unshare", "-rn", "sh", "-c", `ip link set lo up && exec "$@"`, "sh"}, shell...)
	}
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("no bash")
	}
	dir = t.TempDir()
	sample, err := os.ReadFile("../../testdata/pcaps/close-client.pcap")
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"captures/run.pcap": sample, "good.pcap": sample,
		"integration-tests": []byte("#!/bin/sh\ntrue\n"),
		"go.mod":            []byte("module empty\n\ngo 1.24\n"),
		"empty_test.go":     []byte("package empty\n"),
	} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, data, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	// The test's binary is the program if it is called so, see TestMain.
	bin := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(bin, "tcplife")); err != nil {
		t.Skip(err)
	}
	return dir, func(script string, env ...string) (string, error) {
		cmd := exec.Command(shell[0], append(shell[1:], script)...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), append(env, "PATH="+bin+":"+os.Getenv("PATH"), "TMPDIR="+t.TempDir())...)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		err := cmd.Run()
		return out.String(), err
	}
}

// blocks returns the fenced blocks of a page in one language.
func blocks(t *testing.T, page, language string) (list []string) {
	t.Helper()
	for _, m := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(page, -1) {
		list = append(list, m[1])
	}
	if len(list) == 0 {
		t.Fatalf("no %s", language)
	}
	return list
}

// TestDocsCI follows docs/ci.md: its commands, the script of the GitLab job, with the
// files that the job collects, the step of Jenkins' pipeline, and the policy.
func TestDocsCI(t *testing.T) {
	text, err := os.ReadFile("../../docs/ci.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	dir, bash := inCI(t)
	capturing, _ := condition("capture")
	nothing := regexp.MustCompile(`(?m)^policy broken: 1 of `) // lo is silent here
	for _, block := range blocks(t, page, "sh") {
		around := strings.Contains(block, " -i ")
		if around && !capturing {
			t.Log("no network namespace to capture in: left out " + block)
			continue
		}
		out, err := bash(block)
		if around && err != nil && nothing.MatchString(out) && strings.Contains(out, "limit connections min: 0") {
			continue
		}
		if err != nil {
			t.Errorf("%s: %v: %s", block, err, out)
		}
	}

	yamls := blocks(t, page, "yaml")
	if _, err := policy.Parse("docs/ci.md", []byte(yamls[0])); err != nil {
		t.Error(err)
	}
	at := slices.IndexFunc(yamls, func(y string) bool { return strings.HasPrefix(y, "connections:") })
	var job struct {
		Connections struct {
			Script    []string
			Artifacts struct{ Reports map[string]string }
		}
	}
	if err := yaml.Unmarshal([]byte(yamls[at]), &job); err != nil {
		t.Fatal(err)
	}
	if len(job.Connections.Script) == 0 || len(job.Connections.Artifacts.Reports) != 2 {
		t.Fatalf("%+v", job)
	}
	if out, err := bash(strings.Join(job.Connections.Script, "\n")); err != nil {
		t.Error(err, out)
	}
	for _, name := range job.Connections.Artifacts.Reports {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}

	pipeline := blocks(t, page, "groovy")[0]
	step := regexp.MustCompile(`sh '(.*)'`).FindStringSubmatch(pipeline)
	report := regexp.MustCompile(`junit '(.*)'`).FindStringSubmatch(pipeline)
	if step == nil || report == nil {
		t.Fatal(pipeline)
	}
	if out, err := bash(step[1]); err != nil {
		t.Error(err, out)
	}
	if _, err := os.Stat(filepath.Join(dir, report[1])); err != nil {
		t.Error(err)
	}
}

// TestAction runs the script of action.yml as a runner does, with captures and around
// a command.
func TestAction(t *testing.T) {
	text, err := os.ReadFile("../../action.yml")
	if err != nil {
		t.Fatal(err)
	}
	var action struct {
		Inputs map[string]struct{ Default string }
		Runs   struct {
			Using string
			Steps []struct {
				ID, Run string
				Env     map[string]string
			}
		}
	}
	if err := yaml.Unmarshal(text, &action); err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(action.Runs.Steps, func(s struct {
		ID, Run string
		Env     map[string]string
	},
	) bool {
		return s.ID == "check"
	})
	if action.Runs.Using != "composite" || at < 0 {
		t.Fatalf("%+v", action.Runs)
	}
	step := action.Runs.Steps[at]
	if strings.Contains(step.Run, "${{") {
		t.Error("the script has an expression in it, which runs what users give")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	input := regexp.MustCompile(`^\$\{\{ inputs\.(\w+) \}\}$`)
	for name, c := range map[string]struct {
		with   map[string]string
		fails  bool
		report string
	}{
		"captures": {map[string]string{"captures": "captures good.pcap"}, false, "tests=\""},
		"filter":   {map[string]string{"captures": "captures", "filter": "port 81"}, true, "connections min"},
		"command":  {map[string]string{"command": "exit 3"}, true, "exit 3: exit status 3"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, bash := inCI(t)
			if ok, _ := condition("capture"); !ok && name == "command" {
				t.Skip("no network namespace to capture in")
			}
			var env []string
			for key, value := range step.Env {
				m := input.FindStringSubmatch(value)
				if m == nil {
					t.Fatalf("%s: %s", key, value)
				}
				in, ok := action.Inputs[m[1]]
				if !ok {
					t.Fatalf("no input %s", m[1])
				}
				given, ok := c.with[m[1]]
				if !ok {
					given = in.Default
				}
				env = append(env, key+"="+given)
			}
			out, err := bash(step.Run, append(env,
				"RUNNER_TEMP="+filepath.Join(dir, "temp"), "GITHUB_OUTPUT="+filepath.Join(dir, "output"),
				"GITHUB_STEP_SUMMARY="+filepath.Join(dir, "summary"), "GITHUB_ACTION_PATH="+root)...)
			if (err != nil) != c.fails {
				t.Fatalf("%v: %s", err, out)
			}
			for _, name := range []string{"temp/tcplife/tcplife.xml", "temp/tcplife/tcplife.sarif", "temp/tcplife/tcplife.json", "summary", "output"} {
				if data, err := os.ReadFile(filepath.Join(dir, name)); err != nil || len(data) == 0 {
					t.Errorf("%s: %v", name, err)
				}
			}
			if _, err := os.Stat(filepath.Join(dir, "temp/tcplife/tcplife")); err == nil {
				t.Error("the program is among the reports")
			}
			junit, err := os.ReadFile(filepath.Join(dir, "temp/tcplife/tcplife.xml"))
			if err != nil || !strings.Contains(string(junit), c.report) {
				t.Errorf("%v: %s", err, junit)
			}
		})
	}
}

// TestCheckSchema holds the report json of the sample captures to its schema.
func TestCheckSchema(t *testing.T) {
	var text, report bytes.Buffer
	if status := run([]string{"schema", "check"}, &text, &text); status != statusOK {
		t.Fatal(text.String())
	}
	doc, err := jsonschema.UnmarshalJSON(&text)
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
	var told bytes.Buffer
	if status := run([]string{"check", "-p", "default", "--report", "json", "../../testdata/pcaps"}, &report, &told); status != statusBroken {
		t.Fatal(status, told.String())
	}
	if !bytes.Contains(report.Bytes(), []byte(`"buckets"`)) {
		t.Error("nothing was measured")
	}
	out, err := jsonschema.UnmarshalJSON(&report)
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(out); err != nil {
		t.Error(err)
	}
}
