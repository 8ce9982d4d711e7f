package anomaly

import "testing"

// TestUnits holds settings to their units and bounds.
func TestUnits(t *testing.T) {
	for _, c := range []struct {
		unit Unit
		text string
		want string // as it is told; "" if refused
	}{
		{Span, "30s", "30s"},
		{Span, "90s", "1m30s"},
		{Span, "60s", "1m"},
		{Span, "2h", "2h"},
		{Span, "0s", ""},
		{Span, "-1s", ""},
		{Span, "5", ""},
		{Span, "", ""},
		{Count, "1", "1"},
		{Count, "0", ""},
		{Count, "10%", ""},
		{Count, "2147483648", ""},
		{Percent, "50%", "50%"},
		{Percent, "50", "50%"},
		{Percent, "101%", ""},
		{Percent, "0%", ""},
		{Percent, "99999999999999999999%", ""},
	} {
		v, err := c.unit.parse(c.text)
		got := ""
		if err == nil {
			got = c.unit.format(v)
		}
		if got != c.want {
			t.Errorf("%q: %q (%v), want %q", c.text, got, err, c.want)
		}
	}
}
