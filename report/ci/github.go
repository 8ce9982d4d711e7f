package ci

import (
	"io"
	"strings"

	"tcplife/report/policy"
)

// github writes workflow commands, which GitHub shows beside the line of the policy.
func github(w io.Writer, v *policy.Verdict) error {
	p := &printer{w: w}
	for _, r := range problems(v) {
		level := "warning"
		if r.Status == policy.Broken {
			level = "error"
		}
		file, line := place(v, r)
		p.printf("::%s file=%s,line=%d,title=%s::%s\n", level, property(plain(file)), line,
			property("tcplife: "+title(r)), data(strings.Join(append([]string{plain(r.Message)}, details(r)...), "\n")))
	}
	for _, n := range notes(v) {
		p.printf("::notice title=%s::%s\n", property("tcplife"), data(n))
	}
	return p.err
}

// data and property escape as GitHub's toolkit does: a percent sign, ends of lines
// and, in a property, what separates properties.
func data(s string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(s)
}

func property(s string) string {
	return strings.NewReplacer(":", "%3A", ",", "%2C").Replace(data(s))
}
