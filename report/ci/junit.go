package ci

import (
	"encoding/xml"
	"io"
	"strconv"
	"strings"
	"time"

	"tcplife/report/policy"
)

// The elements of JUnit's XML, in the order that the common schema of Jenkins'
// xUnit plugin wants.
type (
	junitSuites struct {
		XMLName  xml.Name   `xml:"testsuites"`
		Name     string     `xml:"name,attr"`
		Tests    int        `xml:"tests,attr"`
		Failures int        `xml:"failures,attr"`
		Errors   int        `xml:"errors,attr"`
		Time     string     `xml:"time,attr"`
		Suite    junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name      string      `xml:"name,attr"`
		Tests     int         `xml:"tests,attr"`
		Failures  int         `xml:"failures,attr"`
		Errors    int         `xml:"errors,attr"`
		Skipped   int         `xml:"skipped,attr"`
		Time      string      `xml:"time,attr"`
		Timestamp string      `xml:"timestamp,attr,omitempty"`
		Cases     []junitCase `xml:"testcase"`
		SystemOut string      `xml:"system-out"`
	}
	junitCase struct {
		Name      string        `xml:"name,attr"`
		Class     string        `xml:"classname,attr"`
		Time      string        `xml:"time,attr"`
		Skipped   *junitProblem `xml:"skipped"`
		Failure   *junitProblem `xml:"failure"`
		SystemOut string        `xml:"system-out,omitempty"`
	}
	junitProblem struct {
		Message string `xml:"message,attr,omitempty"`
		Type    string `xml:"type,attr,omitempty"`
		Text    string `xml:",chardata"`
	}
)

// junit writes JUnit XML: a test case per check.
func junit(w io.Writer, v *policy.Verdict) error {
	took := "0"
	s := junitSuite{
		Name: "tcplife check", Tests: len(v.Results),
		Failures: v.Count(policy.Broken), Skipped: v.Count(policy.Skipped),
		SystemOut: strings.Join(append([]string{headline(v)}, notes(v)...), "\n"),
	}
	if v.Packets > 0 {
		s.Timestamp = v.First.UTC().Truncate(time.Second).Format("2006-01-02T15:04:05")
		took = strconv.FormatFloat(max(v.Last.Sub(v.First), 0).Seconds(), 'f', 3, 64)
	}
	s.Time = took
	for i := range v.Results {
		r := &v.Results[i]
		c := junitCase{Name: title(r), Class: "tcplife." + r.Kind.String(), Time: "0"}
		more := strings.Join(details(r), "\n")
		switch r.Status {
		case policy.Broken:
			c.Failure = &junitProblem{Message: plain(r.Message), Type: r.Severity.String(), Text: more}
		case policy.Skipped:
			c.Skipped = &junitProblem{Text: plain(r.Message)} // the schema has no message here
		case policy.Told:
			c.SystemOut = plain(r.Message) + "\n" + more
		}
		s.Cases = append(s.Cases, c)
	}
	return writeXML(w, junitSuites{
		Name: s.Name, Tests: s.Tests, Failures: s.Failures, Time: took, Suite: s,
	})
}

func writeXML(w io.Writer, doc any) error {
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(doc); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}
