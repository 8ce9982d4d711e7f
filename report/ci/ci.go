// Package ci writes the verdict of `tcplife check` where people look when a build
// has failed: the job's log, the test report, the merge request.
package ci

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"io"
	"strings"

	"tcplife/report"
	"tcplife/report/anomaly"
	"tcplife/report/policy"
)

// formats lists the reports, the default first.
var formats = []struct {
	name, doc string
	write     func(io.Writer, *policy.Verdict) error
}{
	{"text", "for the job's log", text},
	{"junit", "JUnit XML, as GitLab, Jenkins and GitHub's actions read it", junit},
	{"sarif", "SARIF 2.1.0, for code scanning", sarif},
	{"github", "workflow commands, which GitHub shows as annotations", github},
	{"markdown", "a job summary", markdown},
	{"codequality", "GitLab's code quality", codeQuality},
	{"tap", "Test Anything Protocol 14", tap},
	{"json", "everything; --baseline reads it", jsonReport},
}

// Formats returns the names of the reports, the default first.
func Formats() []string {
	var names []string
	for _, f := range formats {
		names = append(names, f.name)
	}
	return names
}

// Docs returns a line on each report, in the order of Formats.
func Docs() []string {
	var docs []string
	for _, f := range formats {
		docs = append(docs, f.doc)
	}
	return docs
}

// Write writes the named report. The same verdict gives the same octets.
func Write(w io.Writer, format string, v *policy.Verdict) error {
	for _, f := range formats {
		if f.name == format {
			return f.write(w, v)
		}
	}
	return fmt.Errorf("unknown report %q: want one of %s", format, strings.Join(Formats(), ", "))
}

// plain returns text of a capture or a policy so that it stays on its line, and can
// be shown anywhere.
func plain(s string) string { return report.Printable(s) }

// headline tells the verdict in a line.
func headline(v *policy.Verdict) string {
	verdict := "policy kept"
	if n := v.Count(policy.Broken); n > 0 {
		verdict = fmt.Sprintf("policy broken: %d of %d checks", n, len(v.Results))
	}
	return fmt.Sprintf("%s; %s in %s, %s", verdict,
		counts(v.Connections, "connection"), counts(v.Packets, "packet"), plain(policyName(v)))
}

func policyName(v *policy.Verdict) string {
	if v.Policy.BuiltIn() {
		return "default policy"
	}
	return v.Policy.Name
}

// place is a file and a line that a result can be shown at: the line of the policy
// that asks for it, or, with the policy that is built in, the capture.
func place(v *policy.Verdict, r *policy.Result) (file string, line int) {
	if !v.Policy.BuiltIn() {
		return v.Policy.Name, max(r.Line, 1)
	}
	for _, x := range r.Examples {
		if x.Capture != "" {
			return x.Capture, 1
		}
	}
	if len(v.Captures) > 0 {
		return v.Captures[0], 1
	}
	return v.Policy.Name, 1
}

// details tells a result's examples, a line each, and how to look at them.
func details(r *policy.Result) []string {
	var lines []string
	if r.Suspect != anomaly.NoSuspect {
		lines = append(lines, "look first at "+r.Suspect.String())
	}
	for _, x := range r.Examples {
		lines = append(lines, plain(x.String()))
		if x.Explain != "" {
			lines = append(lines, "  "+plain(x.Explain))
		}
	}
	if anomaly.Find(r.Name) != nil && r.Kind != policy.ExpectCheck { // whose names are the user's
		lines = append(lines, "what it means: tcplife rules "+r.Name)
	}
	return lines
}

// notes are the verdict's, each on a line.
func notes(v *policy.Verdict) []string {
	var list []string
	for _, n := range v.Notes {
		list = append(list, plain(n))
	}
	return list
}

// title names a result in a few words.
func title(r *policy.Result) string { return plain(r.ID()) }

// fingerprint names what a result is about, the same in every run.
func fingerprint(r *policy.Result) string {
	h := fnv.New128a()
	io.WriteString(h, r.ID()) //nolint:errcheck // never fails
	return fmt.Sprintf("%x", h.Sum(nil))
}

// problems are the results that are broken, or worth telling.
func problems(v *policy.Verdict) []*policy.Result {
	var list []*policy.Result
	for i := range v.Results {
		if s := v.Results[i].Status; s == policy.Broken || s == policy.Told {
			list = append(list, &v.Results[i])
		}
	}
	return list
}

func counts(n uint64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// printer keeps the first error of many writes.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) printf(format string, args ...any) {
	_, err := fmt.Fprintf(p.w, format, args...)
	p.err = cmp.Or(p.err, err)
}
