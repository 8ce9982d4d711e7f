package anomaly_test

import (
	"slices"
	"strings"
	"testing"

	"tcplife/internal/script"
	"tcplife/report/anomaly"
)

// TestEchoes plays what several rules have something to say about, with all rules:
// the cause is told, and not its echoes.
func TestEchoes(t *testing.T) {
	for _, c := range []struct {
		name, script string
		want         []string // names of the rules, each once
	}{
		{
			"flood", `
repeat 150 +.01 A.addr
0 --> S 0:0(0)
+.000 <-- S. 0:0(0) ack 1
+1 <-- S. 0:0(0) ack 1
+9 (end of capture)`,
			[]string{"syn-flood"},
		},
		{
			"scan of closed and open ports", `
repeat 20 +.01 B.port
0 --> S 0:0(0)
+.001 <-- R. 0:0(0) ack 1 win 0

and
repeat 20 +.01 B.port
B 198.51.100.2:8000
0 --> S 0:0(0)
+.001 <-- S. 0:0(0) ack 1
+.001 --> R 1:1(0) win 0`,
			[]string{"port-scan"},
		},
		{
			"leak", `
repeat 12 +10 A.port
0 --> S 0:0(0)
+.010 <-- S. 0:0(0) ack 1
+.000 --> . 1:1(0) ack 1
+.010 --> F. 1:1(0) ack 1
+.010 <-- . 1:1(0) ack 2
+70 (end of capture)`,
			[]string{"close-wait-leak"},
		},
		{
			"full accept queue", `
0 --> S 0:0(0)
+.010 <-- S. 0:0(0) ack 1
+.000 --> . 1:1(0) ack 1
+.010 --> P. 1:101(100) ack 1
+.2 --> P. 1:101(100) ack 1
+.4 --> P. 1:101(100) ack 1
+.4 <-- S. 0:0(0) ack 1
+.000 --> . 101:101(0) ack 1
+.4 --> P. 1:101(100) ack 1
+1.6 <-- S. 0:0(0) ack 1
+.000 --> . 101:101(0) ack 1
+3 --> P. 1:101(100) ack 1
+9 (end of capture)`,
			[]string{"accept-queue-full"},
		},
		{
			"rejected", `
0 --> S 0:0(0)
+.010 <-- icmp prohibited quoting 0 from 203.0.113.1
+1 --> S 0:0(0)
+.010 <-- icmp prohibited quoting 0 from 203.0.113.1
+9 (end of capture)`,
			[]string{"icmp-rejected"},
		},
		{
			"one of each", `
0 --> S 0:0(0)
+9 (end of capture)

and
B 198.51.100.2:444
0 --> S 0:0(0)
+.010 <-- S. 0:0(0) ack 1
+9 (end of capture)`,
			[]string{"half-open-handshake", "syn-unanswered"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			scripts, err := script.Parse(strings.TrimSpace(c.script))
			if err != nil {
				t.Fatal(err)
			}
			found, _ := play(anomaly.All, anomaly.Config{}, scripts, 1, 2)
			var rules []string
			for line := range strings.Lines(found) {
				rules = append(rules, strings.TrimSuffix(strings.Fields(line)[1], ":"))
			}
			slices.Sort(rules)
			if rules = slices.Compact(rules); !slices.Equal(rules, c.want) {
				t.Errorf("%v, want %v, of\n%s", rules, c.want, found)
			}
		})
	}
}
