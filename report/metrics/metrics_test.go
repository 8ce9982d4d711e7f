package metrics

import (
	"io"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"

	"tcplife/decode"
	"tcplife/internal/script"
	"tcplife/report/anomaly"
	"tcplife/track"
)

// scrape returns what a client gets that accepts this form.
func scrape(t *testing.T, m *Metrics, accept string) string {
	t.Helper()
	r := httptest.NewRequest("GET", "/metrics", nil)
	r.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, r)
	b, err := io.ReadAll(w.Result().Body)
	if err != nil || w.Code != 200 {
		t.Fatal(w.Code, err)
	}
	return string(b)
}

const (
	closed = `0 --> S 0:0(0)
+.01 <-- S. 0:0(0) ack 1
+.01 --> . 1:1(0) ack 1
+1 --> F. 1:1(0) ack 1
+.01 <-- F. 1:1(0) ack 2
+.01 --> . 2:2(0) ack 2
`
	reset = `0 --> S 0:0(0)
+.01 <-- S. 0:0(0) ack 1
+.01 --> . 1:1(0) ack 1
+1 <-- R. 1:1(0) ack 1
`
	unanswered = "0 --> S 0:0(0)\n"
)

// counted returns Metrics of these scripts, as they are at their end and as they
// are when all are closed.
func counted(t *testing.T, text string, survey bool) *Metrics {
	t.Helper()
	m := New("v1")
	s := NewSurvey()
	scripts, err := script.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, sc := range scripts {
		tr := track.New(track.Config{})
		if !survey {
			tr.Done = m.Connection
		}
		for _, e := range sc.Events(1, 2) {
			tr.Segment(e.Segment)
		}
		tr.Each(s.Connection)
		tr.Finish()
	}
	s.Packets, s.Dropped, s.Tracking, s.Limit = 7, 3, 1000, 2000
	s.Skipped[decode.SkipNotIP] = 5
	m.Publish(s)
	return m
}

func TestMetrics(t *testing.T) {
	open := counted(t, closed+"\n"+closed+"\n"+unanswered, true)
	done := counted(t, closed+"\n"+reset+"\n"+unanswered, false)
	done.Finding(&anomaly.Finding{Rule: anomaly.CloseWait, Severity: anomaly.Error})
	for _, tt := range []struct {
		m    *Metrics
		line string
	}{
		{open, `tcplife_ends{role="client",state="TIME_WAIT"} 2`},
		{open, `tcplife_ends{role="client",state="SYN_SENT"} 1`},
		{open, `tcplife_ends{role="server",state="CLOSED"} 2`},
		{open, `tcplife_ends{role="server",state="ESTABLISHED"} 0`},
		{open, `tcplife_open_connections 3`},
		{open, `tcplife_time_wait_ends{host="192.0.2.1"} 2`},
		{open, `tcplife_time_wait_ends{host="other"} 0`},
		{open, `tcplife_packets_total 7`},
		{open, `tcplife_dropped_packets_total 3`},
		{open, `tcplife_skipped_packets_total{reason="not-ip"} 5`},
		{open, `tcplife_tracking_bytes 1000`},
		{open, `tcplife_tracking_limit_bytes 2000`},
		{open, `tcplife_connections_total{outcome="closed"} 0`},
		{open, `tcplife_build_info{version="v1"} 1`},
		{done, `tcplife_connections_total{outcome="closed"} 1`},
		{done, `tcplife_connections_total{outcome="reset-by-server"} 1`},
		{done, `tcplife_connections_total{outcome="unanswered"} 1`},
		{done, `tcplife_handshakes_total{outcome="complete"} 2`},
		{done, `tcplife_handshake_seconds_bucket{le="0.0256"} 2`},
		{done, `tcplife_handshake_seconds_bucket{le="0.0064"} 0`},
		{done, `tcplife_connection_seconds_count 3`},
		{done, `tcplife_resets_total{by="server",maker="application"} 1`},
		{done, `tcplife_findings_total{rule="close-wait",severity="error"} 1`},
		{done, `tcplife_findings_total{rule="close-wait",severity="warn"} 0`},
	} {
		if text := scrape(t, tt.m, "text/plain"); !strings.Contains(text, "\n"+tt.line+"\n") {
			name, _, _ := strings.Cut(tt.line, "{")
			t.Errorf("no %s in\n%s", tt.line, like(text, name))
		}
	}
	if text := scrape(t, open, "application/openmetrics-text;version=1.0.0"); !strings.HasSuffix(text, "# EOF\n") {
		t.Error("OpenMetrics lacks its end")
	}
}

func like(text, name string) (lines string) {
	for l := range strings.Lines(text) {
		if strings.HasPrefix(l, name) {
			lines += l
		}
	}
	return lines
}

// TestHosts: whatever the packets hold, there are so many series and no more.
func TestHosts(t *testing.T) {
	m, s := New("v1"), NewSurvey()
	tr := track.New(track.Config{})
	scripts, err := script.Parse(closed)
	if err != nil {
		t.Fatal(err)
	}
	const hosts = 3000
	for i := range hosts {
		for _, e := range scripts[0].Events(1, 2) {
			for _, a := range []*decode.Addr{&e.Segment.Src, &e.Segment.Dst} {
				if a[15] == 1 {
					a[13], a[14] = byte(i>>8), byte(i)
				}
			}
			tr.Segment(e.Segment)
		}
	}
	tr.Each(s.Connection)
	m.Publish(s)
	lines := like(scrape(t, m, "text/plain"), "tcplife_time_wait_ends")
	if n := strings.Count(lines, "\n"); n != maxHosts+1 {
		t.Errorf("%d series:\n%s", n, lines)
	}
	if want := `{host="other"} 2980`; !strings.Contains(lines, want) {
		t.Errorf("no %s in\n%s", want, lines)
	}
}

// TestPromtool has Prometheus's own tool look at the names and the help.
func TestPromtool(t *testing.T) {
	promtool := needPromtool(t)
	cmd := exec.Command(promtool, "check", "metrics")
	cmd.Stdin = strings.NewReader(scrape(t, counted(t, closed+"\n"+reset, false), "text/plain"))
	cmd.Stderr = os.Stderr
	if out, err := cmd.Output(); err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}
