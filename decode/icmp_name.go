package decode

// icmpKind is what tells ICMP errors apart.
type icmpKind struct {
	v6        bool
	typ, code uint8
}

// icmpNames names the errors of RFC 792, RFC 1812 §5.2.7.1 and RFC 4443 §3. Errors
// of ICMP and ICMPv6 that say the same have the same name.
var icmpNames = map[icmpKind]string{
	{false, 3, 0}:  "net-unreachable",
	{false, 3, 1}:  "host-unreachable",
	{false, 3, 2}:  "protocol-unreachable",
	{false, 3, 3}:  "port-unreachable",
	{false, 3, 4}:  "too-big",
	{false, 3, 5}:  "source-route-failed",
	{false, 3, 6}:  "net-unknown",
	{false, 3, 7}:  "host-unknown",
	{false, 3, 8}:  "source-isolated",
	{false, 3, 9}:  "net-prohibited",
	{false, 3, 10}: "host-prohibited",
	{false, 3, 11}: "net-unreachable-for-tos",
	{false, 3, 12}: "host-unreachable-for-tos",
	{false, 3, 13}: "prohibited",
	{false, 3, 14}: "precedence-violation",
	{false, 3, 15}: "precedence-cutoff",
	{false, 4, 0}:  "source-quench",
	{false, 11, 0}: "time-exceeded",
	{false, 11, 1}: "reassembly-time-exceeded",
	{false, 12, 0}: "parameter-problem",

	{true, 1, 0}: "net-unreachable",
	{true, 1, 1}: "prohibited",
	{true, 1, 2}: "beyond-scope",
	{true, 1, 3}: "host-unreachable",
	{true, 1, 4}: "port-unreachable",
	{true, 1, 5}: "source-policy",
	{true, 1, 6}: "route-rejected",
	{true, 2, 0}: "too-big",
	{true, 3, 0}: "time-exceeded",
	{true, 3, 1}: "reassembly-time-exceeded",
	{true, 4, 0}: "parameter-problem",
}

// ICMPName names an error by its type and code, such as "port-unreachable"; one of
// a code that has no name by its type alone.
func ICMPName(v6 bool, typ, code uint8) string {
	if name, ok := icmpNames[icmpKind{v6, typ, code}]; ok {
		return name
	}
	if v6 && typ == 1 || !v6 && typ == 3 {
		return "unreachable"
	}
	if name, ok := icmpNames[icmpKind{v6, typ, 0}]; ok {
		return name
	}
	return "unknown"
}

// ICMPCode returns type and code of the error that ICMPName gives that name.
func ICMPCode(v6 bool, name string) (typ, code uint8, ok bool) {
	for k, n := range icmpNames {
		if k.v6 == v6 && n == name {
			return k.typ, k.code, true
		}
	}
	return 0, 0, false
}
