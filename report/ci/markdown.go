package ci

import (
	"io"
	"strings"

	"tcplife/report/policy"
)

// markdown writes a summary of the job, with the evidence folded away.
func markdown(w io.Writer, v *policy.Verdict) error {
	p := &printer{w: w}
	mark := "✅"
	if v.Broken() {
		mark = "❌"
	}
	p.printf("### %s tcplife: %s\n", mark, mdEscape(headline(v)))
	list := problems(v)
	if len(list) > 0 {
		p.printf("\n| | check | what was found | look first at |\n| --- | --- | --- | --- |\n")
	}
	for _, r := range list {
		p.printf("| %s | %s | %s | %s |\n", r.Status, mdEscape(title(r)), mdEscape(plain(r.Message)), r.Suspect)
	}
	for _, r := range list {
		more := details(r)
		if len(more) == 0 {
			continue
		}
		p.printf("\n<details><summary>%s</summary>\n\n", mdEscape(title(r)))
		for _, line := range more {
			p.printf("    %s\n", line) // indented code: nothing in it is markup
		}
		p.printf("\n</details>\n")
	}
	if len(v.Notes) > 0 {
		p.printf("\n")
	}
	for _, n := range notes(v) {
		p.printf("- %s\n", mdEscape(n))
	}
	return p.err
}

// mdEscape takes the meaning from what is markup, also in a cell of a table.
func mdEscape(s string) string {
	return strings.NewReplacer(
		`\`, `\\`, "|", `\|`, "<", "&lt;", ">", "&gt;", "&", "&amp;", "`", "\\`",
		"*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "#", `\#`, "@", "&#64;", "~", `\~`, "$", `\$`,
	).Replace(s)
}
