package report

import (
	"bufio"
	"crypto/sha1"
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"time"

	"tcplife/decode"
	"tcplife/decode/capture"
	"tcplife/track"
)

// zeekFields are the columns of Zeek 8's conn.log, with their types.
var zeekFields = [...]struct{ name, typ string }{
	{"ts", "time"},
	{"uid", "string"},
	{"id.orig_h", "addr"},
	{"id.orig_p", "port"},
	{"id.resp_h", "addr"},
	{"id.resp_p", "port"},
	{"proto", "enum"},
	{"service", "string"},
	{"duration", "interval"},
	{"orig_bytes", "count"},
	{"resp_bytes", "count"},
	{"conn_state", "string"},
	{"local_orig", "bool"},
	{"local_resp", "bool"},
	{"missed_bytes", "count"},
	{"history", "string"},
	{"orig_pkts", "count"},
	{"orig_ip_bytes", "count"},
	{"resp_pkts", "count"},
	{"resp_ip_bytes", "count"},
	{"tunnel_parents", "set[string]"},
	{"ip_proto", "count"},
}

// zeekLog writes connections as Zeek's conn.log: tab-separated with its header
// lines, or JSON. No field of TCP holds anything that would have to be escaped.
type zeekLog struct {
	w     *bufio.Writer
	buf   []byte
	json  bool
	begun bool
	uid   zeekUID
	last  capture.Time // of the last packet
}

func newZeek(w io.Writer, _ Options) Sink {
	return &zeekLog{w: bufio.NewWriterSize(w, outputBuffer)}
}

func newZeekJSON(w io.Writer, _ Options) Sink {
	return &zeekLog{w: bufio.NewWriterSize(w, outputBuffer), json: true}
}

// zeekStamp returns a time as the header lines have it.
func zeekStamp(t capture.Time) string {
	return time.Unix(0, int64(t)).UTC().Format("2006-01-02-15-04-05")
}

// begin writes the header lines. Zeek has in #open the time at which it began to
// write; here it is the capture's, so that the same capture gives the same log.
func (s *zeekLog) begin(at capture.Time) {
	s.begun = true
	if s.json {
		return
	}
	s.w.WriteString("#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tconn\n")
	fmt.Fprintf(s.w, "#open\t%s\n#fields", zeekStamp(at))
	for _, f := range zeekFields {
		s.w.WriteString("\t" + f.name)
	}
	s.w.WriteString("\n#types")
	for _, f := range zeekFields {
		s.w.WriteString("\t" + f.typ)
	}
	s.w.WriteString("\n")
}

func (s *zeekLog) Connection(c *Connection) error {
	z, ok := c.Zeek()
	if !ok {
		return fmt.Errorf("connection %d: nothing is known of Zeek's words", c.ID) // a mistake of the caller's
	}
	if !s.begun {
		s.begin(c.Start)
	}
	s.last = max(s.last, c.End())
	orig := c.Ends()[z.Originator]
	resp := c.Peer(orig)
	row := zeekRow{buf: s.buf[:0], json: s.json}
	if s.json {
		row.buf = append(row.buf, '{')
	}
	row.time(c.Start)
	row.text(s.uid.of(c))
	row.addr(orig.Addr())
	row.count(uint64(orig.Port()))
	row.addr(resp.Addr())
	row.count(uint64(resp.Port()))
	row.text("tcp")
	row.unset() // service: tcplife does not look into payloads
	if z.Duration > 0 {
		row.interval(z.Duration)
		row.count(z.Orig.Bytes)
		row.count(z.Resp.Bytes)
	} else {
		row.unset()
		row.unset()
		row.unset()
	}
	row.text(z.State)
	row.bool(isLocal(orig.Addr()))
	row.bool(isLocal(resp.Addr()))
	row.count(z.Missed)
	if z.History != "" {
		row.text(z.History)
	} else {
		row.unset()
	}
	for _, e := range [...]*track.ZeekEnd{&z.Orig, &z.Resp} {
		row.count(e.Packets)
		row.count(e.IPBytes)
	}
	row.unset() // tunnel_parents: uids of connections that are not in this log
	row.count(6)
	if s.json {
		row.buf = append(row.buf, '}')
	}
	row.buf = append(row.buf, '\n')
	s.buf = row.buf
	_, err := s.w.Write(s.buf)
	return err
}

func (s *zeekLog) Finding(*Finding) error { return nil }
func (s *zeekLog) Capture(*Capture) error { return nil }

func (s *zeekLog) Summary(m *Summary) error {
	if !s.begun {
		s.begin(m.First)
	}
	if !s.json {
		fmt.Fprintf(s.w, "#close\t%s\n", zeekStamp(max(s.last, m.Last)))
	}
	return nil
}

func (s *zeekLog) Close() error { return s.w.Flush() }

// Flush hands on what is final.
func (s *zeekLog) Flush() error { return s.w.Flush() }

// isLocal reports whether an address is of Site::private_address_space, which Zeek
// takes for local where nobody has told it what is.
func isLocal(a decode.Addr) bool {
	ip := a.IP()
	for _, p := range zeekPrivate {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

var zeekPrivate = func() (nets []netip.Prefix) {
	for _, s := range []string{
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
		"192.0.2.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
		"2002::/24", "2002:a00::/24", "2002:6440::/26", "2002:7f00::/24", "2002:a9fe::/32", "2002:ac10::/28", "2002:c000::/40",
		"2002:c000:200::/40", "2002:c0a8::/32", "2002:c612::/31", "2002:c633:6400::/40", "2002:cb00:7100::/40", "2002:f000::/20",
		"::/128", "::1/128", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "fc00::/7", "fe80::/10",
	} {
		nets = append(nets, netip.MustParsePrefix(s))
	}
	return nets
}()

// A zeekRow is a row being written, column by column.
type zeekRow struct {
	buf  []byte
	json bool
	n    int
	any  bool // JSON has a field already
}

// next begins a column.
func (r *zeekRow) next(set bool) {
	name := zeekFields[r.n].name
	r.n++
	switch {
	case !r.json && r.n > 1:
		r.buf = append(r.buf, '\t')
	case r.json && set:
		if r.any {
			r.buf = append(r.buf, ',')
		}
		r.any = true
		r.buf = append(r.buf, '"')
		r.buf = append(r.buf, name...)
		r.buf = append(r.buf, '"', ':')
	}
}

func (r *zeekRow) unset() {
	r.next(false)
	if !r.json {
		r.buf = append(r.buf, '-')
	}
}

func (r *zeekRow) text(v string) {
	r.next(true)
	if r.json {
		r.buf = appendQuoted(r.buf, v)
	} else {
		r.buf = append(r.buf, v...)
	}
}

func (r *zeekRow) addr(a decode.Addr) {
	r.next(true)
	if r.json {
		r.buf = append(r.buf, '"')
	}
	r.buf = appendAddr(r.buf, a)
	if r.json {
		r.buf = append(r.buf, '"')
	}
}

func (r *zeekRow) count(n uint64) {
	r.next(true)
	r.buf = strconv.AppendUint(r.buf, n, 10)
}

func (r *zeekRow) bool(v bool) {
	r.next(true)
	switch {
	case r.json:
		r.buf = strconv.AppendBool(r.buf, v)
	case v:
		r.buf = append(r.buf, 'T')
	default:
		r.buf = append(r.buf, 'F')
	}
}

func (r *zeekRow) time(t capture.Time) {
	r.next(true)
	r.buf = appendMicro(r.buf, int64(t))
}

func (r *zeekRow) interval(d time.Duration) {
	r.next(true)
	r.buf = appendMicro(r.buf, int64(d))
}

// appendMicro appends ns nanoseconds as seconds with six digits, rounded.
func appendMicro(b []byte, ns int64) []byte {
	us := ns / 1000
	switch r := ns % 1000; {
	case r >= 500:
		us++
	case r <= -500:
		us--
	}
	if us < 0 {
		b = append(b, '-')
		us = -us
	}
	b = strconv.AppendInt(b, us/1e6, 10)
	b = append(b, '.')
	var d [6]byte
	for i, n := len(d)-1, us%1e6; i >= 0; i, n = i-1, n/10 {
		d[i] = byte('0' + n%10)
	}
	return append(b, d[:]...)
}

// zeekUID makes the unique identifiers of connections: of Zeek's form, C and
// letters and digits of 96 bits, but the same for the same capture.
type zeekUID struct {
	scratch
	key []byte
}

func (u *zeekUID) of(c *Connection) string {
	const base = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	u.key = append(u.key[:0], u.scratch.communityID(c)...)
	u.key = binary.BigEndian.AppendUint64(u.key, uint64(c.Start))
	u.key = binary.BigEndian.AppendUint64(u.key, c.ID)
	sum := sha1.Sum(u.key)
	b := []byte{'C'}
	for n := binary.BigEndian.Uint64(sum[:]); len(b) < 1+11; n /= 62 {
		b = append(b, base[n%62])
	}
	for n := binary.BigEndian.Uint32(sum[8:]); len(b) < 1+11+6; n /= 62 {
		b = append(b, base[n%62])
	}
	return string(b)
}
