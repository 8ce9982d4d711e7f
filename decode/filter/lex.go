package filter

import (
	"errors"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"
)

type kind uint8

const (
	tEnd     kind = iota
	tNumber       // num
	tKeyword      // text
	tName         // text: a word that is no keyword, or one escaped by a backslash
	tIPv4         // num, octets: 2 to 4 octets with dots between them
	tIPv6         // addr
	tMAC          // mac
	tOp           // text
)

type token struct {
	kind    kind
	pos     int
	text    string // as written, without the backslash
	escaped bool
	num     uint32
	octets  int
	addr    netip.Addr
	mac     [6]byte
}

// String is how messages call a token. Quoting keeps control characters of an expression off the terminal.
func (t token) String() string {
	if t.kind == tEnd {
		return "the end of the expression"
	}
	return strconv.Quote(t.text)
}

func (t token) is(text string) bool {
	return (t.kind == tOp || t.kind == tKeyword) && t.text == text
}

// lex splits an expression into tokens, the last of which is tEnd. As in tcpdump, a word is as long as can be, with the
// dots and hyphens within it: "len-4" is one, "len - 4" three.
func lex(expr string) ([]token, error) {
	var toks []token
	for i := 0; i < len(expr); {
		c := expr[i]
		if c == ' ' || c == '\t' || c == '\n' || c == '\r' {
			i++
			continue
		}
		t := token{pos: i}
		n, err := t.scan(expr[i:])
		if err != nil {
			return nil, err
		}
		i += n
		toks = append(toks, t)
	}
	return append(toks, token{kind: tEnd, pos: len(expr)}), nil
}

// scan reads the token at the beginning of s and returns its length.
func (t *token) scan(s string) (int, error) {
	if n := addressLen(s); n > 0 {
		t.text = s[:n]
		return n, t.colons()
	}
	switch {
	case s[0] == '\\':
		n := 1
		for n < len(s) && strings.IndexByte(" \t\r\n!()", s[n]) < 0 {
			n++
		}
		if n == 1 {
			return 0, errorf(t.pos, "a backslash with no word after it")
		}
		t.kind, t.text, t.escaped = tName, s[1:n], true
		return n, nil
	case isAlnum(s[0]):
		n := 1
		for n < len(s) && (isAlnum(s[n]) || s[n] == '.' || s[n] == '-' || s[n] == '_') {
			n++
		}
		for s[n-1] == '-' || s[n-1] == '_' {
			n--
		}
		t.text = s[:n]
		return n, t.word()
	}
	t.kind = tOp
	for _, op := range [...]string{"&&", "||", "<=", ">=", "==", "!=", "<<", ">>"} {
		if strings.HasPrefix(s, op) {
			t.text = op
			return 2, nil
		}
	}
	if strings.IndexByte("()[]!<>=+-*/%&|^:", s[0]) < 0 {
		r, _ := utf8.DecodeRuneInString(s)
		return 0, errorf(t.pos, "%q does not belong to the filter language", r)
	}
	t.text = s[:1]
	return 1, nil
}

// addressLen returns the length of an address with colons at the beginning of s, or 0. One colon is that of "tcp[0:2]".
func addressLen(s string) int {
	n, colons := 0, 0
	for n < len(s) && (isHex(s[n]) || s[n] == ':' || s[n] == '.') {
		if s[n] == ':' {
			colons++
		}
		n++
	}
	if colons < 2 {
		return 0
	}
	return n
}

func (t *token) colons() error {
	if mac, ok := parseMAC(t.text, ":", 2); ok {
		t.kind, t.mac = tMAC, mac
		return nil
	}
	a, err := netip.ParseAddr(t.text)
	if err != nil {
		return errorf(t.pos, "%q is neither an IPv6 nor an Ethernet address", t.text)
	}
	t.kind, t.addr = tIPv6, a
	return nil
}

func (t *token) word() error {
	if mac, ok := parseMAC(t.text, "-", 2); ok {
		t.kind, t.mac = tMAC, mac
		return nil
	}
	if mac, ok := parseMAC(t.text, ".", 2); ok {
		t.kind, t.mac = tMAC, mac
		return nil
	}
	if mac, ok := parseMAC(t.text, ".", 4); ok {
		t.kind, t.mac = tMAC, mac
		return nil
	}
	if mac, ok := parseMAC(t.text, "", 12); ok {
		t.kind, t.mac = tMAC, mac
		return nil
	}
	if n, ok := constants[t.text]; ok {
		t.kind, t.num = tNumber, n
		return nil
	}
	if t.text == "length" {
		t.text = "len"
	}
	if keywords[t.text] {
		t.kind = tKeyword
		return nil
	}
	t.kind = tName
	if !isDigit(t.text[0]) {
		return nil
	}
	if allDigits(t.text) || strings.HasPrefix(t.text, "0x") || strings.HasPrefix(t.text, "0X") {
		return t.number()
	}
	return t.dotted()
}

func (t *token) number() error {
	n, err := strconv.ParseUint(t.text, 0, 64)
	switch {
	case strings.Contains(t.text, "_"):
	case err == nil && n <= math.MaxUint32:
		t.kind, t.num = tNumber, uint32(n)
		return nil
	case err == nil, errors.Is(err, strconv.ErrRange):
		return errorf(t.pos, "the number %.40s needs more than 32 bits", t.text)
	case t.text[0] == '0' && allDigits(t.text):
		return errorf(t.pos, "the number %s begins with 0, but is not octal", t.text)
	}
	return errorf(t.pos, "%q is no number", t.text)
}

// dotted makes an address of a word such as "10.0", and leaves others as they are: "80-90", "3com.example".
func (t *token) dotted() error {
	parts := strings.Split(t.text, ".")
	for _, p := range parts {
		if !allDigits(p) {
			return nil
		}
	}
	if len(parts) > 4 {
		return errorf(t.pos, "the address %.40s has more than 4 parts", t.text)
	}
	for _, p := range parts {
		n, err := strconv.ParseUint(p, 10, 8)
		if err != nil {
			return errorf(t.pos, "the address %.40s has a part that is more than 255", t.text)
		}
		t.num = t.num<<8 | uint32(n)
	}
	t.kind, t.octets = tIPv4, len(parts)
	return nil
}

// parseMAC reads an Ethernet address written in groups of digits. A group of 2 may have one digit.
func parseMAC(s, sep string, group int) (mac [6]byte, ok bool) {
	parts := []string{s}
	if sep != "" {
		parts = strings.SplitN(s, sep, 8)
	}
	octets := max(group/2, 1)
	if len(parts)*octets != 6 {
		return mac, false
	}
	for i, p := range parts {
		if len(p) > group || len(p) < group && (group > 2 || p == "") {
			return mac, false
		}
		n, err := strconv.ParseUint(p, 16, 48)
		if err != nil {
			return mac, false
		}
		for j := octets - 1; j >= 0; j-- {
			mac[i*octets+j] = byte(n)
			n >>= 8
		}
	}
	return mac, true
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isHex(c byte) bool {
	return isDigit(c) || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func isAlnum(c byte) bool {
	return isDigit(c) || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

func allDigits(s string) bool {
	for i := range len(s) {
		if !isDigit(s[i]) {
			return false
		}
	}
	return s != ""
}
