package anomaly

import "tcplife/track"

// KeepaliveUnanswered finds keep-alive probes that nobody answered.
var KeepaliveUnanswered = &Rule{
	Name:     "keepalive-unanswered",
	Severity: Warn,
	Ref:      "RFC 9293 §3.8.4",
	Doc: `keep-alive probes unanswered

An end probed an idle connection, several times, and nothing came back: the peer's
host is gone, or a box in between has dropped the idle connection and now drops
what belongs to it. After the last probe (Linux: nine of them, 75 s apart) the end
gives up, with a RST that nobody hears. Look at how long the connection had been
idle before the first probe: a firewall's or load balancer's timer is often a round
number (5 min, 350 s, 1 h), and keep-alives must come more often than that.

Fewer probes than the limit are enough if the end gives up after them. The rule is
silent if any segment comes back, and where only one direction was
captured.`,
	Settings: []*Setting{keepaliveProbes},
	Explains: []string{"never-closed", "reset-by-client", "reset-by-server", "idle-timeout-reset"},
	Check: func(p *Pass) {
		for _, e := range p.Conn.Ends() {
			if r := e.Repeats(); r.N > 0 && r.Kind == track.NoteKeepAlive && !closedWindow(p, p.Conn.Peer(e)) {
				reportSilence(p, e, r, p.Count(keepaliveProbes), false)
			}
		}
	},
}

var keepaliveProbes = count("probes", 3, "one or two probes may be lost on a path that works")
