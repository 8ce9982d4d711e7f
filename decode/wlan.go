package decode

import "encoding/binary"

// A wlanForm says how an 802.11 header departs from what is sent on the air.
type wlanForm uint8

const (
	wlanPadded  wlanForm = 1 << iota // to a multiple of 32 bits
	wlanSwapped                      // its 16-bit fields may be, as by access points within CAPWAP
)

// wlan decodes an IEEE 802.11 frame (IEEE 802.11-2020, 9.2 and 9.3.2).
func (d *Decoder) wlan(b []byte, wire int, form wlanForm) Result {
	const (
		least = 24
		data  = 2 << 2 // of the version and type in the first octet
		none  = 4 << 4 // of the subtype: without a body
		qos   = 8 << 4

		toDS      = 0x01 // in the second octet
		fromDS    = 0x02
		protected = 0x40
		order     = 0x80 // with QoS: a control field for high throughput

		aggregate = 0x80 // in the QoS control field
	)
	if len(b) < 2 {
		return short(wire, least)
	}
	typ, flags, sequence := b[0], b[1], 22
	if form&wlanSwapped != 0 && typ&0x0f != data && flags&0x0f == data {
		typ, flags, sequence = flags, typ, 23
	}
	if typ&0x0f != data || typ&none != 0 {
		return skip(SkipNotIP)
	}
	header := least
	if flags&(toDS|fromDS) == toDS|fromDS {
		header += 6 // a fourth address
	}
	control := header
	if typ&qos != 0 {
		header += 2
		if flags&order != 0 {
			header += 4
		}
	}
	if form&wlanPadded != 0 {
		header = (header + 3) / 4 * 4
	}
	switch {
	case flags&protected != 0:
		return skip(SkipWLAN)
	case len(b) < header:
		return short(wire, header)
	case b[sequence]&0x0f != 0: // the number of a fragment; the first is taken as cut
		return skip(SkipFragment)
	}
	aggregated := typ&qos != 0 && b[control]&aggregate != 0
	b, wire = b[header:], wire-header
	if aggregated {
		return d.subframe(b, wire)
	}
	return d.llcSNAP(b, wire)
}

// subframe decodes the first frame of an A-MSDU.
func (d *Decoder) subframe(b []byte, wire int) Result {
	const header = 14 // two addresses and the length of the rest
	if len(b) < header {
		return short(wire, header)
	}
	n := int(binary.BigEndian.Uint16(b[12:]))
	b, wire = b[header:], wire-header
	if next := (header+n+3)/4*4 - header; next+header < wire {
		d.remark = RemarkAggregate
	}
	n = min(n, wire)
	return d.llcSNAP(b[:min(len(b), n)], n)
}

// radiotap decodes the header that most capture drivers put before an 802.11 frame
// (radiotap.org), as far as the flags that tell what was done to it.
func (d *Decoder) radiotap(b []byte, wire int) Result {
	const (
		least = 8

		presentTSFT  = 1 << 0
		presentFlags = 1 << 1
		presentMore  = 1 << 31

		flagFCS    = 0x10 // the frame ends with its checksum
		flagPadded = 0x20 // its header is padded to 32 bits
		flagBadFCS = 0x40 // it was damaged on the air

		fcs = 4
	)
	if len(b) < least {
		return short(wire, least)
	}
	header := int(binary.LittleEndian.Uint16(b[2:]))
	if b[0] != 0 || header < least || header > wire {
		return skip(SkipMalformed)
	}
	if len(b) < header {
		return skip(SkipCutShort)
	}
	present := binary.LittleEndian.Uint32(b[4:])
	at := least
	for more := present; more&presentMore != 0; at += 4 {
		if at+4 > header {
			return skip(SkipMalformed)
		}
		more = binary.LittleEndian.Uint32(b[at:])
	}
	var flags byte
	if present&presentFlags != 0 {
		if present&presentTSFT != 0 {
			at = (at+7)/8*8 + 8
		}
		if at >= header {
			return skip(SkipMalformed)
		}
		flags = b[at]
	}
	if flags&flagBadFCS != 0 {
		return skip(SkipMalformed)
	}
	b, wire = b[header:], wire-header
	if flags&flagFCS != 0 {
		wire = max(wire-fcs, 0)
		b = b[:min(len(b), wire)]
	}
	var form wlanForm
	if flags&flagPadded != 0 {
		form = wlanPadded
	}
	return d.wlan(b, wire, form)
}

// prism decodes an 802.11 frame behind a Prism header, or behind AVS's, which
// took the place of that under the same link type.
func (d *Decoder) prism(b []byte, wire int) Result {
	const header = 144
	if len(b) < 4 {
		return short(wire, 4)
	}
	if binary.BigEndian.Uint32(b)>>12 == 0x80211 {
		return d.avs(b, wire)
	}
	if len(b) < header {
		return short(wire, header)
	}
	return d.wlan(b[header:], wire-header, 0)
}

func (d *Decoder) avs(b []byte, wire int) Result {
	const least = 8
	if len(b) < least {
		return short(wire, least)
	}
	header := int(binary.BigEndian.Uint32(b[4:]))
	if header < least || header > wire {
		return skip(SkipMalformed)
	}
	if len(b) < header {
		return skip(SkipCutShort)
	}
	return d.wlan(b[header:], wire-header, 0)
}
