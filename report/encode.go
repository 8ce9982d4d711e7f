package report

import (
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"net/netip"
	"strconv"
	"time"
	"unicode/utf8"

	"tcplife/decode"
	"tcplife/decode/capture"
)

// scratch is what encoding a record needs besides its encoder, reused so that
// records cost no allocation.
type scratch struct {
	buf  []byte
	sha  hash.Hash
	hash [2*16 + 2 + 2 + 4]byte
	sum  [sha1.Size]byte
}

// communityID returns the Community ID v1 of the connection, seed 0
// (github.com/corelight/community-id-spec).
func (s *scratch) communityID(c *Connection) []byte {
	a, b := c.Client(), c.Server()
	aAddr, bAddr := a.Addr(), b.Addr()
	aa, ba := addrBytes(&aAddr), addrBytes(&bAddr)
	if len(aa) != len(ba) {
		aa, ba = aAddr[:], bAddr[:]
	}
	if cmp := compare(aa, ba); cmp > 0 || cmp == 0 && a.Port() > b.Port() {
		a, b, aa, ba = b, a, ba, aa
	}
	const tcp = 6
	h := append(s.hash[:0], 0, 0) // seed
	h = append(h, aa...)
	h = append(h, ba...)
	h = append(h, tcp, 0)
	h = binary.BigEndian.AppendUint16(h, a.Port())
	h = binary.BigEndian.AppendUint16(h, b.Port())
	if s.sha == nil {
		s.sha = sha1.New()
	}
	s.sha.Reset()
	s.sha.Write(h)
	s.buf = append(s.buf[:0], "1:"...)
	s.buf = base64.StdEncoding.AppendEncode(s.buf, s.sha.Sum(s.sum[:0]))
	return s.buf
}

// displayFilter returns a display filter of Wireshark for the connection's packets:
// by the number of its stream, if that is known, else by addresses and ports.
func (s *scratch) displayFilter(c *Connection) []byte {
	b := s.buf[:0]
	if n, ok := c.Stream(); ok {
		b = strconv.AppendUint(append(b, "tcp.stream eq "...), uint64(n), 10)
	} else {
		for i, e := range c.Ends() {
			if i > 0 {
				b = append(b, " and "...)
			}
			addr, field := e.Addr(), "ip.addr eq "
			if len(addrBytes(&addr)) == 16 {
				field = "ipv6.addr eq "
			}
			b = appendAddr(append(b, field...), addr)
			b = strconv.AppendUint(append(b, " and tcp.port eq "...), uint64(e.Port()), 10)
		}
	}
	s.buf = b
	return b
}

func compare(a, b []byte) int {
	switch {
	case string(a) < string(b):
		return -1
	case string(a) > string(b):
		return 1
	}
	return 0
}

// addrBytes returns the 4 or 16 octets of a as the packet had them.
func addrBytes(a *decode.Addr) []byte {
	if netip.AddrFrom16(*a).Is4In6() {
		return a[12:]
	}
	return a[:]
}

func appendAddr(b []byte, a decode.Addr) []byte { return a.IP().AppendTo(b) }

// A clock writes times in RFC 3339, UTC, with nanoseconds. It keeps the last
// second, because most times of a record share it.
type clock struct {
	sec    int64
	prefix [len("2006-01-02T15:04:05")]byte
	valid  bool
}

func (k *clock) append(b []byte, t capture.Time) []byte {
	sec, ns := int64(t)/1e9, int64(t)%1e9
	if ns < 0 {
		sec, ns = sec-1, ns+1e9
	}
	if sec != k.sec || !k.valid {
		time.Unix(sec, 0).UTC().AppendFormat(k.prefix[:0], "2006-01-02T15:04:05")
		k.sec, k.valid = sec, true
	}
	b = append(b, k.prefix[:]...)
	b = append(b, '.')
	b = appendPadded(b, ns)
	return append(b, 'Z')
}

// appendPadded appends the nine digits of ns, which is below 1e9.
func appendPadded(b []byte, ns int64) []byte {
	var d [9]byte
	for i := len(d) - 1; i >= 0; i-- {
		d[i] = byte('0' + ns%10)
		ns /= 10
	}
	return append(b, d[:]...)
}

// appendSeconds appends ns nanoseconds as seconds: exactly, without trailing zeros.
func appendSeconds(b []byte, ns int64) []byte {
	if ns < 0 {
		b = append(b, '-')
		ns = -ns
	}
	b = strconv.AppendInt(b, ns/1e9, 10)
	frac := ns % 1e9
	if frac == 0 {
		return b
	}
	b = append(b, '.')
	b = appendPadded(b, frac)
	for b[len(b)-1] == '0' {
		b = b[:len(b)-1]
	}
	return b
}

// needsNoQuoting tells of every octet whether it stands for itself in a JSON string.
var needsNoQuoting = func() (t [256]bool) {
	for c := ' '; c < 0x7f; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

const hex = "0123456789abcdef"

// appendQuoted appends s as a JSON string. Whatever s holds, the result is valid
// JSON, valid UTF-8, one line for every reader (U+2028 and U+2029 end lines in
// JavaScript), and moves no terminal's cursor (C0 and C1 controls are escaped).
func appendQuoted(b []byte, s string) []byte {
	b = append(b, '"')
	plain := 0
	for plain < len(s) && needsNoQuoting[s[plain]] {
		plain++
	}
	b = append(b, s[:plain]...)
	for i := plain; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			switch {
			case c == '"' || c == '\\':
				b = append(b, '\\', c)
			case c < ' ' || c == 0x7f:
				b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			default:
				b = append(b, c)
			}
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			b = append(b, `\ufffd`...)
		case r < 0xa0:
			b = append(b, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		case r == '\u2028':
			b = append(b, `\u2028`...)
		case r == '\u2029':
			b = append(b, `\u2029`...)
		default:
			b = append(b, s[i:i+n]...)
		}
		i += n
	}
	return append(b, '"')
}
