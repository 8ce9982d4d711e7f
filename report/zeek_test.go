package report

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// zeekLogs returns the log of scripts, tab-separated and as JSON.
func zeekLogs(t *testing.T) (log, lines string) {
	t.Helper()
	var tsv, js bytes.Buffer
	scripts := readScripts(t, "orderly", "stuck", "unreachable")
	play(t, newZeek(&tsv, Options{}), hostile, scripts...)
	play(t, newZeekJSON(&js, Options{}), hostile, scripts...)
	return tsv.String(), js.String()
}

// TestZeekLog reads the log as its own header lines say, and holds it to the JSON.
func TestZeekLog(t *testing.T) {
	log, lines := zeekLogs(t)
	headers := map[string][]string{}
	var rows [][]string
	for line := range strings.Lines(log) {
		cells := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if name, ok := strings.CutPrefix(cells[0], "#"); ok {
			headers[name] = cells[1:]
			continue
		}
		rows = append(rows, cells)
	}
	if _, ok := headers[`separator \x09`]; !ok || !strings.HasPrefix(log, `#separator \x09`+"\n") {
		t.Error("the separator is not told first")
	}
	for name, want := range map[string]string{"set_separator": ",", "empty_field": "(empty)", "unset_field": "-", "path": "conn"} {
		if got := headers[name]; len(got) != 1 || got[0] != want {
			t.Errorf("#%s %q, want %q", name, got, want)
		}
	}
	fields, types := headers["fields"], headers["types"]
	if len(fields) != len(zeekFields) || len(types) != len(fields) || len(headers["open"]) != 1 || len(headers["close"]) != 1 {
		t.Fatalf("headers %q", headers)
	}
	objects := strings.Split(strings.TrimSpace(lines), "\n")
	if len(rows) != 3 || len(objects) != len(rows) {
		t.Fatalf("%d rows, %d objects", len(rows), len(objects))
	}
	uids := map[string]bool{}
	for i, row := range rows {
		if len(row) != len(fields) {
			t.Fatalf("row %d has %d fields: %q", i, len(row), row)
		}
		object := map[string]json.RawMessage{}
		if err := json.Unmarshal([]byte(objects[i]), &object); err != nil {
			t.Fatal(err)
		}
		for j, f := range fields {
			v := strings.Trim(string(object[f]), `"`)
			delete(object, f)
			switch {
			case v == "":
				v = "-"
			case types[j] == "bool":
				v = strings.ToUpper(v[:1])
			}
			if row[j] != v {
				t.Errorf("row %d: %s %q, in JSON %q", i, f, row[j], v)
			}
		}
		if len(object) > 0 {
			t.Errorf("row %d: only in JSON: %v", i, object)
		}
		uid := row[slices.Index(fields, "uid")]
		if len(uid) != 18 || uid[0] != 'C' || strings.Trim(uid, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") != "" || uids[uid] {
			t.Errorf("row %d: uid %q", i, uid)
		}
		uids[uid] = true
	}
}

// TestZeekCut lets zeek-cut, Zeek's own reader of its logs, read one.
func TestZeekCut(t *testing.T) {
	program, err := exec.LookPath("zeek-cut")
	if err != nil {
		program, err = exec.LookPath("bro-cut")
	}
	if err != nil {
		t.Skip("no zeek-cut, nor bro-cut (Debian package bro-aux)")
	}
	log, _ := zeekLogs(t)
	cmd := exec.Command(program, "-u", "ts", "id.orig_h", "id.resp_p", "conn_state", "history", "duration", "service")
	cmd.Stdin = strings.NewReader(log)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	const want = `2026-01-01T00:00:00+0000	192.0.2.1	443	SF	ShADdFf	1.041000	-
`
	if got := string(out); strings.Count(got, "\n") != 3 || !strings.HasPrefix(got, want) {
		t.Errorf("got:\n%swant first:\n%s", got, want)
	}
}
