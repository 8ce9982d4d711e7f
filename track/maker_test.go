package track

import (
	"slices"
	"testing"

	"tcplife/internal/script"
)

// TestMaker holds who is said to have made a RST to the forms that stacks and
// boxes give it.
func TestMaker(t *testing.T) {
	for _, tt := range []struct {
		of        string
		marks     Marks
		stateless bool
		want      Maker
		mayBe     []Maker
	}{
		{"Linux: close() with data unread", MarkACK | MarkWindow | MarkTimestamps | MarkSameTTL, false, Application, nil},
		{"Windows: abort", MarkACK | MarkSameTTL, false, Application, nil},
		{"an abort stripped of what Linux sends", MarkACK | MarkNoTimestamps | MarkSameTTL, false, Application, []Maker{Host}},
		{"Linux: closed socket", MarkNoTimestamps | MarkNoID | MarkSameTTL | MarkAnswers, false, Host, nil},
		{"the same for a segment before the last", MarkNoTimestamps | MarkNoID | MarkSameTTL, false, Host, nil},
		{"a closed port, or a firewall before it", MarkACK, true, Host, []Maker{Middlebox}},
		{"nothing else was seen of its sender", MarkAnswers, false, Host, []Maker{Middlebox}},
		{"a bare abort", MarkWindow | MarkSameTTL, false, Application, []Maker{Host}},
		{"a bare abort, or a reply", MarkWindow | MarkSameTTL | MarkAnswers, false, Host, []Maker{Application}},
		{"a box that keeps the TTL", MarkNoTimestamps | MarkSameTTL | MarkAnswers | MarkTooSoon, false, Host, []Maker{Middlebox}},
		{"nft reject with tcp reset on a router", MarkNoTimestamps | MarkOtherTTL | MarkAnswers, false, Middlebox, []Maker{Forger}},
		{"another run of identifications", MarkACK | MarkWindow | MarkSameTTL | MarkIDJump, false, Application, []Maker{Middlebox}},
		{"RSTs in steps", MarkACK | MarkSameTTL | MarkAhead, false, Forger, []Maker{Middlebox}},
		{"its sender went on", MarkAnswers | MarkSameTTL | MarkWentOn, false, Forger, []Maker{Middlebox}},
	} {
		r := Reset{Marks: tt.marks, Stateless: tt.stateless}
		if m, mayBe := r.Maker(); m != tt.want || !slices.Equal(mayBe, tt.mayBe) {
			t.Errorf("%s: %v, may be %v; want %v, may be %v", tt.of, m, mayBe, tt.want, tt.mayBe)
		}
	}
}

// TestMarksOfRST holds a RST's marks to what its sender had sent before.
func TestMarksOfRST(t *testing.T) {
	const before = `0 --> S 0:0(0) <TS val 1 ecr 0> {id 9 ttl 60}
+.020 <-- S. 0:0(0) ack 1 <TS val 5 ecr 1>
+.020 --> . 1:1(0) ack 1 <TS val 2 ecr 5> {id 10 ttl 60}
+.000 --> P. 1:101(100) ack 1 <TS val 3 ecr 5> {id 11 ttl 60}
+.000 --> P. 101:201(100) ack 1 <TS val 4 ecr 5> {id 12 ttl 60}
+.000 --> P. 201:301(100) ack 1 <TS val 5 ecr 5> {id 13 ttl 60}
+.000 --> P. 301:501(200) ack 1 <TS val 6 ecr 5> {id 14 ttl 60}
`
	const asked = "+.010 <-- P. 1:101(100) ack 501 <TS val 9 ecr 6>\n"
	for _, tt := range []struct {
		of, then string
		want     Marks
	}{
		{"abort", "+1 --> R. 501:501(0) ack 1 <TS val 7 ecr 5> {id 15 ttl 60}", MarkACK | MarkWindow | MarkTimestamps | MarkSameTTL},
		{"reply", asked + "+.020 --> R 501:501(0) win 0 {ttl 60}", MarkNoTimestamps | MarkNoID | MarkSameTTL | MarkAnswers},
		{"reply of a stack that begins at 255", asked + "+.020 --> R 501:501(0) win 0 {ttl 251}", MarkNoTimestamps | MarkNoID | MarkAnswers},
		{"from a hop nearer", asked + "+.001 --> R 501:501(0) win 0 {id 999 ttl 61}", MarkNoTimestamps | MarkIDJump | MarkOtherTTL | MarkAnswers | MarkTooSoon},
		{"a run that has gone on elsewhere", "+5 --> R. 501:501(0) ack 1 <TS val 7 ecr 5> {id 999 ttl 60}", MarkACK | MarkWindow | MarkTimestamps | MarkSameTTL},
		{"options cut off", "+1 --> R. 501:501(0) ack 1 win 0 <TS val 7 ecr 5> {id 15 ttl 60 cut}", MarkACK | MarkSameTTL},
		{"late", asked + "+5 --> R 501:501(0) win 0 {ttl 60}", MarkNoTimestamps | MarkNoID | MarkSameTTL},
		{"another lies ahead", asked + "+.020 --> R 501:501(0) win 0 {ttl 60}\n+.000 --> R 1961:1961(0) win 0 {ttl 60}", MarkNoTimestamps | MarkNoID | MarkSameTTL | MarkAnswers | MarkAhead},
	} {
		scripts, err := script.Parse(before + tt.then)
		if err != nil {
			t.Fatal(err)
		}
		tr := New(Config{})
		tr.Done = func(c *Conn) {
			if r, ok := c.Reset(); !ok || r.Marks != tt.want {
				t.Errorf("%s: %v, want %v", tt.of, r.Marks.List(), tt.want.List())
			}
		}
		for _, e := range scripts[0].Events(1<<32-1, 1<<31-1) {
			tr.Segment(e.Segment)
		}
		tr.Finish()
	}
}
