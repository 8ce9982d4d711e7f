package report

import (
	"io"
	"reflect"
	"strings"

	"github.com/parquet-go/parquet-go"

	"tcplife/decode/capture"
)

// A parquetRecord is a row: the record of a connection, or of a finding that concerns
// several or none, whose columns of connections are null. It gives the fields that
// fields.go names their types; those of one kind of record only are pointers.
type parquetRecord struct {
	Type          string   `parquet:"type,dict"`
	ID            *uint64  `parquet:"id,optional"`
	Capture       string   `parquet:"capture,dict"`
	CommunityID   *string  `parquet:"community_id,optional"`
	TCPStream     *uint32  `parquet:"tcp_stream,optional"`
	DisplayFilter *string  `parquet:"display_filter,optional"`
	VLAN          []uint32 `parquet:"vlan,list"`
	Tunnel        *string  `parquet:"tunnel,optional,dict"`

	Client *parquetEnd `parquet:"client,optional"`
	Server *parquetEnd `parquet:"server,optional"`

	RoleBasis     *string  `parquet:"role_basis,optional,dict"`
	Start         *int64   `parquet:"start,optional,timestamp(nanosecond)"`
	End           *int64   `parquet:"end,optional,timestamp(nanosecond)"`
	Duration      *float64 `parquet:"duration,optional"`
	FirstPacket   *uint64  `parquet:"first_packet,optional"`
	LastPacket    *uint64  `parquet:"last_packet,optional"`
	LastCapture   *string  `parquet:"last_capture,optional,dict"`
	Handshake     *string  `parquet:"handshake,optional,dict"`
	HandshakeTime *float64 `parquet:"handshake_time,optional"`
	Teardown      *string  `parquet:"teardown,optional,dict"`
	ClosedFirst   *string  `parquet:"closed_first,optional,dict"`
	EndReason     *string  `parquet:"end_reason,optional,dict"`
	Midstream     *bool    `parquet:"midstream,optional"`
	OneSided      *bool    `parquet:"one_sided,optional"`
	CaptureGaps   *uint64  `parquet:"capture_gaps,optional"`
	Duplicates    *uint64  `parquet:"duplicates,optional"`
	Withdrawn     *uint64  `parquet:"withdrawn,optional"`
	ConnState     *string  `parquet:"conn_state,optional,dict"`
	History       *string  `parquet:"history,optional,dict"`
	Originator    *string  `parquet:"originator,optional,dict"`
	Completeness  *uint32  `parquet:"completeness,optional"`

	ICMP        *parquetICMP        `parquet:"icmp,optional"`
	Reset       *parquetReset       `parquet:"reset,optional"`
	Transitions []parquetTransition `parquet:"transitions,list"`
	Findings    []parquetFinding    `parquet:"findings,list"`
	NotJudged   []parquetUnjudged   `parquet:"not_judged,list"`

	// Of a finding, beside what is in findings.
	Addr        *string  `parquet:"addr,optional"`
	Port        *uint32  `parquet:"port,optional"`
	Connections []uint64 `parquet:"connections,list"`
}

type parquetEnd struct {
	Addr         string   `parquet:"addr,dict"`
	Port         uint32   `parquet:"port"`
	State        string   `parquet:"state,dict"`
	MayBe        []string `parquet:"may_be,list"`
	StateBasis   string   `parquet:"state_basis,dict"`
	Since        *int64   `parquet:"since,optional,timestamp(nanosecond)"`
	ISN          *uint32  `parquet:"isn,optional"`
	Packets      uint64   `parquet:"packets"`
	Bytes        uint64   `parquet:"bytes"`
	PayloadBytes uint64   `parquet:"payload_bytes"`
	SYN          uint64   `parquet:"syn"`
	FIN          uint64   `parquet:"fin"`
	RST          uint64   `parquet:"rst"`
	Retransmits  uint64   `parquet:"retransmits"`
	ClosedWith   string   `parquet:"closed_with,dict"`
}

type parquetICMP struct {
	From    string  `parquet:"from"`
	V6      bool    `parquet:"v6"`
	Type    uint32  `parquet:"type"`
	Code    uint32  `parquet:"code"`
	Name    string  `parquet:"name,dict"`
	Time    int64   `parquet:"time,timestamp(nanosecond)"`
	Packet  uint64  `parquet:"packet"`
	Capture *string `parquet:"capture,optional,dict"`
}

type parquetReset struct {
	Packet        uint64   `parquet:"packet"`
	Capture       *string  `parquet:"capture,optional,dict"`
	Time          int64    `parquet:"time,timestamp(nanosecond)"`
	By            string   `parquet:"by,dict"`
	Maker         string   `parquet:"maker,dict"`
	MayBe         []string `parquet:"may_be,list"`
	Evidence      []string `parquet:"evidence,list"`
	Idle          float64  `parquet:"idle"`
	UnackedClient uint64   `parquet:"unacked_client"`
	UnackedServer uint64   `parquet:"unacked_server"`
}

type parquetTransition struct {
	Side    string  `parquet:"side,dict"`
	From    string  `parquet:"from,dict"`
	To      string  `parquet:"to,dict"`
	Time    int64   `parquet:"time,timestamp(nanosecond)"`
	Packet  *uint64 `parquet:"packet,optional"`
	Capture *string `parquet:"capture,optional,dict"`
	Basis   string  `parquet:"basis,dict"`
}

type parquetFinding struct {
	Rule           string   `parquet:"rule,dict"`
	Severity       string   `parquet:"severity,dict"`
	Side           string   `parquet:"side,dict"`
	Suspect        string   `parquet:"suspect,dict"`
	Time           int64    `parquet:"time,timestamp(nanosecond)"`
	Packets        []uint64 `parquet:"packets,list"`
	PacketCaptures []string `parquet:"packet_captures,list"`
	Message        string   `parquet:"message"`
}

type parquetUnjudged struct {
	Rule string `parquet:"rule,dict"`
	Why  string `parquet:"why,dict"`
}

// parquetRows is how many rows are kept in memory, as columns, before they are
// written as a group: a megabyte or a few of them.
const parquetRows = 4 << 10

// parquetTable writes connections and findings as a Parquet file.
type parquetTable struct {
	scratch
	out  *parquet.GenericWriter[parquetRecord]
	rows int
}

func newParquet(w io.Writer, _ Options) Sink {
	return &parquetTable{out: parquet.NewGenericWriter[parquetRecord](w,
		parquet.Compression(&parquet.Zstd), parquet.CreatedBy("tcplife", "", ""))}
}

func (s *parquetTable) write(r *parquetRecord) error {
	if _, err := s.out.Write([]parquetRecord{*r}); err != nil {
		return err
	}
	if s.rows++; s.rows%parquetRows == 0 {
		return s.out.Flush()
	}
	return nil
}

func (s *parquetTable) Connection(c *Connection) error {
	var r parquetRecord
	s.connection(newRowWriter(&r), c)
	return s.write(&r)
}

func (s *parquetTable) Finding(f *Finding) error {
	r := parquetRecord{Findings: make([]parquetFinding, 1)}
	w := newRowWriter(&r)
	w.finding = &r.Findings[0]
	s.finding(w, f)
	return s.write(&r)
}

func (s *parquetTable) Capture(*Capture) error { return nil }
func (s *parquetTable) Summary(*Summary) error { return nil }
func (s *parquetTable) Close() error           { return s.out.Close() }

// A rowWriter is an encoder that sets the fields of structs, by their names in the
// file. What has no column is dropped; TestParquetColumns holds the columns to the
// schema.
type rowWriter struct {
	stack   []reflect.Value // structs and slices that are open
	finding *parquetFinding // where the fields go that the row has in its list of findings
}

func newRowWriter(r *parquetRecord) *rowWriter {
	return &rowWriter{stack: []reflect.Value{reflect.ValueOf(r).Elem()}}
}

// columns are the indices of a struct's fields, by name.
var columns = func() map[reflect.Type]map[string]int {
	all := map[reflect.Type]map[string]int{}
	for _, v := range []any{parquetRecord{}, parquetEnd{}, parquetICMP{}, parquetReset{}, parquetTransition{}, parquetFinding{}, parquetUnjudged{}} {
		t := reflect.TypeOf(v)
		all[t] = map[string]int{}
		for i := range t.NumField() {
			name, _, _ := strings.Cut(t.Field(i).Tag.Get("parquet"), ",")
			all[t][name] = i
		}
	}
	return all
}()

// place returns where the value of a key goes: a field, or a new element if the key
// is empty. The zero Value says that there is no place for it.
func (w *rowWriter) place(key string) reflect.Value {
	top := w.stack[len(w.stack)-1]
	switch {
	case !top.IsValid():
		return top
	case top.Kind() == reflect.Slice:
		top.Set(reflect.Append(top, reflect.Zero(top.Type().Elem())))
		return top.Index(top.Len() - 1)
	}
	i, ok := columns[top.Type()][key]
	if !ok && w.finding != nil {
		top = reflect.ValueOf(w.finding).Elem()
		i, ok = columns[top.Type()][key]
	}
	if !ok {
		return reflect.Value{}
	}
	f := top.Field(i)
	if f.Kind() == reflect.Pointer {
		f.Set(reflect.New(f.Type().Elem()))
		return f.Elem()
	}
	return f
}

func (w *rowWriter) set(key string, v any) {
	if p := w.place(key); p.IsValid() {
		p.Set(reflect.ValueOf(v).Convert(p.Type()))
	}
}

func (w *rowWriter) str(key, val string)             { w.set(key, strings.ToValidUTF8(val, "\ufffd")) }
func (w *rowWriter) text(key string, val []byte)     { w.set(key, string(val)) }
func (w *rowWriter) uint(key string, val uint64)     { w.set(key, val) }
func (w *rowWriter) bool(key string, val bool)       { w.set(key, val) }
func (w *rowWriter) secs(key string, ns int64)       { w.set(key, float64(ns)/1e9) }
func (w *rowWriter) time(key string, t capture.Time) { w.set(key, int64(t)) }
func (w *rowWriter) null(string)                     {}
func (w *rowWriter) none(string) bool                { return true }
func (w *rowWriter) open(key string)                 { w.stack = append(w.stack, w.place(key)) }
func (w *rowWriter) close()                          { w.stack = w.stack[:len(w.stack)-1] }
func (w *rowWriter) end()                            { w.close() }

func (w *rowWriter) array(key string) bool {
	w.open(key)
	return true
}
