package main

import (
	"flag"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"tcplife/internal/script"
)

var update = flag.Bool("update", false, "rewrite what the test scripts and the README expect; read the diff before committing it")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"tcplife": main})
}

// TestScripts runs the commands as their user does. A script has a command of
// ours: "pcap IN.tcp OUT.pcap" makes a capture of connection scripts.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *update,
		RequireExplicitExec: false,
		RequireUniqueNames:  true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"pcap": makePcap,
		},
		Setup: func(e *testscript.Env) error {
			e.Vars = append(e.Vars, "NO_COLOR=", "COLUMNS=", "BAD=\x1b[31m")
			return nil
		},
	})
}

func makePcap(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: pcap in.tcp out.pcap")
	}
	scripts, err := script.Parse(ts.ReadFile(args[0]))
	ts.Check(err)
	f, err := os.Create(ts.MkAbs(args[1]))
	ts.Check(err)
	ts.Check(script.WritePcap(f, 305419896, 2596069104, scripts...))
	ts.Check(f.Close())
}

func TestSinceText(t *testing.T) {
	for ns, want := range map[int64]string{
		0: "+.000", 1000: "+.000001", 10e6: "+.01", 1e9: "+1", 90e9: "+90", 1.5e9: "+1.5", -1e6: "-.001", 499: "+.000", 100e9: "+100",
	} {
		if got := sinceText(ns); got != want {
			t.Errorf("%d: got %s, want %s", ns, got, want)
		}
	}
}
