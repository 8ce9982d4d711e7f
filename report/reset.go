package report

import (
	"tcplife/track"
)

// reset puts the RST that closed the connection, or else the first that another
// made in an end's name, into e.
func reset(e encoder, c *Connection) {
	r, ok := c.Reset()
	if !ok {
		if forged := c.Refuted(); len(forged) > 0 {
			r, ok = forged[0].Reset, true
		}
	}
	if !ok && e.none("reset") {
		return
	}
	e.open("reset")
	defer e.close()
	if !ok {
		for _, key := range [...]string{"packet", "capture", "time", "by", "maker", "idle", "unacked_client", "unacked_server"} {
			e.null(key)
		}
		return
	}
	e.uint("packet", number(r.Frame))
	inputOf(e, "capture", r.Frame, c)
	e.time("time", r.Time)
	e.str("by", r.By.String())
	maker, mayBe := r.Maker()
	e.str("maker", maker.String())
	if e.array("may_be") {
		for _, m := range mayBe {
			e.str("", m.String())
		}
		e.end()
	}
	if e.array("evidence") {
		for _, m := range r.Marks.List() {
			e.str("", m)
		}
		e.end()
	}
	e.secs("idle", int64(r.Idle))
	e.uint("unacked_client", uint64(r.Unacked[track.Client]))
	e.uint("unacked_server", uint64(r.Unacked[track.Server]))
}
