package report

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"

	"tcplife/track"
)

// sockets writes the sockets that exist at the end, as ss -tan prints those of one
// host: a table for each host. It knows them by what they sent, so there are no
// listening ones, and none that are idle all the time.
type sockets struct {
	w    *bufio.Writer
	rows map[socketKey]socket
}

type socketKey struct{ local, peer netip.AddrPort }

type socket struct {
	state   track.State
	mayBe   bool
	unacked uint32
}

func newSockets(w io.Writer, _ Options) Sink {
	return &sockets{w: bufio.NewWriter(w), rows: make(map[socketKey]socket)}
}

func (s *sockets) Connection(c *Connection) error {
	over := c.EndReason == track.Reused || c.EndReason == track.Evicted
	for _, e := range c.Ends() {
		peer := c.Peer(e)
		k := socketKey{
			netip.AddrPortFrom(e.Addr().IP(), e.Port()),
			netip.AddrPortFrom(peer.Addr().IP(), peer.Port()),
		}
		switch st := e.State(); st {
		case track.Unknown, track.Closed, track.Listen:
			delete(s.rows, k) // of an older connection
		default:
			if !over {
				s.rows[k] = socket{st, e.MayBe(c.Now) != 0, unackedData(e)}
			}
		}
	}
	return nil
}

// unackedData returns how many octets of data the end waits to see acknowledged: a
// SYN or FIN on the way is none.
func unackedData(e *track.End) uint32 {
	n := e.Unacked()
	switch e.State() {
	case track.SynSent, track.SynReceived, track.FinWait1, track.Closing, track.LastAck:
		if n > 0 {
			n--
		}
	}
	return n
}

func (s *sockets) Finding(*Finding) error { return nil }
func (s *sockets) Capture(*Capture) error { return nil }

func (s *sockets) Summary(*Summary) error {
	keys := make([]socketKey, 0, len(s.rows))
	for k := range s.rows {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b socketKey) int {
		return cmp.Or(
			a.local.Addr().Compare(b.local.Addr()),
			cmp.Compare(s.rows[a].state, s.rows[b].state),
			a.local.Compare(b.local),
			a.peer.Compare(b.peer),
		)
	})
	local := len("Local Address:Port")
	for _, k := range keys {
		local = max(local, len(k.local.String()))
	}
	for i, k := range keys {
		if i == 0 || k.local.Addr() != keys[i-1].local.Addr() {
			if i > 0 {
				fmt.Fprintln(s.w)
			}
			fmt.Fprintf(s.w, "%-11s %6s %6s  %-*s  %s\n", "State", "Recv-Q", "Send-Q", local, "Local Address:Port", "Peer Address:Port")
		}
		row := s.rows[k]
		state := socketStates[row.state]
		if row.mayBe {
			state += "?"
		}
		fmt.Fprintf(s.w, "%-11s %6s %6s  %-*v  %v\n", state, "-", strconv.Itoa(int(row.unacked)), local, k.local, k.peer)
	}
	return s.w.Flush()
}

func (s *sockets) Close() error { return s.w.Flush() }

// socketStates are the words of ss.
var socketStates = [numStates]string{
	track.SynSent: "SYN-SENT", track.SynReceived: "SYN-RECV", track.Established: "ESTAB",
	track.FinWait1: "FIN-WAIT-1", track.FinWait2: "FIN-WAIT-2", track.CloseWait: "CLOSE-WAIT",
	track.Closing: "CLOSING", track.LastAck: "LAST-ACK", track.TimeWait: "TIME-WAIT",
}
