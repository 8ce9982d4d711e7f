package report

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/olekukonko/tablewriter/pkg/twwidth"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"tcplife/decode"
	"tcplife/decode/capture"
	"tcplife/internal/script"
	"tcplife/report/anomaly"
	"tcplife/report/schema"
	"tcplife/track"
)

var update = flag.Bool("update", false, "rewrite the goldens in testdata; read the diff before committing it")

// hostile is a name that breaks what does not escape it.
const hostile = "a\"\\\n\x1b[31m\x00\xff\u2028,\u009b=1.pcap"

// readScripts returns the scripts in testdata/NAME.tcp.
func readScripts(t testing.TB, names ...string) []*script.Script {
	t.Helper()
	var all []*script.Script
	for _, n := range names {
		text, err := os.ReadFile(filepath.Join("testdata", n+".tcp"))
		if err != nil {
			t.Fatal(err)
		}
		s, err := script.Parse(string(text))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s...)
	}
	return all
}

// play reports the scripts, a capture each, to the sink.
func play(t testing.TB, sink Sink, name string, scripts ...*script.Script) {
	t.Helper()
	var sum Summary
	var id uint64
	checker := anomaly.NewChecker(anomaly.All, anomaly.Config{})
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range scripts {
		tr := track.New(track.Config{History: true})
		streams := decode.NewStreams()
		in := Capture{Name: name, Format: "pcap", LinkTypes: []string{"ethernet"}}
		tr.Done = func(c *track.Conn) {
			id++
			conn := &Connection{Conn: c, ID: id, Capture: name, VLAN: []uint16{7}, Now: tr.Now()}
			conn.Findings, conn.NotJudged = checker.Check(c, id, tr.Now())
			in.Add(c)
			sum.Connection(conn)
			must(sink.Connection(conn))
		}
		for _, e := range s.Events(305419896, 2596069104) {
			in.Count(&capture.Packet{Time: e.Time, Length: 60, Data: make([]byte, 60)})
			switch {
			case e.Segment != nil:
				n, _ := streams.Segment(e.Segment)
				e.Segment.Stream = n + 1
				tr.Segment(e.Segment)
			case e.ICMP != nil:
				tr.ICMP(e.ICMP)
			default:
				in.Skipped = []Skipped{{"udp", 1}}
				tr.Tick(e.Time, e.Frame)
			}
		}
		tr.Finish()
		sum.Capture(&in)
		must(sink.Capture(&in))
	}
	must(sink.Summary(&sum))
	must(sink.Close())
}

func TestGoldens(t *testing.T) {
	for _, g := range []struct {
		golden, format string
		opts           Options
	}{
		{"table-wide.txt", "table", Options{}},
		{"table-80.txt", "table", Options{Width: 80, Limit: 100}},
		{"table-color.txt", "table", Options{Color: true}},
		{"summary.txt", "summary", Options{Width: 80}},
		{"report.jsonl", "jsonl", Options{}},
		{"report.json", "json", Options{}},
		{"report.csv", "csv", Options{}},
		{"sockets.txt", "ss", Options{}},
		{"conn.log", "zeek", Options{}},
		{"conn.json", "zeek-json", Options{}},
	} {
		t.Run(g.golden, func(t *testing.T) {
			var out bytes.Buffer
			sink, err := New(g.format, &out, g.opts)
			if err != nil {
				t.Fatal(err)
			}
			play(t, sink, "web.pcap", readScripts(t, "orderly", "stuck", "unreachable")...)
			name := filepath.Join("testdata", g.golden)
			if *update {
				if err := os.WriteFile(name, out.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if out.String() != string(want) {
				t.Errorf("got:\n%s\nwant:\n%s", out.String(), want)
			}
		})
	}
}

func compileSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema.JSON))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("tcplife-1.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("tcplife-1.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSchema holds every record to the schema, and to being one line of valid
// JSON, whatever the names hold.
// telling tells the transitions of each connection before it, and withdraws them.
type telling struct{ Sink }

func (s telling) Connection(c *Connection) error {
	for r, e := range c.Ends() {
		for _, tr := range e.Transitions() {
			for _, withdrawn := range []bool{false, true} {
				err := s.Sink.(TransitionSink).Transition(&Transition{
					Transition: tr, Conn: c.Conn, ID: c.ID, Role: track.Role(r), Inputs: NewInputs([]string{hostile}), Withdrawn: withdrawn,
				})
				if err != nil {
					return err
				}
			}
		}
	}
	return s.Sink.Connection(c)
}

func TestSchema(t *testing.T) {
	s := compileSchema(t)
	var out bytes.Buffer
	sink := newJSONL(&out, Options{})
	f := &Finding{Capture: hostile}
	f.Rule, f.Severity, f.Suspect, f.Message = anomaly.CloseWait, anomaly.Error, anomaly.Attacker, hostile
	f.Conns = []uint64{1, 2}
	if err := sink.Finding(f); err != nil {
		t.Fatal(err)
	}
	play(t, telling{sink}, hostile, readScripts(t, "orderly", "stuck", "unreachable", "aborted")...)
	types := map[string]int{}
	for line := range strings.Lines(out.String()) {
		for _, r := range line[:len(line)-1] {
			if r < ' ' || 0x7f <= r && r < 0xa0 || r == '\u2028' {
				t.Errorf("%q in %s", r, line)
			}
		}
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(line))
		if err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if err := s.Validate(doc); err != nil {
			t.Errorf("%v: %s", err, line)
		}
		types[doc.(map[string]any)["type"].(string)]++
		if !strings.HasPrefix(line, `{"type":"`) {
			t.Errorf("type is not first: %s", line)
		}
	}
	if types["connection"] != 4 || types["capture"] != 4 || types["finding"] != 1 || types["summary"] != 1 || types["transition"] < 20 {
		t.Errorf("records: %v", types)
	}
}

// TestDocument holds the one document to the lines.
func TestDocument(t *testing.T) {
	s := compileSchema(t)
	for _, names := range [][]string{nil, {"orderly"}, {"orderly", "stuck"}} {
		var out bytes.Buffer
		play(t, newJSON(&out, Options{}), hostile, readScripts(t, names...)...)
		var doc struct {
			Schema                          string
			Captures, Connections, Findings []any
			Summary                         any
		}
		if err := json.Unmarshal(out.Bytes(), &doc); err != nil {
			t.Fatalf("%v:\n%s", err, out.String())
		}
		if doc.Schema != Schema || len(doc.Captures) != len(names) || len(doc.Connections) != len(names) {
			t.Errorf("of %d scripts: %+v", len(names), doc)
		}
		for _, record := range append(append(doc.Captures, doc.Connections...), doc.Summary) {
			if err := s.Validate(record); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestCSV holds the columns to the scalar fields of the JSON record, dotted.
func TestCSV(t *testing.T) {
	for _, name := range []string{"orderly", "unreachable", "aborted"} {
		var rows, lines bytes.Buffer
		scripts := readScripts(t, name)
		play(t, newCSV(&rows, Options{}), "web.pcap", scripts...)
		play(t, newJSONL(&lines, Options{}), "web.pcap", scripts...)
		record, _, _ := strings.Cut(lines.String(), "\n")
		header, row, _ := strings.Cut(rows.String(), "\n")
		keys, values := strings.Split(header, ","), strings.Split(strings.TrimSpace(row), ",")
		if len(keys) != len(values) {
			t.Fatalf("%s: %d columns, %d values", name, len(keys), len(values))
		}
		scalars := map[string]string{}
		flatten(t, "", record, scalars)
		if want := name == "unreachable"; (scalars["icmp.name"] != "") != want {
			t.Errorf("%s: ICMP error is told: %v", name, !want)
		}
		if got := scalars["reset.maker"]; name == "aborted" && got != "middlebox" || name != "aborted" && got != "" {
			t.Errorf("%s: maker of the RST: %q", name, got)
		}
		for i, k := range keys {
			want, ok := scalars[k]
			if object, _, dotted := strings.Cut(k, "."); dotted && !ok {
				want, ok = scalars[object] // that is null
			}
			if !ok || want != values[i] {
				t.Errorf("%s: %s: %q in CSV, %q in JSON", name, k, values[i], want)
			}
			delete(scalars, k)
		}
		delete(scalars, "icmp")
		delete(scalars, "reset")
		for k := range scalars {
			t.Errorf("%s: %s is not in CSV", name, k)
		}
	}
}

func flatten(t *testing.T, prefix, record string, to map[string]string) {
	var m map[string]json.RawMessage
	if err := json.Unmarshal([]byte(record), &m); err != nil {
		t.Fatal(err)
	}
	for k, v := range m {
		switch v[0] {
		case '{':
			flatten(t, prefix+k+".", string(v), to)
		case '[':
		default:
			to[prefix+k] = strings.TrimPrefix(strings.Trim(string(v), `"`), "null")
		}
	}
}

// aConnection returns a finished connection that stays valid.
func aConnection(t testing.TB) *Connection {
	t.Helper()
	tr := track.New(track.Config{})
	var conn *Connection
	tr.Done = func(c *track.Conn) {
		now := tr.Now()
		findings, _ := anomaly.NewChecker(anomaly.All, anomaly.Config{}).Check(c, c.ID, now)
		conn = &Connection{Conn: c.Clone(), ID: 1, Capture: "web.pcap", Now: now, Findings: findings}
	}
	for _, e := range readScripts(t, "stuck")[0].Events(1, 2) {
		if e.Segment != nil {
			tr.Segment(e.Segment)
		} else {
			tr.Tick(e.Time, e.Frame)
		}
	}
	tr.Finish()
	return conn
}

// TestTimeZero holds that the beginning of 1970 is a time like any other.
func TestTimeZero(t *testing.T) {
	tr := track.New(track.Config{})
	var out bytes.Buffer
	sink := newJSONL(&out, Options{})
	tr.Done = func(c *track.Conn) {
		if err := sink.Connection(&Connection{Conn: c, ID: 1}); err != nil {
			t.Fatal(err)
		}
	}
	tr.Segment(&decode.Segment{Frame: 1, Flags: decode.SYN, SrcPort: 40000, DstPort: 80})
	tr.Finish()
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), `"state":"SYN_SENT","may_be":[],"state_basis":"sent","since":"1970-01-01T00:00:00.000000000Z"`) ||
		strings.Count(out.String(), `"since":null`) != 1 {
		t.Error(out.String())
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// TestAllocations holds records to costing none.
func TestAllocations(t *testing.T) {
	c := aConnection(t)
	for _, format := range []string{"jsonl", "csv"} {
		sink, err := New(format, discard{}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		n := testing.AllocsPerRun(100, func() {
			if err := sink.Connection(c); err != nil {
				t.Fatal(err)
			}
		})
		if n != 0 {
			t.Errorf("%s: %v allocations a record", format, n)
		}
	}
}

func BenchmarkJSONL(b *testing.B) {
	c := aConnection(b)
	sink := newJSONL(discard{}, Options{})
	b.ReportAllocs()
	for b.Loop() {
		if err := sink.Connection(c); err != nil {
			b.Fatal(err)
		}
	}
}

func TestClock(t *testing.T) {
	var k clock
	for _, ns := range []int64{0, 1, 999999999, 1e9, -1, -1e9, 1795176000000000001, 1<<63 - 1, -1 << 62} {
		want := time.Unix(0, ns).UTC().Format("2006-01-02T15:04:05.000000000Z")
		if got := string(k.append(nil, capture.Time(ns))); got != want {
			t.Errorf("%d: got %s, want %s", ns, got, want)
		}
	}
}

func TestSeconds(t *testing.T) {
	for ns, want := range map[int64]string{
		0: "0", 1: "0.000000001", 1e9: "1", 1234567000: "1.234567", -500000000: "-0.5", 90e9: "90",
	} {
		if got := string(appendSeconds(nil, ns)); got != want {
			t.Errorf("%d: got %s, want %s", ns, got, want)
		}
	}
}

// TestCommunityID has an example of github.com/corelight/community-id-spec in
// both directions.
func TestCommunityID(t *testing.T) {
	for _, test := range []struct {
		client, server netip.AddrPort
		want           string
	}{
		{netip.MustParseAddrPort("128.232.110.120:34855"), netip.MustParseAddrPort("66.35.250.204:80"), "1:LQU9qZlK+B5F3KDmev6m5PMibrg="},
		{netip.MustParseAddrPort("66.35.250.204:80"), netip.MustParseAddrPort("128.232.110.120:34855"), "1:LQU9qZlK+B5F3KDmev6m5PMibrg="},
	} {
		tr := track.New(track.Config{})
		tr.Done = func(c *track.Conn) {
			var s scratch
			if got := string(s.communityID(&Connection{Conn: c})); got != test.want {
				t.Errorf("%v to %v: got %s, want %s", test.client, test.server, got, test.want)
			}
		}
		tr.Segment(&decode.Segment{
			Frame: 1, Flags: decode.SYN,
			Src: test.client.Addr().As16(), SrcPort: test.client.Port(),
			Dst: test.server.Addr().As16(), DstPort: test.server.Port(),
		})
		tr.Finish()
	}
}

// TestFlood holds the table to a row for many attempts, and to bounded memory
// and rows whatever the number of servers.
func TestFlood(t *testing.T) {
	var out bytes.Buffer
	sink := newTable(&out, Options{Limit: 10}).(*table)
	var sum Summary
	tr := track.New(track.Config{})
	checker := anomaly.NewChecker(anomaly.All, anomaly.Config{})
	tr.Done = func(c *track.Conn) {
		conn := &Connection{Conn: c, ID: c.ID, Capture: "flood.pcap", Now: tr.Now()}
		conn.Findings, conn.NotJudged = checker.Check(c, c.ID, tr.Now())
		sum.Connection(conn)
		if err := sink.Connection(conn); err != nil {
			t.Fatal(err)
		}
	}
	const flood, scan = 500, 3 * maxServers
	for i := range flood + scan {
		seg := &decode.Segment{
			Time: capture.Time(i) * 1e6, Frame: uint64(i + 1), Flags: decode.SYN, SrcPort: 40000,
			Src: netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}).As16(),
			Dst: netip.AddrFrom4([4]byte{10, 2, 0, 1}).As16(), DstPort: 80,
		}
		if i >= flood {
			seg.DstPort = uint16(1000 + i)
		}
		tr.Segment(seg)
	}
	tr.Tick(1e11, flood+scan+1)
	tr.Finish()
	if err := sink.Summary(&sum); err != nil {
		t.Fatal(err)
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "×500") {
		t.Errorf("no row for the flood:\n%s", out.String())
	}
	if n := strings.Count(out.String(), "\n"); n > 70 {
		t.Errorf("%d lines", n)
	}
	if n := sum.servers.Len(); n > 2*maxServers {
		t.Errorf("%d servers kept", n)
	}
	servers, rest := sum.Servers()
	total := rest
	for _, v := range servers {
		total += v.Connections
	}
	if servers[0].Port != 80 || total != sum.Connections || sum.Connections != flood+scan {
		t.Errorf("busiest server %d, %d of %d connections", servers[0].Port, total, sum.Connections)
	}
}

// TestHostileNames holds what people see to being printable.
func TestHostileNames(t *testing.T) {
	for _, format := range []string{"table", "summary", "csv"} {
		var out bytes.Buffer
		sink, err := New(format, &out, Options{Width: 80})
		if err != nil {
			t.Fatal(err)
		}
		play(t, sink, hostile, readScripts(t, "orderly")...)
		for _, r := range out.String() {
			if r != '\n' && !unicode.IsPrint(r) {
				t.Errorf("%s: %q in\n%s", format, r, out.String())
			}
		}
	}
}

// TestFormulas holds that no name in CSV is one that a spreadsheet runs.
func TestFormulas(t *testing.T) {
	for name, want := range map[string]string{
		"=1+1.pcap": "'=1+1.pcap", "+1": "'+1", "-1": "'-1", "@SUM(1)": "'@SUM(1)", "=A1,2": `"'=A1,2"`, "\t=1": `\t=1`, "\r=1": `\r=1`,
		"-": "-", "a=1": "a=1", "": "",
	} {
		var w csvWriter
		w.str("capture", name)
		if got := string(w.buf); got != want {
			t.Errorf("%q: %s, want %s", name, got, want)
		}
	}
}

// TestNotes holds that each kind of flaw is told once, with its number, and that a
// capture without has none.
func TestNotes(t *testing.T) {
	if told := notes(new(Flaws), 10, 2); told != nil {
		t.Errorf("of nothing: %q", told)
	}
	f := Flaws{
		Received: 4000, Dropped: 312, Unseen: Unseen{Gaps: 1, Midstream: 12, OneSided: 3, Duplicates: 40, Evicted: 9}, Reassembled: 5, Incomplete: 2,
		Cut: 500, Sliced: 7, Offloaded: 6, Aggregates: 8, BadLeftOut: 2, StepsBack: 3, LargestStep: 1200 * time.Millisecond,
	}
	f.Checksums[decode.ChecksumGood], f.Checksums[decode.ChecksumBad], f.Checksums[decode.ChecksumOffload] = 113, 7, 41
	var sum Flaws
	sum.Add(&f)
	if sum != f {
		t.Errorf("added to nothing: %+v, want %+v", sum, f)
	}
	all := Flaws{Dropped: 1}
	all.Checksums[decode.ChecksumBad] = 7
	got := strings.Join(append(notes(&f, 1000, 120), notes(&all, 1000, 120)...), "\n")
	const want = `note: 312 packets of 4,000 received dropped before they were captured: what they held is not known
note: 5 segments put together from IP fragments: checksums not verified
note: 2 datagrams of TCP without all their IP fragments: left out
note: 9 of 120 connections evicted at the memory limit, unfinished handshakes and the longest idle first: what came of them is not known
note: 7 of 1,000 packets longer by their IP headers than their frames: taken as cut on their way to the capture
note: 6 segments longer than the receiver takes (segmentation offload): packets and retransmissions on the wire are not those counted
note: 8 of 1,000 packets with several segments each (A-MSDU): only the first of each was looked at
note: 41 checksums left to the network card: not verified
note: 3 of 120 connections seen in one direction only: the other end's states are what its peer's segments prove
note: 1 time a segment was acknowledged that was not captured: what it did is inferred
note: 40 segments captured twice, counted once: retransmissions as quick would be missed
note: 12 of 120 connections in mid-stream when first seen: how they were opened is not known
note: 500 of 1,000 packets captured in part, as the snap length is: checksums not verified
note: 7 of 120 checksums wrong: 2 segments left out, 5 segments counted, of senders without a right one before
note: the clock stepped back 3 times, by 1.2s at most: durations across that are wrong
note: 1 packet dropped before they were captured: what they held is not known
note: all 7 checksums wrong, as if made or changed behind the capture: 7 segments counted, of senders without a right one before`
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

// TestNarrow holds the table to the width of the terminal.
func TestNarrow(t *testing.T) {
	for _, width := range []int{80, 100, 132, 200} {
		var out bytes.Buffer
		play(t, newTable(&out, Options{Width: width, Color: true}), "web.pcap", readScripts(t, "orderly", "stuck", "unreachable")...)
		for line := range strings.Lines(out.String()) {
			if n := twwidth.Width(strings.TrimSuffix(line, "\n")); n > width {
				t.Errorf("width %d: %d columns: %s", width, n, line)
			}
		}
	}
}

func TestFormats(t *testing.T) {
	if _, err := New("xml", discard{}, Options{}); err == nil || !strings.Contains(err.Error(), "table, summary, jsonl, json, csv, ss, zeek, zeek-json, pcapng, parquet") {
		t.Errorf("error %v does not list the formats", err)
	}
}

func TestOctets(t *testing.T) {
	for n, want := range map[uint64]string{
		0: "0", 999: "999", 1000: "1.0k", 9949: "9.9k", 9950: "10k", 999499: "999k", 999500: "1.0M",
		1<<64 - 1: "18E",
	} {
		if got := octets(n); got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
	}
}

// TestExamples: of many findings people see three, the worst first, and among equals
// those that came first.
func TestExamples(t *testing.T) {
	var sum Summary
	for i, weight := range []int64{1, 5, 3, 5, 2, 0} {
		sum.Finding(&Finding{Finding: anomaly.Finding{
			Rule: anomaly.PortScan, Severity: anomaly.Warn, Weight: weight, Message: fmt.Sprintf("%d of weight %d", i, weight),
		}})
	}
	groups, _ := sum.Groups()
	var got []string
	for _, x := range groups[0].Examples {
		got = append(got, x.Message)
	}
	if want := []string{"1 of weight 5", "3 of weight 5", "2 of weight 3"}; !slices.Equal(got, want) || groups[0].Count != 6 {
		t.Errorf("%q of %d, want %q", got, groups[0].Count, want)
	}
}
