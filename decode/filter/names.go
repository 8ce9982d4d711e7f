package filter

import "strings"

// proto is a protocol that qualifies a primitive or is one by itself.
type proto uint8

const (
	anyProto proto = iota
	link           // "ether" and its other names: the link layer, whichever it is
	ip
	ip6
	arp
	rarp
	tcp
	udp
	sctp
	icmp
	icmp6
	igmp
	igrp
	pim
	vrrp
	carp
	ah
	esp
)

// protoOf gives the protocol of a keyword.
var protoOf = map[string]proto{
	"ether": link, "link": link,
	"ip": ip, "ip6": ip6, "arp": arp, "rarp": rarp,
	"tcp": tcp, "udp": udp, "sctp": sctp,
	"icmp": icmp, "icmp6": icmp6, "igmp": igmp, "igrp": igrp, "pim": pim,
	"vrrp": vrrp, "carp": carp, "ah": ah, "esp": esp,
}

// ipNumber gives the number of a protocol over IP and the versions of IP that "tcp" and the like look at.
var ipNumber = map[proto]struct {
	num    uint32
	v4, v6 bool
}{
	tcp:   {6, true, true},
	udp:   {17, true, true},
	sctp:  {132, true, true},
	icmp:  {1, true, false},
	icmp6: {58, false, true},
	igmp:  {2, true, false},
	igrp:  {9, true, false},
	pim:   {103, true, true},
	vrrp:  {112, true, false},
	carp:  {112, true, false},
	ah:    {51, true, true},
	esp:   {50, true, true},
}

// Ethertypes.
const (
	etherIPv4   = 0x0800
	etherARP    = 0x0806
	etherRARP   = 0x8035
	etherVLAN   = 0x8100
	etherIPv6   = 0x86dd
	etherMPLS   = 0x8847
	etherPPPoED = 0x8863
	etherPPPoES = 0x8864
	etherQinQ   = 0x88a8
	etherQinQ1  = 0x9100
)

var etherNumber = map[string]uint32{
	"ip": etherIPv4, "ip6": etherIPv6, "arp": etherARP, "rarp": etherRARP,
}

// ipProtoNumber has what may follow "proto", of the names that most systems have in /etc/protocols.
var ipProtoNumber = map[string]uint32{
	"hopopt": 0, "icmp": 1, "igmp": 2, "ipencap": 4, "tcp": 6, "egp": 8, "igp": 9, "udp": 17, "dccp": 33,
	"ipv6": 41, "ipv6-route": 43, "ipv6-frag": 44, "rsvp": 46, "gre": 47, "esp": 50, "ah": 51,
	"ipv6-icmp": 58, "icmp6": 58, "ipv6-nonxt": 59, "ipv6-opts": 60, "eigrp": 88, "ospf": 89, "ipip": 94,
	"etherip": 97, "pim": 103, "ipcomp": 108, "vrrp": 112, "l2tp": 115, "sctp": 132, "udplite": 136,
	"mpls-in-ip": 137,
}

// keywords are tcpdump's, also those that are refused.
var keywords = func() map[string]bool {
	m := map[string]bool{}
	for _, w := range [...]string{
		"src", "dst", "host", "net", "mask", "port", "portrange", "proto",
		"and", "or", "not", "len", "less", "greater", "broadcast", "multicast",
		"vlan", "mpls", "pppoes", "pppoed",
	} {
		m[w] = true
	}
	for w := range protoOf {
		m[w] = true
	}
	for w := range unsupported {
		m[w] = true
	}
	return m
}()

// Keyword reports whether a word is one of tcpdump's language, understood here or not. That tells an expression from the
// name of a file.
func Keyword(word string) bool { return keywords[word] }

// unsupported are the keywords of tcpdump that are refused, with the reason.
var unsupported = func() map[string]string {
	m := map[string]string{}
	for words, why := range map[string]string{
		"inbound outbound": "the direction of a packet is not in a capture",
		"ifindex":          "an interface's number differs from machine to machine",
		"gateway":          "it needs the names of hosts, which are not looked up",
		"protochain":       "it needs a loop, which the kernel does not allow",
		"byte":             "write ether[N] instead",

		"ifname on rnr rulenum srnr subrulenum rset ruleset reason action": "only OpenBSD's packet filter log has it",

		"geneve llc radio fddi tr wlan ppp slip lane type subtype direction dir ra ta " +
			"address1 addr1 address2 addr2 address3 addr3 address4 addr4 " +
			"atalk aarp decnet lat sca moprc mopdl iso clnp esis es-is isis is-is l1 l2 iih lsp snp csnp psnp " +
			"stp ipx netbeui vpi vci metac bcc oam oamf4 oamf4ec oamf4sc sc ilmic connectmsg metaconnect": "tcplife has no use for it",
	} {
		for _, w := range strings.Fields(words) {
			m[w] = why
		}
	}
	return m
}()

// constants are the names of numbers. An index is one as well: tcp[tcpflags] is tcp[13].
var constants = map[string]uint32{
	"tcpflags": 13, "icmptype": 0, "icmpcode": 1, "icmp6type": 0, "icmp6code": 1,

	"tcp-fin": 0x01, "tcp-syn": 0x02, "tcp-rst": 0x04, "tcp-push": 0x08,
	"tcp-ack": 0x10, "tcp-urg": 0x20, "tcp-ece": 0x40, "tcp-cwr": 0x80,

	"icmp-echoreply": 0, "icmp-unreach": 3, "icmp-sourcequench": 4, "icmp-redirect": 5, "icmp-echo": 8,
	"icmp-routeradvert": 9, "icmp-routersolicit": 10, "icmp-timxceed": 11, "icmp-paramprob": 12,
	"icmp-tstamp": 13, "icmp-tstampreply": 14, "icmp-ireq": 15, "icmp-ireqreply": 16,
	"icmp-maskreq": 17, "icmp-maskreply": 18,

	"icmp6-destinationunreach": 1, "icmp6-packettoobig": 2, "icmp6-timeexceeded": 3, "icmp6-parameterproblem": 4,
	"icmp6-echo": 128, "icmp6-echoreply": 129,
	"icmp6-multicastlistenerquery": 130, "icmp6-multicastlistenerreportv1": 131, "icmp6-multicastlistenerdone": 132,
	"icmp6-routersolicit": 133, "icmp6-routeradvert": 134,
	"icmp6-neighborsolicit": 135, "icmp6-neighboradvert": 136, "icmp6-redirect": 137, "icmp6-routerrenum": 138,
	"icmp6-nodeinformationquery": 139, "icmp6-nodeinformationresponse": 140,
	"icmp6-ineighbordiscoverysolicit": 141, "icmp6-ineighbordiscoveryadvert": 142,
	"icmp6-multicastlistenerreportv2": 143,
	"icmp6-homeagentdiscoveryrequest": 144, "icmp6-homeagentdiscoveryreply": 145,
	"icmp6-mobileprefixsolicit": 146, "icmp6-mobileprefixadvert": 147,
	"icmp6-certpathsolicit": 148, "icmp6-certpathadvert": 149,
	"icmp6-multicastrouteradvert": 151, "icmp6-multicastroutersolicit": 152, "icmp6-multicastrouterterm": 153,
}

// service is a port that has a name, with the protocols that it is registered for.
type service struct {
	port uint16
	over proto // tcp, udp, or anyProto for both
}

// services is a part of what tcpdump finds in /etc/services, so that a filter means the same on every machine.
var services = map[string]service{
	"acr-nema": {104, tcp}, "amqp": {5672, tcp}, "amqps": {5671, tcp}, "auth": {113, tcp}, "bgp": {179, tcp},
	"bootpc": {68, udp}, "bootps": {67, udp}, "chargen": {19, anyProto}, "daytime": {13, anyProto},
	"dhcpv6-client": {546, udp}, "dhcpv6-server": {547, udp}, "discard": {9, anyProto}, "domain": {53, anyProto},
	"domain-s": {853, anyProto}, "echo": {7, anyProto}, "epmap": {135, tcp}, "epmd": {4369, tcp}, "exec": {512, tcp},
	"finger": {79, tcp}, "ftp": {21, tcp}, "ftp-data": {20, tcp}, "ftps": {990, tcp}, "ftps-data": {989, tcp},
	"git": {9418, tcp}, "gopher": {70, tcp}, "http": {80, tcp}, "http-alt": {8080, tcp}, "https": {443, anyProto},
	"imap": {143, tcp}, "imap2": {143, tcp}, "imaps": {993, tcp}, "ipp": {631, tcp}, "ipsec-nat-t": {4500, udp},
	"ircd": {6667, tcp}, "ircs-u": {6697, tcp}, "isakmp": {500, udp}, "iscsi-target": {3260, tcp},
	"kerberos": {88, anyProto}, "kpasswd": {464, anyProto}, "l2tp": {1701, udp}, "ldap": {389, anyProto},
	"ldaps": {636, anyProto}, "login": {513, tcp}, "mail": {25, tcp}, "mdns": {5353, udp},
	"microsoft-ds": {445, tcp}, "ms-sql-m": {1434, udp}, "ms-sql-s": {1433, tcp}, "ms-wbt-server": {3389, tcp},
	"mysql": {3306, tcp}, "netbios-dgm": {138, udp}, "netbios-ns": {137, udp}, "netbios-ssn": {139, tcp},
	"nfs": {2049, anyProto}, "nntp": {119, tcp}, "nntps": {563, tcp}, "ntp": {123, udp}, "openvpn": {1194, anyProto},
	"pop3": {110, tcp}, "pop3s": {995, tcp}, "postgresql": {5432, tcp}, "printer": {515, tcp},
	"radius": {1812, anyProto}, "radius-acct": {1813, anyProto}, "redis": {6379, tcp}, "rsync": {873, tcp},
	"rtsp": {554, anyProto}, "shell": {514, tcp}, "sip": {5060, anyProto}, "sip-tls": {5061, anyProto},
	"smtp": {25, tcp}, "smtps": {465, tcp}, "snmp": {161, anyProto}, "snmp-trap": {162, anyProto},
	"snmptrap": {162, anyProto}, "socks": {1080, tcp}, "ssh": {22, tcp}, "submission": {587, tcp},
	"submissions": {465, tcp}, "sunrpc": {111, anyProto}, "svn": {3690, tcp}, "syslog": {514, anyProto},
	"syslog-tls": {6514, tcp}, "tacacs": {49, anyProto}, "telnet": {23, tcp}, "telnets": {992, tcp},
	"tftp": {69, udp}, "time": {37, anyProto}, "whois": {43, tcp}, "www": {80, tcp}, "x11": {6000, tcp},
	"xdmcp": {177, udp}, "xmpp-client": {5222, tcp}, "xmpp-server": {5269, tcp},
}
