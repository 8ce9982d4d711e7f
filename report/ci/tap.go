package ci

import (
	"io"
	"strings"

	"tcplife/report/policy"
)

// tap writes TAP version 14: a test point per check.
func tap(w io.Writer, v *policy.Verdict) error {
	p := &printer{w: w}
	p.printf("TAP version 14\n1..%d\n", len(v.Results))
	for i := range v.Results {
		r := &v.Results[i]
		status, directive := "ok", ""
		switch r.Status {
		case policy.Broken:
			status = "not ok"
		case policy.Skipped:
			directive = " # SKIP " + tapEscape(plain(r.Message))
		}
		p.printf("%s %d - %s%s\n", status, i+1, tapEscape(title(r)), directive)
		if r.Status != policy.Broken && r.Status != policy.Told {
			continue
		}
		p.printf("  ---\n  message: %s\n  evidence:\n", yamlString(r.Message))
		for _, line := range details(r) {
			p.printf("    - %s\n", yamlString(line))
		}
		p.printf("  ...\n")
	}
	for _, n := range append([]string{headline(v)}, notes(v)...) {
		p.printf("# %s\n", n)
	}
	return p.err
}

// tapEscape keeps a description from being read as a directive.
func tapEscape(s string) string {
	return strings.NewReplacer(`\`, `\\`, "#", `\#`).Replace(s)
}

// yamlString returns s as a YAML scalar in single quotes.
func yamlString(s string) string {
	return "'" + strings.ReplaceAll(plain(s), "'", "''") + "'"
}
