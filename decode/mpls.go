package decode

// mpls decodes a stack of MPLS labels (RFC 3032 §2.1). What lies below is not
// said: IP shows by its version (RFC 4928), or it may be an Ethernet pseudowire
// (RFC 4448), with a control word or without. Addresses of Ethernet that begin
// with the digit 4, 6 or 0 look like the others, which hardly ever look like a
// whole Ethernet header with IP's behind it.
//
// Labels are no context: they differ by direction.
func (d *Decoder) mpls(b []byte, wire int) Result {
	const (
		entry   = 4
		control = 4                    // octets of a control word, which begins with the digit 0
		enough  = control + 14 + 8 + 6 // for likeEthernet
	)
	for bottom := false; !bottom; b, wire = b[entry:], wire-entry {
		if len(b) < entry {
			return short(wire, entry)
		}
		bottom = b[2]&1 != 0
	}
	switch {
	case len(b) == 0:
		return short(wire, 1)
	case b[0]>>4 == 0 && len(b) > control && likeEthernet(b[control:], wire-control):
		return d.pseudowire(b[control:], wire-control)
	case likeEthernet(b, wire):
		return d.pseudowire(b, wire)
	case len(b) < min(enough, wire):
		return skip(SkipCutShort)
	case b[0]>>4 == 4 || b[0]>>4 == 6:
		return d.ip(b, wire)
	}
	return skip(SkipNotIP)
}

func (d *Decoder) pseudowire(b []byte, wire int) Result {
	if !d.tunnelled(inPseudowire, 0) {
		return skip(SkipTooDeep)
	}
	return d.ethernet(b, wire)
}
