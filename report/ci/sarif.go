package ci

import (
	"io"
	"net/url"
	"path/filepath"
	"strings"

	"tcplife/report/anomaly"
	"tcplife/report/policy"
)

// The objects of SARIF 2.1.0 that are used.
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool    sarifTool     `json:"tool"`
		Results []sarifResult `json:"results"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name           string      `json:"name"`
		InformationURI string      `json:"informationUri,omitempty"`
		Rules          []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID    string     `json:"id"`
		Short sarifText  `json:"shortDescription"`
		Full  *sarifText `json:"fullDescription,omitempty"`
		Help  *sarifText `json:"help,omitempty"`
	}
	sarifText struct {
		Text string `json:"text"`
	}
	sarifResult struct {
		RuleID       string            `json:"ruleId"`
		RuleIndex    int               `json:"ruleIndex"`
		Level        string            `json:"level"`
		Message      sarifText         `json:"message"`
		Locations    []sarifLocation   `json:"locations"`
		Fingerprints map[string]string `json:"partialFingerprints"`
	}
	sarifLocation struct {
		Physical sarifPhysical `json:"physicalLocation"`
	}
	sarifPhysical struct {
		Artifact sarifArtifact `json:"artifactLocation"`
		Region   sarifRegion   `json:"region"`
	}
	sarifArtifact struct {
		URI string `json:"uri"`
	}
	sarifRegion struct {
		StartLine int `json:"startLine"`
	}
)

// sarif writes SARIF 2.1.0: a result per check that is broken or worth telling.
func sarif(w io.Writer, v *policy.Verdict) error {
	run := sarifRun{Tool: sarifTool{sarifDriver{Name: "tcplife", Rules: []sarifRule{}}}, Results: []sarifResult{}}
	rules := map[string]int{}
	for _, r := range problems(v) {
		id := r.Kind.String() + "/" + r.Name
		if _, ok := rules[id]; !ok {
			rules[id] = len(run.Tool.Driver.Rules)
			run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, sarifRuleOf(id, r))
		}
		file, line := place(v, r)
		level := "warning"
		if r.Status == policy.Broken {
			level = "error"
		}
		run.Results = append(run.Results, sarifResult{
			RuleID: id, RuleIndex: rules[id], Level: level,
			Message:      sarifText{strings.Join(append([]string{plain(r.Message)}, details(r)...), "\n")},
			Locations:    []sarifLocation{{sarifPhysical{sarifArtifact{uri(file)}, sarifRegion{line}}}},
			Fingerprints: map[string]string{"tcplife/v1": fingerprint(r)},
		})
	}
	return writeJSON(w, sarifLog{
		Schema: "https://json.schemastore.org/sarif-2.1.0.json", Version: "2.1.0", Runs: []sarifRun{run},
	})
}

func sarifRuleOf(id string, r *policy.Result) sarifRule {
	if rule := anomaly.Find(r.Name); rule != nil && r.Kind != policy.ExpectCheck {
		_, text, _ := strings.Cut(rule.Doc, "\n\n")
		return sarifRule{id, sarifText{rule.Title()}, &sarifText{text}, &sarifText{text + "\n\nSee " + rule.Ref + "."}}
	}
	name, _, _ := strings.Cut(r.Name, " ")
	if m := policy.FindMetric(name); m != nil && r.Kind != policy.ExpectCheck {
		return sarifRule{id, sarifText{r.Name}, &sarifText{m.Doc}, nil}
	}
	return sarifRule{id, sarifText{plain(r.Name)}, nil, nil}
}

// uri returns the file's name as a relative reference.
func uri(file string) string {
	u := url.URL{Path: filepath.ToSlash(file)}
	return u.String()
}
