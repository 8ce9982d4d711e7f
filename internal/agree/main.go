// Command agree compares what tcplife tells of captures with what Zeek, tshark and
// others tell of them, and prints how often each field agrees.
//
//	go run ./internal/agree EXPECTED CAPTURES
//
// EXPECTED is a directory of tables, tab-separated with a header line: zeek.tsv
// (rows of Zeek's conn.log), tshark.tsv (TCP streams, with tcp.completeness) and
// community_id.tsv. Their column file names a capture in the directory CAPTURES. A
// table that is not there is left out. Each difference is listed with its reason,
// where that can be told. It ends with status 1 if a field agrees less often than it
// has to.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

func main() {
	program := flag.String("tcplife", "", "the `PROGRAM` to compare; empty: the one of this module, built for the purpose")
	listed := flag.Int("n", 50, "list at most `N` differences of each table; 0: all")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: agree [flags] EXPECTED CAPTURES")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() != 2 {
		flag.Usage()
		os.Exit(2)
	}
	ok, err := compare(os.Stdout, *program, flag.Arg(0), flag.Arg(1), *listed)
	if err != nil {
		fmt.Fprintln(os.Stderr, "agree:", err)
		os.Exit(2)
	}
	if !ok {
		os.Exit(1)
	}
}

// least is how often fields must agree, in percent of those compared.
var least = map[string]float64{
	"conn_state": 99, "history": 98, "completeness, quirks aside": 99.5, "community_id": 100, "tcp_stream": 99.5,
}

// A tool runs tcplife.
type tool struct{ program, captures string }

// run returns the records that tcplife prints of a capture: objects of JSON, one per
// line.
func (t tool) run(file string, args ...string) ([]map[string]any, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(t.program, append(args, "-q", filepath.Join(t.captures, file))...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil && stdout.Len() == 0 {
		return nil, fmt.Errorf("%s: %w: %s", file, err, strings.TrimSpace(stderr.String()))
	}
	var all []map[string]any
	d := json.NewDecoder(&stdout)
	d.UseNumber()
	for {
		var m map[string]any
		if err := d.Decode(&m); err == io.EOF {
			return all, nil
		} else if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		all = append(all, m)
	}
}

// compare prints the comparison, and reports whether all fields agree often enough.
func compare(w io.Writer, program, expected, captures string, listed int) (bool, error) {
	if program == "" {
		dir, err := os.MkdirTemp("", "agree")
		if err != nil {
			return false, err
		}
		defer func() { _ = os.RemoveAll(dir) }()
		program = filepath.Join(dir, "tcplife")
		if err := build(program); err != nil {
			return false, err
		}
	}
	t := tool{program, captures}
	good, tables := true, 0
	for _, table := range []struct {
		name    string
		compare func(tool, []row, *tally) error
	}{
		{"zeek.tsv", compareZeek},
		{"tshark.tsv", compareTshark},
		{"community_id.tsv", compareCommunity},
	} {
		rows, err := readTable(filepath.Join(expected, table.name))
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			return false, err
		}
		tables++
		tally := newTally()
		if err := table.compare(t, rows, tally); err != nil {
			return false, err
		}
		fmt.Fprintf(w, "%s: %d rows\n", table.name, len(rows))
		good = tally.print(w, listed) && good
	}
	if tables == 0 {
		return false, fmt.Errorf("%s: none of zeek.tsv, tshark.tsv and community_id.tsv is there", expected)
	}
	return good, nil
}

// build builds the module's program.
func build(to string) error {
	cmd := exec.Command("go", "build", "-o", to, "tcplife/cmd/tcplife")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("building tcplife: %w", err)
	}
	return nil
}

// A row is a line of a table, by column.
type row map[string]string

func readTable(name string) ([]row, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var header []string
	var rows []row
	s := bufio.NewScanner(f)
	for s.Scan() {
		cells := strings.Split(s.Text(), "\t")
		if header == nil {
			header = cells
			continue
		}
		if len(cells) > len(header) {
			return nil, fmt.Errorf("%s: line %d has %d columns, the header %d", name, len(rows)+2, len(cells), len(header))
		}
		r := row{}
		for i, c := range cells {
			r[header[i]] = c
		}
		rows = append(rows, r)
	}
	return rows, s.Err()
}

// byFile returns the rows of each file, and the files in the order of the table.
func byFile(rows []row) (files []string, of map[string][]row) {
	of = map[string][]row{}
	for _, r := range rows {
		f := r["file"]
		if of[f] == nil {
			files = append(files, f)
		}
		of[f] = append(of[f], r)
	}
	return files, of
}

// A tally counts how often fields agree.
type tally struct {
	fields      []string
	same, total map[string]int
	differences []string
}

func newTally() *tally { return &tally{same: map[string]int{}, total: map[string]int{}} }

// field compares a field.
func (t *tally) field(name string, same bool) bool {
	if t.total[name] == 0 {
		t.fields = append(t.fields, name)
	}
	t.total[name]++
	if same {
		t.same[name]++
	}
	return same
}

func (t *tally) differ(format string, args ...any) {
	t.differences = append(t.differences, fmt.Sprintf(format, args...))
}

func (t *tally) print(w io.Writer, listed int) (good bool) {
	good = true
	for _, f := range t.fields {
		percent := 100 * float64(t.same[f]) / float64(t.total[f])
		wanted := ""
		if l, ok := least[f]; ok {
			wanted = fmt.Sprintf(" (at least %v %%)", l)
			good = good && percent >= l
		}
		fmt.Fprintf(w, "  %-27s %6.2f %%  %d of %d%s\n", f, percent, t.same[f], t.total[f], wanted)
	}
	for i, d := range t.differences {
		if i == listed && listed > 0 {
			fmt.Fprintf(w, "  … and %d more\n", len(t.differences)-i)
			break
		}
		fmt.Fprintln(w, " ", d)
	}
	return good
}
