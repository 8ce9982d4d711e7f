package ci

import (
	"io"
	"strings"

	"tcplife/report/anomaly"
	"tcplife/report/policy"
)

// codeQuality writes GitLab's subset of Code Climate's format.
func codeQuality(w io.Writer, v *policy.Verdict) error {
	type lines struct {
		Begin int `json:"begin"`
	}
	type location struct {
		Path  string `json:"path"`
		Lines lines  `json:"lines"`
	}
	type issue struct {
		Description string   `json:"description"`
		CheckName   string   `json:"check_name"`
		Fingerprint string   `json:"fingerprint"`
		Severity    string   `json:"severity"`
		Location    location `json:"location"`
	}
	issues := []issue{}
	for _, r := range problems(v) {
		file, line := place(v, r)
		severity := "minor"
		if r.Status == policy.Broken {
			severity = map[anomaly.Severity]string{anomaly.Error: "critical"}[r.Severity]
			if severity == "" {
				severity = "major"
			}
		}
		issues = append(issues, issue{
			Description: strings.Join(append([]string{title(r) + ": " + plain(r.Message)}, details(r)...), "; "),
			CheckName:   r.Kind.String() + "/" + r.Name, Fingerprint: fingerprint(r), Severity: severity,
			Location: location{file, lines{line}},
		})
	}
	return writeJSON(w, issues)
}
