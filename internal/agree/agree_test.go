package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCompare: rows that are right agree, those that are wrong are listed and make
// the comparison fail.
func TestCompare(t *testing.T) {
	const header = "file\torig\torig_port\tresp\tresp_port\tconn_state\thistory\torig_pkts\tresp_pkts\n"
	const row = "server-reboot.pcap\t192.0.2.37\t40000\t198.51.100.37\t80\tRSTR\tShADadr\t5\t4\n"
	const streams = "file\tstream\ta\ta_port\tb\tb_port\tfirst_flags\tpackets_ab\tpackets_ba\tcompleteness\n" +
		"server-reboot.pcap\t0\t192.0.2.37\t40000\t198.51.100.37\t80\t2\t5\t4\t47\n"
	for _, c := range []struct {
		name, zeek, tshark string
		good               bool
		say                string
	}{
		{"agrees", header + row, streams, true, "conn_state                  100.00 %  1 of 1"},
		{"another state", header + strings.Replace(row, "RSTR", "SF", 1), streams, false, `conn_state "RSTR", Zeek "SF"`},
		{"a letter that is counted", header + strings.Replace(row, "ShADadr", "ShADTadr", 1), streams, false, `depend on what Zeek looks at`},
		{"no such row", header + row + row, streams, true, "no row of ours for RSTR"},
		{"a row too many", header, "", true, "zeek.tsv: 0 rows"},
		{"a bit too many", header + row, strings.Replace(streams, "\t47\n", "\t63\n", 1), false, "completeness 47, tshark 63: why is not known"},
		{"a quirk", header + row, strings.Replace(streams, "\t2\t5\t4\t47\n", "\t18\t5\t4\t45\n", 1), true, "begins without SYN"},
	} {
		dir := t.TempDir()
		for name, text := range map[string]string{"zeek.tsv": c.zeek, "tshark.tsv": c.tshark} {
			if text == "" {
				continue
			}
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		var out strings.Builder
		good, err := compare(&out, program(t), dir, "../../testdata/pcaps", 0)
		if err != nil {
			t.Fatal(err)
		}
		if good != c.good || !strings.Contains(out.String(), c.say) {
			t.Errorf("%s: good: %v, no %q in\n%s", c.name, good, c.say, out.String())
		}
	}
	if _, err := compare(new(strings.Builder), program(t), t.TempDir(), "../../testdata/pcaps", 0); err == nil {
		t.Error("no tables, and no error")
	}
}

var built string

// program returns the program, which is built once.
func program(t *testing.T) string {
	t.Helper()
	if built == "" {
		built = filepath.Join(t.TempDir(), "tcplife")
		if err := build(built); err != nil {
			t.Fatal(err)
		}
	}
	return built
}
