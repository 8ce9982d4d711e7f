package main

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
)

// zeekColumns pair the columns of the table with those of the log.
var zeekColumns = []struct{ table, log string }{
	{"orig_pkts", "orig_pkts"},
	{"resp_pkts", "resp_pkts"},
	{"conn_state", "conn_state"},
	{"history", "history"},
	{"duration", "duration"},
	{"orig_bytes", "orig_bytes"},
	{"resp_bytes", "resp_bytes"},
	{"missed_bytes", "missed_bytes"},
}

// compareZeek compares Zeek's rows with those of --zeek-compat. Rows of the same
// addresses and ports are paired by what agrees best; their times are masked in some
// tables.
func compareZeek(t tool, rows []row, sum *tally) error {
	files, of := byFile(rows)
	for _, file := range files {
		log, err := t.run(file, "--zeek-compat", "-f", "zeek-json")
		if err != nil {
			return err
		}
		ours := map[string][]map[string]any{}
		for _, r := range log {
			k := tuple(text(r["id.orig_h"]), text(r["id.orig_p"]), text(r["id.resp_h"]), text(r["id.resp_p"]))
			ours[k] = append(ours[k], r)
		}
		theirs := map[string][]row{}
		var order []string
		for _, r := range of[file] {
			k := tuple(r["orig"], r["orig_port"], r["resp"], r["resp_port"])
			if theirs[k] == nil {
				order = append(order, k)
			}
			theirs[k] = append(theirs[k], r)
		}
		for _, k := range order {
			left := ours[k]
			for _, r := range theirs[k] {
				if !sum.field("row", len(left) > 0) {
					sum.differ("%s %s: no row of ours for %s %s; a protocol that Zeek recognises by content may have kept it apart", file, k, r["conn_state"], r["history"])
					continue
				}
				best := 0
				for i := range left {
					if agreeing(r, left[i]) > agreeing(r, left[best]) {
						best = i
					}
				}
				compareRow(file+" "+k, r, left[best], sum)
				left = slices.Delete(slices.Clone(left), best, best+1)
			}
			ours[k] = left
		}
		for _, k := range sortedKeys(ours) {
			for _, r := range ours[k] {
				sum.field("row", false)
				sum.differ("%s %s: only ours: %v %v", file, k, r["conn_state"], r["history"])
			}
		}
	}
	return nil
}

func compareRow(where string, theirs row, ours map[string]any, sum *tally) {
	for _, c := range zeekColumns {
		want, given := theirs[c.table]
		if !given {
			continue
		}
		got := text(ours[c.log])
		if !sum.field(c.table, sameCell(c.table, got, want)) {
			sum.differ("%s: %s %q, Zeek %q%s", where, c.table, got, want, zeekReason(c.table, ours, theirs))
		}
	}
}

// zeekReason tells why a cell may differ.
func zeekReason(column string, ours map[string]any, theirs row) string {
	switch {
	case text(ours["orig_pkts"]) != theirs["orig_pkts"] || text(ours["resp_pkts"]) != theirs["resp_pkts"]:
		return ": the packets differ, so it was split elsewhere, or checksums were verified"
	case column == "history" && sameLetters(text(ours["history"]), theirs["history"]):
		return ": but for C, G, T, W and X, which depend on what Zeek looks at and for how long"
	}
	return ""
}

// sameLetters reports whether histories agree but for the counted letters.
func sameLetters(a, b string) bool {
	strip := func(s string) (t string) {
		for _, c := range s {
			switch c {
			case 'C', 'G', 'T', 'W', 'X', 'c', 'g', 't', 'w', 'x':
			default:
				t += string(c)
			}
		}
		return t
	}
	return strip(a) == strip(b)
}

// agreeing counts the columns that agree, packets for most.
func agreeing(theirs row, ours map[string]any) (n int) {
	for i, c := range zeekColumns {
		if sameCell(c.table, text(ours[c.log]), theirs[c.table]) {
			n++
			if i < 2 {
				n += len(zeekColumns)
			}
		}
	}
	return n
}

// sameCell compares cells: durations to the microsecond that Zeek rounds to.
func sameCell(column, got, want string) bool {
	if column == "duration" && got != "" && want != "" {
		a, err := strconv.ParseFloat(got, 64)
		b, err2 := strconv.ParseFloat(want, 64)
		return err == nil && err2 == nil && math.Abs(a-b) < 2e-6
	}
	return got == want
}

// text returns a value of JSON as a table has it.
func text(v any) string {
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}

// tuple names the ends of a connection.
func tuple(a, ap, b, bp string) string {
	return canonical(a) + ":" + ap + ">" + canonical(b) + ":" + bp
}

// canonical writes an address as all write it.
func canonical(a string) string {
	if ip, err := netip.ParseAddr(a); err == nil {
		return ip.String()
	}
	return a
}

func sortedKeys[V any](m map[string]V) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
