package main

import (
	"errors"
	"io"
	"net/netip"
	"slices"

	"tcplife/decode"
	"tcplife/decode/capture"
	"tcplife/track"
)

// A got is what a tracker says of one connection.
type got struct {
	Client, Server netip.AddrPort
	Ends           [2][]move
	MayBe          [2][]string // other states that an end may be in at last
	ClosedFirst    string
	ClosedWith     [2]string
	First          uint64 // frame
}

func trackFile(file string) ([]*got, error) {
	r, err := capture.Open(file)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return tracked(r)
}

// tracked returns the connections of a capture, in order of first frame.
func tracked(r *capture.Reader) ([]*got, error) {
	var gs []*got
	var first capture.Time
	tr := track.New(track.Config{})
	tr.Done = func(c *track.Conn) {
		g := &got{ClosedFirst: c.ClosedFirst().String(), First: c.First}
		for i, e := range c.Ends() {
			g.ClosedWith[i] = e.ClosedWith().String()
			for _, s := range e.MayBe(tr.Now()).List() {
				g.MayBe[i] = append(g.MayBe[i], s.String())
			}
			for j, tn := range e.Transitions() {
				at := when(tn.Time.Sub(first))
				if j == 0 {
					g.Ends[i] = append(g.Ends[i], move{state: tn.From.String(), at: at})
				}
				g.Ends[i] = append(g.Ends[i], move{tn.To.String(), at, tn.Frame, tn.Basis})
			}
		}
		addr := func(e *track.End) netip.AddrPort { return netip.AddrPortFrom(e.Addr().IP(), e.Port()) }
		g.Client, g.Server = addr(c.Client()), addr(c.Server())
		gs = append(gs, g)
	}
	d := decode.NewDecoder()
	var seg decode.Segment
	for {
		var p capture.Packet
		err := r.Next(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if p.Frame == 1 {
			first = p.Time
		}
		switch d.Decode(&p, &seg).Kind {
		case decode.AsSegment:
			tr.Segment(&seg)
		case decode.AsICMP:
			tr.ICMP(&d.ICMP)
		default:
			tr.Tick(p.Time, p.Frame)
		}
	}
	tr.Finish()
	slices.SortStableFunc(gs, func(a, b *got) int { return int(a.First) - int(b.First) })
	return gs, nil
}
