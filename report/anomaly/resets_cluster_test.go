package anomaly_test

import (
	"strings"
	"testing"
	"time"

	"tcplife/internal/script"
	"tcplife/report/anomaly"
	"tcplife/track"
)

// TestResetsClusterLive judges while resets go on: each event is told once, the
// second although the first was as large, and nothing is told twice.
func TestResetsClusterLive(t *testing.T) {
	const event = `0 --> S 0:0(0)
+.010 <-- S. 0:0(0) ack 1
+.000 --> . 1:1(0) ack 1
+.010 --> P. 1:101(100) ack 1
+10 <-- R. 1:1(0) ack 101`
	scripts, err := script.Parse("repeat 12 +.1 A.port\n" + event)
	if err != nil {
		t.Fatal(err)
	}
	checker := anomaly.NewChecker([]*anomaly.Rule{anomaly.ResetsCluster}, anomaly.Config{})
	var got []string
	for hour := range 3 {
		tr := track.New(track.Config{})
		tr.Done = func(c *track.Conn) { checker.Check(c, c.ID, tr.Now()) }
		events, _ := script.Merge(scripts, 1, 2)
		for _, e := range events {
			seg := *e.Segment
			seg.Time = seg.Time.Add(time.Duration(hour) * time.Hour)
			tr.Segment(&seg)
		}
		tr.Finish()
		for range 2 {
			for _, f := range checker.Judge(tr.Now()) {
				got = append(got, f.Message)
			}
		}
	}
	want := strings.Repeat("the server reset 12 connections within 2s\n", 3)
	if s := strings.Join(got, "\n") + "\n"; s != want {
		t.Errorf("told:\n%swant:\n%s", s, want)
	}
}
