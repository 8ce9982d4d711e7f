package main

import (
	"encoding/json"
	"strconv"
)

// end returns the end of a connection's record.
func end(c map[string]any, which string) map[string]any {
	e, _ := c[which].(map[string]any)
	return e
}

// connectionTuples returns the names of a connection in both directions.
func connectionTuples(c map[string]any) (there, back string) {
	cl, sv := end(c, "client"), end(c, "server")
	a, ap, b, bp := text(cl["addr"]), text(cl["port"]), text(sv["addr"]), text(sv["port"])
	return tuple(a, ap, b, bp), tuple(b, bp, a, ap)
}

// compareTshark compares streams: the bits of the connections in a stream are
// merged, for it may be several.
func compareTshark(t tool, rows []row, sum *tally) error {
	type stream struct {
		tuples  map[string]bool
		bits    uint64
		packets uint64
	}
	files, of := byFile(rows)
	for _, file := range files {
		records, err := t.run(file, "-f", "jsonl")
		if err != nil {
			return err
		}
		ours := map[string]*stream{}
		for _, c := range records {
			if c["type"] != "connection" {
				continue
			}
			n := text(c["tcp_stream"])
			s := ours[n]
			if s == nil {
				s = &stream{tuples: map[string]bool{}}
				ours[n] = s
			}
			there, back := connectionTuples(c)
			s.tuples[there], s.tuples[back] = true, true
			s.bits |= number(c["completeness"])
			s.packets += number(end(c, "client")["packets"]) + number(end(c, "server")["packets"]) + number(c["duplicates"])
		}
		for _, r := range of[file] {
			k := tuple(r["a"], r["a_port"], r["b"], r["b_port"])
			s := ours[r["stream"]]
			if !sum.field("tcp_stream", s != nil && s.tuples[k]) {
				sum.differ("%s %s: stream %s is not ours; tshark takes in packets that tcplife leaves out", file, k, r["stream"])
				continue
			}
			want, _ := strconv.ParseUint(r["completeness"], 10, 64)
			same := sum.field("completeness", s.bits == want)
			quirk := quirkOf(s.bits, want, r)
			if !sum.field("completeness, quirks aside", same || quirk != "") {
				quirk = ""
			}
			if !same {
				sum.differ("%s %s: completeness %d, tshark %d: %s", file, k, s.bits, want, orUnknown(quirk))
			}
			there, _ := strconv.ParseUint(r["packets_ab"], 10, 64)
			back, _ := strconv.ParseUint(r["packets_ba"], 10, 64)
			if !sum.field("packets", s.packets == there+back) {
				sum.differ("%s %s: %d packets, tshark %d: one leaves out what it takes for malformed, or for a stray of another connection", file, k, s.packets, there+back)
			}
		}
	}
	return nil
}

func orUnknown(why string) string {
	if why == "" {
		return "why is not known"
	}
	return why
}

// quirkOf tells which oddity of tshark 4.0 explains that bits of ours are missing
// in its tcp.completeness; "" if none does.
func quirkOf(ours, theirs uint64, r row) string {
	const (
		syn    = 0x02 // TCP's flags
		synack = 0x12
		sawSYN = 1 // bits of completeness
		sawEnd = 16 | 32
	)
	missing := ours &^ theirs
	first, err := strconv.ParseUint(r["first_flags"], 0, 16)
	switch {
	case theirs&^ours != 0 || missing == 0 || err != nil:
		return ""
	case first&synack != syn:
		return "tshark counts nothing of the first packet of a stream that begins without SYN"
	case missing == sawSYN:
		return "tshark does not count the SYN of a conversation that another protocol has announced"
	case missing&^sawEnd == 0:
		return "tshark does not count FIN and RST in a segment with SYN"
	}
	return ""
}

func number(v any) uint64 {
	n, _ := v.(json.Number)
	u, _ := strconv.ParseUint(n.String(), 10, 64)
	return u
}

// compareCommunity compares Community IDs.
func compareCommunity(t tool, rows []row, sum *tally) error {
	files, of := byFile(rows)
	for _, file := range files {
		records, err := t.run(file, "-f", "jsonl")
		if err != nil {
			return err
		}
		ours := map[string]string{}
		for _, c := range records {
			if c["type"] == "connection" {
				there, back := connectionTuples(c)
				ours[there], ours[back] = text(c["community_id"]), text(c["community_id"])
			}
		}
		for _, r := range of[file] {
			k := tuple(r["a"], r["a_port"], r["b"], r["b_port"])
			if !sum.field("community_id", ours[k] == r["community_id"]) {
				sum.differ("%s %s: %q, expected %q", file, k, ours[k], r["community_id"])
			}
		}
	}
	return nil
}
