package main

import (
	"flag"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "rewrite what the test scripts and the README expect; read the diff before committing it")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"tcplife": main})
}

// TestScripts runs the commands as their user does. Scripts have commands of
// ours, see commands_test.go.
func TestScripts(t *testing.T) {
	samples, err := filepath.Abs("../../testdata/pcaps")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *update,
		RequireExplicitExec: false,
		RequireUniqueNames:  true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"pcap":     makePcap,
			"split":    splitPcap,
			"compress": compress,
			"append":   appendPart,
			"await":    await,
			"status":   status,
		},
		Condition: condition,
		Setup: func(e *testscript.Env) error {
			e.Vars = append(e.Vars, "NO_COLOR=", "COLUMNS=", "BAD=\x1b[31m", "SAMPLES="+samples, "GOCACHE="+goCache(), "GOTOOLCHAIN=local")
			return nil
		},
	})
}
