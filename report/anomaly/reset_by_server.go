package anomaly

import "tcplife/track"

// ResetByServer finds connections that the server ended by RST.
var ResetByServer = &Rule{
	Name:     "reset-by-server",
	Severity: Warn,
	Ref:      "RFC 9293 §3.10.5",
	Doc: `connection reset by the server

The server ended an established connection by RST instead of FIN. RST,ACK is an
abort: the program closed its socket with data unread, with SO_LINGER set to 0,
or crashed. A bare RST is the answer of a host that holds no such socket any
more, because it has closed it, restarted, or lost it to a failover. A load
balancer between the two can send either. The message says what was lost:
octets sent that were never acknowledged, the states at the time, and how long
the connection had been idle.

A RST after the client's FIN, with all data acknowledged, is a fast close: a
note. After both FINs a RST is harmless, and the rule silent.`,
	Check: func(p *Pass) { checkReset(p, track.Server) },
}
