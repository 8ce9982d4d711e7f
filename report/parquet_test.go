package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"tcplife/report/anomaly"
	"tcplife/report/schema"
)

// TestParquetColumns holds the columns to the schema of the JSON records: what is
// added there has to be added to the file.
func TestParquetColumns(t *testing.T) {
	var doc map[string]any
	if err := json.Unmarshal(schema.JSON, &doc); err != nil {
		t.Fatal(err)
	}
	defs := doc["$defs"].(map[string]any)
	var resolve func(node any) map[string]any
	resolve = func(node any) map[string]any {
		m := node.(map[string]any)
		if ref, ok := m["$ref"].(string); ok {
			return resolve(defs[strings.TrimPrefix(ref, "#/$defs/")])
		}
		for _, key := range []string{"oneOf", "anyOf"} {
			if list, ok := m[key].([]any); ok {
				return resolve(list[0]) // or null
			}
		}
		return m
	}
	extra := map[string]bool{"addr": true, "port": true, "connections": true} // a finding's
	compared := 0
	var walk func(path string, node map[string]any, typ reflect.Type)
	walk = func(path string, node map[string]any, typ reflect.Type) {
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
			typ = typ.Elem()
		}
		if items, ok := node["items"]; ok {
			node = resolve(items)
		}
		properties, _ := node["properties"].(map[string]any)
		if typ.Kind() != reflect.Struct {
			if properties != nil {
				t.Errorf("%s: an object in JSON, %v in Parquet", path, typ)
			}
			return
		}
		cols := columns[typ]
		for name, property := range properties {
			compared++
			i, ok := cols[name]
			if !ok {
				t.Errorf("%s.%s has no column", path, name)
				continue
			}
			walk(path+"."+name, resolve(property), typ.Field(i).Type)
		}
		for name := range cols {
			if _, ok := properties[name]; !ok && (path != "connection" || !extra[name]) {
				t.Errorf("column %s.%s is in no record", path, name)
			}
		}
	}
	walk("connection", resolve(defs["connection"]), reflect.TypeFor[parquetRecord]())
	if compared < 60 {
		t.Errorf("%d properties were compared", compared)
	}
	finding := resolve(defs["group_finding"])["properties"].(map[string]any)
	for name := range finding {
		_, row := columns[reflect.TypeFor[parquetRecord]()][name]
		_, list := columns[reflect.TypeFor[parquetFinding]()][name]
		if !row && !list {
			t.Errorf("finding.%s has no column", name)
		}
	}
}

// parquetFile writes the scripts and a finding, and returns the file and the records
// as JSON.
func parquetFile(t *testing.T, name string) (file string, lines []string) {
	t.Helper()
	var table, js bytes.Buffer
	f := &Finding{Capture: name}
	f.Rule, f.Severity, f.Message, f.Packets, f.Conns = anomaly.CloseWait, anomaly.Error, name, []uint64{4, 5}, []uint64{1, 2}
	for _, sink := range []Sink{newParquet(&table, Options{}), newJSONL(&js, Options{})} {
		if err := sink.Finding(f); err != nil {
			t.Fatal(err)
		}
		play(t, sink, name, readScripts(t, "orderly", "stuck", "unreachable")...)
	}
	file = filepath.Join(t.TempDir(), "conns.parquet")
	if err := os.WriteFile(file, table.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return file, strings.Split(strings.TrimSpace(js.String()), "\n")
}

// TestParquet reads the rows back; TestParquetDuckDB lets another reader do it.
func TestParquet(t *testing.T) {
	file, _ := parquetFile(t, hostile)
	rows, err := parquet.ReadFile[parquetRecord](file)
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 4 {
		t.Fatalf("%d rows", len(rows))
	}
	f, c := rows[0], rows[1]
	if f.Type != "finding" || f.ID != nil || f.Client != nil || len(f.Findings) != 1 || f.Findings[0].Rule != "close-wait" || !reflect.DeepEqual(f.Connections, []uint64{1, 2}) {
		t.Errorf("finding %+v", f)
	}
	if c.Type != "connection" || *c.ID != 1 || c.Client.Port != 40000 || *c.Client.ISN != 305419896 || c.Client.State != "TIME_WAIT" ||
		*c.Duration != 1.041 || c.ICMP != nil || *c.ConnState != "SF" || len(c.Transitions) == 0 || !reflect.DeepEqual(c.VLAN, []uint32{7}) {
		t.Errorf("connection %+v", c)
	}
	if got := time.Unix(0, *c.Start).UTC().Format(time.RFC3339Nano); got != "2026-01-01T00:00:00Z" {
		t.Errorf("start %s", got)
	}
	if rows[3].ICMP == nil || rows[3].ICMP.Name != "host-unreachable" || rows[3].Server.ISN != nil {
		t.Errorf("unreachable %+v", rows[3])
	}
}

// TestParquetGroups: rows beyond a group are in the next.
func TestParquetGroups(t *testing.T) {
	var out bytes.Buffer
	s := newParquet(&out, Options{})
	c := aConnection(t)
	for range parquetRows + 5 {
		if err := s.Connection(c); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := parquet.OpenFile(bytes.NewReader(out.Bytes()), int64(out.Len()))
	if err != nil || f.NumRows() != parquetRows+5 || len(f.RowGroups()) != 2 {
		t.Errorf("%d rows in %d groups, %v", f.NumRows(), len(f.RowGroups()), err)
	}
}

// TestParquetDuckDB lets DuckDB read the file, and holds what it reads to the JSON
// records.
func TestParquetDuckDB(t *testing.T) {
	if _, err := os.Stat(filepath.Join(os.Getenv("NODE_PATH"), "@duckdb", "node-api")); err != nil {
		t.Skip("no DuckDB: npm install --prefix DIR @duckdb/node-api, and NODE_PATH=DIR/node_modules")
	}
	file, lines := parquetFile(t, "web.pcap")
	query := func(sql string) (rows []map[string]any) {
		t.Helper()
		out, err := exec.Command("node", "testdata/duckdb/query.mjs", strings.ReplaceAll(sql, "FILE", "'"+file+"'")).Output()
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		for line := range strings.Lines(string(out)) {
			var row map[string]any
			if err := json.Unmarshal([]byte(line), &row); err != nil {
				t.Fatal(err)
			}
			rows = append(rows, row)
		}
		return rows
	}
	same := []string{"id", "capture", "community_id", "tcp_stream", "duration", "handshake", "handshake_time", "end_reason", "midstream", "conn_state", "history", "completeness"}
	ends := []string{"addr", "port", "state", "isn", "packets", "bytes", "closed_with"}
	sql := "select " + strings.Join(same, ", ")
	for _, e := range ends {
		sql += fmt.Sprintf(", client.%s as client_%s, server.%s as server_%s", e, e, e, e)
	}
	sql += `, epoch_ns(start) as start_ns, icmp.name as icmp_name, list_transform(transitions, x -> x."to") as moves, list_transform(findings, x -> x.rule) as rules
		from FILE where type = 'connection' order by id`
	rows := query(sql)
	i := 0
	for _, line := range lines {
		var c map[string]any
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			t.Fatal(err)
		}
		if c["type"] != "connection" {
			continue
		}
		row := rows[i]
		i++
		check := func(name string, got, want any) {
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("connection %v: %s %v, in JSON %v", c["id"], name, got, want)
			}
		}
		for _, name := range same {
			check(name, row[name], c[name])
		}
		for _, side := range []string{"client", "server"} {
			for _, name := range ends {
				want := c[side].(map[string]any)[name]
				if n, ok := want.(float64); ok {
					want = fmt.Sprintf("%.0f", n)
				}
				got := row[side+"_"+name]
				if n, ok := got.(float64); ok {
					got = fmt.Sprintf("%.0f", n)
				}
				check(side+"."+name, got, want)
			}
		}
		start, err := time.Parse(time.RFC3339Nano, c["start"].(string))
		if err != nil {
			t.Fatal(err)
		}
		check("start", row["start_ns"], start.UnixNano())
		var moves, rules []any
		for _, m := range c["transitions"].([]any) {
			moves = append(moves, m.(map[string]any)["to"])
		}
		for _, f := range c["findings"].([]any) {
			rules = append(rules, f.(map[string]any)["rule"])
		}
		check("transitions", row["moves"], moves)
		check("findings", row["rules"], rules)
		if icmp, ok := c["icmp"].(map[string]any); ok {
			check("icmp", row["icmp_name"], icmp["name"])
		} else {
			check("icmp", row["icmp_name"], nil)
		}
	}
	if i != 3 || len(rows) != 3 {
		t.Errorf("%d rows, %d records", len(rows), i)
	}
	if got := query("select findings[1].rule as rule, connections from FILE where type = 'finding'"); len(got) != 1 || fmt.Sprint(got[0]) != "map[connections:[1 2] rule:close-wait]" {
		t.Errorf("finding %v", got)
	}
}
