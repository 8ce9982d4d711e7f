package anomaly

import "fmt"

// InvalidFlags finds segments that no TCP sends.
var InvalidFlags = &Rule{
	Name:     "invalid-flags",
	Severity: Warn,
	Ref:      "RFC 9293 §3.10.7.4",
	Doc: `segment with impossible flags

A segment has no flags at all, or SYN with FIN or RST, or FIN or payload without
ACK. No TCP sends such: scanners do (nmap's NULL, FIN and Xmas scans), to slip
through simple filters and to tell systems apart by how they answer. A damaged
header, or one that is no TCP, is the other cause; then the checksum is wrong, or
the ports make no sense. Look at what else the sender tried.`,
	Check: func(p *Pass) {
		i := p.Conn.Invalid()
		if i.N == 0 {
			return
		}
		msg := flagNames(i.Flags)
		if i.N > 1 {
			msg += fmt.Sprintf(", and %d more", i.N-1)
		}
		p.Report(Finding{Side: SideOf(i.By), Suspect: Attacker, Time: i.Time, Packets: frames(i.Frame), Message: msg})
	},
}
