package ladder

import "testing"

func TestSinceText(t *testing.T) {
	for ns, want := range map[int64]string{
		0: "+.000", 1000: "+.000001", 10e6: "+.01", 1e9: "+1", 90e9: "+90", 1.5e9: "+1.5", -1e6: "-.001", 499: "+.000", 100e9: "+100",
	} {
		if got := sinceText(ns); got != want {
			t.Errorf("%d: got %s, want %s", ns, got, want)
		}
	}
}
