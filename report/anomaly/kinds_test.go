package anomaly_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"tcplife/decode"
	"tcplife/decode/capture"
	"tcplife/internal/script"
	"tcplife/report/anomaly"
	"tcplife/track"
)

// askedAndAll returns all rules twice: to be asked of what they want to see, and of
// everything. None explains another, or what one says too much, another might hide.
func askedAndAll() (asked, all []*anomaly.Rule) {
	for _, r := range anomaly.All {
		alone := *r
		alone.Explains = nil
		asked = append(asked, &alone)
		every := alone
		every.Also = anomaly.Plain | anomaly.LoneSYN
		all = append(all, &every)
	}
	return asked, all
}

// TestKinds asks each rule about every connection of all scripts, those too that it
// does not want to see: it has nothing more to say then.
func TestKinds(t *testing.T) {
	asked, all := askedAndAll()
	rules, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(rules) == 0 {
		t.Fatal(rules, err)
	}
	tracks, err := filepath.Glob("../../track/testdata/*.tcp")
	if err != nil || len(tracks) == 0 {
		t.Fatal(tracks, err)
	}
	for _, name := range append(rules, tracks...) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files := []txtar.File{{Name: "fires", Data: text}}
		if filepath.Ext(name) == ".txtar" {
			files = txtar.Parse(text).Files
		}
		var config anomaly.Config
		for _, f := range files {
			switch f.Name {
			case "set":
				for line := range strings.Lines(string(f.Data)) {
					if err := config.Set(strings.TrimSpace(line)); err != nil {
						t.Fatal(err)
					}
				}
				continue
			case "findings":
				continue
			}
			scripts, err := script.Parse(string(f.Data))
			if err != nil {
				t.Fatal(err)
			}
			findings, unjudged := play(asked, config, scripts, 0, 0)
			more, more2 := play(all, config, scripts, 0, 0)
			if d := cmp.Diff(findings+unjudged, more+more2); d != "" {
				t.Errorf("%s: %s: when asked of all (+):\n%s", name, f.Name, d)
			}
		}
	}
}

// TestKindsSamples does the same with the connections of kernels.
func TestKindsSamples(t *testing.T) {
	samples, err := filepath.Glob("../../testdata/pcaps/*.pcap")
	if err != nil || len(samples) == 0 {
		t.Fatal(samples, err)
	}
	some := false
	for _, name := range samples {
		found, more := judgeFile(t, name)
		if d := cmp.Diff(found, more); d != "" {
			t.Errorf("%s: when asked of all (+):\n%s", name, d)
		}
		some = some || found != ""
	}
	if !some {
		t.Error("no rule finds anything")
	}
}

// judgeFile returns what rules have to say of a capture when they are asked of what
// they want to see, and of everything.
func judgeFile(t *testing.T, name string) (asked, all string) {
	t.Helper()
	r, err := capture.Options{}.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	few, every := askedAndAll()
	var said [2]strings.Builder
	checkers := []*anomaly.Checker{anomaly.NewChecker(few, anomaly.Config{}), anomaly.NewChecker(every, anomaly.Config{})}
	d, tr := decode.NewDecoder(), track.New(track.Config{})
	tr.Last = func(c *track.Conn) {
		for _, k := range checkers {
			k.Look(c, c.ID, tr.Now())
		}
	}
	tr.Done = func(c *track.Conn) {
		for i, k := range checkers {
			findings, unjudged := k.Check(c, c.ID, tr.Now())
			for j := range findings {
				tell(&said[i], &findings[j], c)
			}
			for _, n := range unjudged {
				fmt.Fprintf(&said[i], "%d: %s not judged: %s\n", c.ID, n.Rule.Name, n.Why)
			}
		}
	}
	var pkt capture.Packet
	var seg decode.Segment
	for err = r.Next(&pkt); err == nil; err = r.Next(&pkt) {
		switch res := d.Decode(&pkt, &seg); res.Kind {
		case decode.AsSegment:
			tr.Add(&seg)
		case decode.AsICMP:
			tr.Flush()
			tr.ICMP(&d.ICMP)
		default:
			tr.AddTick(pkt.Time, pkt.Frame)
		}
	}
	if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatal(name, err)
	}
	tr.Finish()
	for i, k := range checkers {
		group := k.Finish(tr.Now())
		for j := range group {
			tell(&said[i], &group[j], nil)
		}
	}
	return said[0].String(), said[1].String()
}
