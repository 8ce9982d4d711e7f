package anomaly_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"tcplife/internal/script"
	"tcplife/report/anomaly"
)

// TestKinds asks each rule about every connection of all scripts, those too that it
// does not want to see: it has nothing more to say then.
func TestKinds(t *testing.T) {
	var asked, all []*anomaly.Rule
	for _, r := range anomaly.All {
		alone := *r
		alone.Explains = nil // or what one says too much, another might hide
		asked = append(asked, &alone)
		every := alone
		every.Also = anomaly.Plain | anomaly.LoneSYN
		all = append(all, &every)
	}
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range txtar.Parse(text).Files {
			if f.Name != "fires" && f.Name != "silent" {
				continue
			}
			scripts, err := script.Parse(string(f.Data))
			if err != nil {
				t.Fatal(err)
			}
			findings, unjudged := play(asked, anomaly.Config{}, scripts, 0, 0)
			more, more2 := play(all, anomaly.Config{}, scripts, 0, 0)
			if d := cmp.Diff(findings+unjudged, more+more2); d != "" {
				t.Errorf("%s: %s: when asked of all (+):\n%s", name, f.Name, d)
			}
		}
	}
}
