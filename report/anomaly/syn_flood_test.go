package anomaly_test

import (
	"fmt"
	"strings"
	"testing"

	"tcplife/internal/script"
	"tcplife/report/anomaly"
)

// TestSYNFloodForged tells forged sources, which lie all over the address space and
// come once, from hosts all over the world that come again, and from one network.
func TestSYNFloodForged(t *testing.T) {
	for _, c := range []struct {
		name   string
		nets   int    // that sources are in
		copies int    // from each
		differ string // by what the copies do
		forged bool
	}{
		{"forged", 100, 2, "A.addr", true},
		{"come again", 100, 3, "A.port", false},
		{"few networks", 20, 10, "A.addr", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var text strings.Builder
			for n := range c.nets {
				fmt.Fprintf(&text, "A %d.7.%d.9:4000\nB 198.51.100.2:443\n", n+1, 3*n%251)
				if n > 0 {
					text.WriteString("and\n")
				}
				fmt.Fprintf(&text, "repeat %d +.001 %s\n", c.copies, c.differ)
				text.WriteString("0 --> S 0:0(0)\n+.010 <-- S. 0:0(0) ack 1\n+5 <-- S. 0:0(0) ack 1\n\n")
			}
			scripts, err := script.Parse(text.String())
			if err != nil {
				t.Fatal(err)
			}
			got, _ := play([]*anomaly.Rule{anomaly.SYNFlood}, anomaly.Config{}, scripts, 0, 0)
			if want := fmt.Sprintf("%d handshakes not completed", c.nets*c.copies); !strings.Contains(got, want) {
				t.Fatalf("%q lacks %q", got, want)
			}
			if forged := strings.Contains(got, fmt.Sprintf(" in %d networks, hardly any of them twice: forged", c.nets)); forged != c.forged {
				t.Errorf("forged: %t, want %t: %s", forged, c.forged, got)
			}
		})
	}
}
