package policy

import (
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
)

// TestSuggest holds the suggested policies to be kept by what they come from, and to
// the schema.
func TestSuggest(t *testing.T) {
	schema := compile(t)
	for _, name := range []string{"selectors", "limits", "expect", "allow"} {
		ar, err := txtar.ParseFile("testdata/judge/" + name + ".txtar")
		if err != nil {
			t.Fatal(err)
		}
		capture := string(ar.Files[0].Data)
		p, err := Parse("none", []byte("version: 1\n"))
		if err != nil {
			t.Fatal(err)
		}
		text := Suggest(judge(t, p, capture).Verdict())
		if err := conforms(t, schema, text); err != nil {
			t.Errorf("%v\n%s", err, text)
		}
		p, err = Parse("suggested", text)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if v := judge(t, p, capture).Verdict(); v.Broken() || len(v.Results) < 10 {
			t.Errorf("%s\n%s", dump(v), text)
		}
	}
}

// TestSuggestSeen: what was seen is let pass, and servers that have another port the
// next time are not expected.
func TestSuggestSeen(t *testing.T) {
	p, err := Parse("none", []byte("version: 1\n"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(Suggest(judge(t, p, `
A 10.0.0.1:40000
B 10.0.0.5:32768
0        --> S 0:0(0)
+.010    <-- S. 0:0(0) ack 1
+.000    --> . 1:1(0) ack 1
+.010    --> F. 1:1(0) ack 1
+.010    <-- F. 1:1(0) ack 2
+.010    --> . 2:2(0) ack 2

A 10.0.0.1:40001
B 10.0.0.5:32767
1        --> S 0:0(0)
+.010    <-- S. 0:0(0) ack 1
+.000    --> . 1:1(0) ack 1
+.010    --> F. 1:1(0) ack 1
+.010    <-- F. 1:1(0) ack 2
+.010    --> . 2:2(0) ack 2

A 10.0.0.1:40002
B 10.0.0.5:80
2        --> S 0:0(0)
+.010    <-- S. 0:0(0) ack 1
+.000    --> . 1:1(0) ack 1
+.010    --> F. 1:1(0) ack 1
+.010    <-- . 1:1(0) ack 2
+300     (udp)
`).Verdict()))
	for want, is := range map[string]bool{
		"close-wait: {from: warn, max: 2} # 1 finding\n": true, "close-wait: fail": false,
		"port: 32767": true, "port: 32768": false, "port: 80}": false,
		"retransmits: 1% # 0 of 17\n": true, "client_closes_first": false,
	} {
		if strings.Contains(text, want) != is {
			t.Errorf("%q: %v\n%s", want, !is, text)
		}
	}
}

func TestRoundUp(t *testing.T) {
	for n, want := range map[uint64]uint64{0: 0, 1: 1, 2: 2, 3: 5, 5: 5, 6: 10, 10: 10, 11: 20, 51: 100, 1e9: 1e9} {
		if got := roundUp(n); got != want {
			t.Errorf("%d: got %d, want %d", n, got, want)
		}
	}
	for s, want := range map[float64]string{0: "0%", 0.0003: "0.05%", 0.01: "1%", 0.012: "2%", 0.3: "50%", 0.7: "100%", 3: "100%"} {
		if got := percent(roundUpShare(s)); got != want {
			t.Errorf("%v: got %v, want %v", s, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		1: "1ms", time.Millisecond: "1ms", 12 * time.Millisecond: "20ms", time.Second: "1s", 25 * time.Second: "30s",
		31 * time.Second: "1m", 31 * time.Minute: "1h", 90 * time.Minute: "2h", 49 * time.Hour: "49h",
	} {
		if got := timeText(roundUpTime(d)); got != want {
			t.Errorf("%v: got %v, want %v", d, got, want)
		}
	}
}
