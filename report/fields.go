package report

import (
	"tcplife/decode"
	"tcplife/decode/capture"
	"tcplife/report/anomaly"
	"tcplife/track"
)

// An encoder takes a record field by field. JSON and CSV are two of them, so
// that a field is named in one place.
type encoder interface {
	str(key, val string)
	text(key string, val []byte) // ASCII that needs no escaping
	uint(key string, val uint64)
	bool(key string, val bool)
	secs(key string, ns int64) // a duration, in seconds
	time(key string, t capture.Time)
	null(key string)
	open(key string) // an object; key "" in an array
	close()
	// array begins an array, unless the encoder leaves arrays out. Elements have
	// the key "", and end ends it.
	array(key string) bool
	end()
	// none writes that an object is not there, unless the encoder wants its fields
	// all the same.
	none(key string) bool
}

// connection puts the fields of the record "connection" into e.
func (s *scratch) connection(e encoder, c *Connection) {
	e.str("type", "connection")
	e.uint("id", c.ID)
	e.str("capture", c.Capture)
	e.text("community_id", s.communityID(c))
	if n, ok := c.Stream(); ok {
		e.uint("tcp_stream", uint64(n))
	} else {
		e.null("tcp_stream")
	}
	e.text("display_filter", s.displayFilter(c))
	if e.array("vlan") {
		for _, id := range c.VLAN {
			e.uint("", uint64(id))
		}
		e.end()
	}
	e.str("tunnel", c.Tunnel)
	s.endpoint(e, "client", c.Client(), c.Now)
	s.endpoint(e, "server", c.Server(), c.Now)
	e.str("role_basis", c.RoleBasis.String())
	e.time("start", c.Start)
	e.time("end", c.End())
	e.secs("duration", c.duration())
	e.uint("first_packet", number(c.First))
	e.uint("last_packet", number(c.Last()))
	inputOf(e, "last_capture", c.Last(), c)
	e.str("handshake", c.Handshake().String())
	if d, ok := c.HandshakeTime(); ok {
		e.secs("handshake_time", int64(d))
	} else {
		e.null("handshake_time")
	}
	e.str("teardown", c.Teardown().String())
	e.str("closed_first", c.ClosedFirst().String())
	e.str("end_reason", c.EndReason.String())
	e.bool("midstream", c.Midstream)
	e.bool("one_sided", c.OneSided())
	e.uint("capture_gaps", uint64(c.Gaps()))
	e.uint("duplicates", uint64(c.Duplicates()))
	e.uint("withdrawn", uint64(c.Withdrawn()))
	if z, ok := c.Zeek(); ok {
		e.str("conn_state", z.State)
		e.str("history", z.History)
		e.str("originator", z.Originator.String())
	} else {
		e.null("conn_state")
		e.null("history")
		e.null("originator")
	}
	e.uint("completeness", uint64(c.Completeness()))
	if n, ok := c.ICMP(); ok || !e.none("icmp") {
		s.icmp(e, &n, ok, c)
	}
	reset(e, c)
	if e.array("transitions") {
		for r, end := range c.Ends() {
			for _, t := range end.Transitions() {
				transition(e, track.Role(r), t, c)
			}
		}
		e.end()
	}
	if e.array("findings") {
		for i := range c.Findings {
			e.open("")
			finding(e, &c.Findings[i], c.Inputs, c.Capture)
			e.close()
		}
		e.end()
	}
	if e.array("not_judged") {
		for _, n := range c.NotJudged {
			e.open("")
			e.str("rule", n.Rule.Name)
			e.str("why", string(n.Why))
			e.close()
		}
		e.end()
	}
}

func (s *scratch) endpoint(e encoder, key string, end *track.End, now capture.Time) {
	e.open(key)
	s.buf = appendAddr(s.buf[:0], end.Addr())
	e.text("addr", s.buf)
	e.uint("port", uint64(end.Port()))
	e.str("state", end.State().String())
	if e.array("may_be") {
		if may := end.MayBe(now); may != 0 {
			for st := range numStates {
				if may.Has(st) {
					e.str("", st.String())
				}
			}
		}
		e.end()
	}
	e.str("state_basis", end.Basis().String())
	if t, ok := end.Since(); ok {
		e.time("since", t)
	} else {
		e.null("since")
	}
	if isn, ok := end.ISN(); ok {
		e.uint("isn", uint64(isn))
	} else {
		e.null("isn")
	}
	e.uint("packets", end.Packets())
	e.uint("bytes", end.Bytes())
	e.uint("payload_bytes", end.PayloadBytes())
	e.uint("syn", uint64(end.SYN()))
	e.uint("fin", uint64(end.FIN()))
	e.uint("rst", uint64(end.RST()))
	e.uint("retransmits", uint64(end.Retransmits()))
	e.str("closed_with", end.ClosedWith().String())
	e.close()
}

// icmp puts the ICMP error into e, nulls if there is none.
func (s *scratch) icmp(e encoder, n *track.ICMPNote, ok bool, c *Connection) {
	e.open("icmp")
	if ok {
		s.buf = appendAddr(s.buf[:0], n.From)
		e.text("from", s.buf)
		e.bool("v6", n.V6)
		e.uint("type", uint64(n.Type))
		e.uint("code", uint64(n.Code))
		e.str("name", n.Name())
		e.time("time", n.Time)
		e.uint("packet", number(n.Frame))
		inputOf(e, "capture", n.Frame, c)
	} else {
		for _, key := range [...]string{"from", "v6", "type", "code", "name", "time", "packet", "capture"} {
			e.null(key)
		}
	}
	e.close()
}

// inputOf puts the name of the frame's input into e, null if it is the connection's.
func inputOf(e encoder, key string, frame uint64, c *Connection) {
	if name, other := c.Inputs.elsewhere(frame, c.Capture); other {
		e.str(key, name)
	} else {
		e.null(key)
	}
}

func transition(e encoder, r track.Role, t track.Transition, c *Connection) {
	e.open("")
	transitionFields(e, r, t, c.Inputs, c.Capture)
	e.close()
}

func transitionFields(e encoder, r track.Role, t track.Transition, in *Inputs, here string) {
	e.str("side", r.String())
	e.str("from", t.From.String())
	e.str("to", t.To.String())
	e.time("time", t.Time)
	if t.Frame != 0 {
		e.uint("packet", number(t.Frame))
	} else {
		e.null("packet") // the clock moved it
	}
	if name, other := in.elsewhere(t.Frame, here); other {
		e.str("capture", name)
	}
	e.str("basis", t.Basis.String())
}

func finding(e encoder, f *anomaly.Finding, in *Inputs, here string) {
	e.str("rule", f.Rule.Name)
	e.str("severity", f.Severity.String())
	e.str("side", f.Side.String())
	e.str("suspect", f.Suspect.String())
	e.time("time", f.Time)
	if e.array("packets") {
		for _, n := range f.Packets {
			e.uint("", number(n))
		}
		e.end()
	}
	if in.anyElsewhere(f.Packets, here) && e.array("packet_captures") {
		for _, n := range f.Packets {
			e.str("", in.Name(n))
		}
		e.end()
	}
	e.str("message", f.Message)
}

// event puts the fields of the record "transition" into e.
func (s *scratch) event(e encoder, t *Transition) {
	e.str("type", "transition")
	e.uint("id", t.ID)
	here := t.Inputs.Name(t.Conn.First)
	e.str("capture", here)
	for r, end := range t.Conn.Ends() {
		e.open(track.Role(r).String())
		s.buf = appendAddr(s.buf[:0], end.Addr())
		e.text("addr", s.buf)
		e.uint("port", uint64(end.Port()))
		e.close()
	}
	transitionFields(e, t.Role, t.Transition, t.Inputs, here)
	e.bool("withdrawn", t.Withdrawn)
}

// finding puts the fields of the record "finding" into e.
func (s *scratch) finding(e encoder, f *Finding) {
	e.str("type", "finding")
	e.str("capture", f.Capture)
	finding(e, &f.Finding, f.Inputs, f.Capture)
	if f.Addr != (decode.Addr{}) {
		s.buf = appendAddr(s.buf[:0], f.Addr)
		e.text("addr", s.buf)
	} else {
		e.null("addr")
	}
	if f.Port != 0 {
		e.uint("port", uint64(f.Port))
	} else {
		e.null("port")
	}
	if e.array("connections") {
		for _, id := range f.Conns {
			e.uint("", id)
		}
		e.end()
	}
}

// capture puts the fields of the record "capture" into e.
func (s *scratch) capture(e encoder, c *Capture) {
	e.str("type", "capture")
	e.str("name", c.Name)
	e.str("format", c.Format)
	e.str("compression", c.Compression)
	if e.array("link_types") {
		for _, l := range c.LinkTypes {
			e.str("", l)
		}
		e.end()
	}
	e.uint("packets", c.Packets)
	e.uint("bytes", c.Bytes)
	span(e, c.Packets > 0, c.First, c.Last)
	e.bool("truncated", c.Truncated)
	e.uint("connections", c.Connections)
	e.uint("one_sided", c.OneSided)
	e.uint("gaps", c.Gaps)
	e.uint("duplicates", c.Duplicates)
	putFlaws(e, &c.Flaws)
	e.uint("filtered", c.Filtered)
	e.open("skipped")
	for _, k := range c.Skipped {
		e.uint(k.Reason, k.Packets)
	}
	e.close()
	if e.array("warnings") {
		for _, w := range c.Warnings {
			e.str("", w)
		}
		e.end()
	}
}

func span(e encoder, known bool, first, last capture.Time) {
	if !known {
		e.null("first")
		e.null("last")
		return
	}
	e.time("first", first)
	e.time("last", last)
}

// summary puts the fields of the record "summary" into e.
func (s *scratch) summary(e encoder, m *Summary) {
	e.str("type", "summary")
	e.str("schema", Schema)
	e.uint("captures", m.Captures)
	e.uint("packets", m.Packets)
	e.uint("bytes", m.Bytes)
	span(e, m.Packets > 0, m.First, m.Last)
	e.uint("filtered", m.Filtered)
	e.uint("connections", m.Connections)
	e.uint("connections_left_out", m.LeftOut)
	e.uint("segments", m.Segments)
	e.uint("payload_bytes", m.PayloadBytes)
	e.uint("retransmits", m.Retransmits)
	e.uint("midstream", m.Midstream)
	e.uint("one_sided", m.OneSided)
	e.uint("capture_gaps", m.Gaps)
	e.uint("duplicates", m.Duplicates)
	e.uint("withdrawn", m.Withdrawn)
	outcomes(e, &m.Outcomes)
	e.open("states")
	for r := range m.States {
		e.open(track.Role(r).String())
		for st, n := range m.States[r] {
			if n > 0 {
				e.uint(track.State(st).String(), n)
			}
		}
		e.close()
	}
	e.close()
	servers, rest := m.Servers()
	if e.array("servers") {
		for _, v := range servers {
			e.open("")
			s.buf = appendAddr(s.buf[:0], v.Addr)
			e.text("addr", s.buf)
			e.uint("port", uint64(v.Port))
			e.uint("connections", v.Connections)
			e.uint("bytes", v.Bytes)
			e.uint("payload_bytes", v.PayloadBytes)
			outcomes(e, &v.Outcomes)
			e.uint("findings", v.Findings)
			e.close()
		}
		e.end()
	}
	e.uint("connections_to_other_servers", rest)
	e.open("findings")
	for _, r := range anomaly.All {
		if n := m.ByRule[r.Name]; n > 0 {
			e.uint(r.Name, n)
		}
	}
	e.close()
}

func outcomes(e encoder, n *[numOutcomes]uint64) {
	e.open("outcomes")
	for o, n := range n {
		if n > 0 {
			e.uint(Outcome(o).String(), n)
		}
	}
	e.close()
}
