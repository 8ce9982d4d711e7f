//go:build pcap && (cgo || windows)

package live

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/google/gopacket/pcap"

	"tcplife/decode/capture"
)

const unsupported = "" // this build can

// A handle is what libpcap opened: an interface each, with a goroutine that reads
// it. Their packets meet in a channel.
type handle struct {
	o       Options
	pcaps   []*pcap.Handle
	packets chan capture.Packet
	failed  chan error
	stopped chan struct{}
	once    sync.Once
	readers sync.WaitGroup
	over    chan struct{} // closed when no reader is left
}

func open(o *Options) (*handle, error) {
	h := &handle{
		o: *o, packets: make(chan capture.Packet, 1024), failed: make(chan error, 1),
		stopped: make(chan struct{}), over: make(chan struct{}),
	}
	names := o.Interfaces
	if len(names) == 0 {
		list, err := interfaces()
		if err != nil {
			return nil, err
		}
		for _, i := range list {
			if i.Up {
				names = append(names, i.Name)
			}
		}
	}
	for _, name := range names {
		p, err := h.activate(name, o.Buffer/len(names))
		if err != nil {
			h.close()
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		h.pcaps = append(h.pcaps, p)
	}
	for _, p := range h.pcaps {
		h.readers.Go(func() { h.read(p) })
	}
	go func() {
		h.readers.Wait()
		close(h.over)
	}()
	return h, nil
}

func (h *handle) activate(name string, buffer int) (*pcap.Handle, error) {
	in, err := pcap.NewInactiveHandle(name)
	if err != nil {
		return nil, err
	}
	defer in.CleanUp()
	err = errors.Join(in.SetSnapLen(h.o.Snaplen), in.SetPromisc(h.o.Promiscuous), in.SetTimeout(Lag/2), in.SetBufferSize(buffer))
	if err != nil {
		return nil, err
	}
	p, err := in.Activate()
	if err != nil {
		if err.Error() == "Permission Denied" { // of a type that is not exported
			return nil, fmt.Errorf("no right to capture: run as root, or see pcap(3) for how your system grants it (%w)", os.ErrPermission)
		}
		return nil, err
	}
	if h.o.Filter != "" {
		if err := p.SetBPFFilter(h.o.Filter); err != nil {
			p.Close()
			return nil, fmt.Errorf("filter: %w", err)
		}
	}
	return p, nil
}

// read hands on the packets of one interface until stop, and then those that were
// captured before.
func (h *handle) read(p *pcap.Handle) {
	link := uint32(p.LinkType())
	var until time.Time // of the drain
	for {
		select {
		case <-h.stopped:
			if until.IsZero() {
				until = time.Now()
			}
		default:
		}
		data, ci, err := p.ReadPacketData()
		switch {
		case err == nil:
			if !until.IsZero() && ci.Timestamp.After(until) {
				return
			}
			h.packets <- capture.Packet{
				Time: capture.Time(ci.Timestamp.UnixNano()), LinkType: link, Length: uint32(ci.Length), Data: data,
			}
		case errors.Is(err, pcap.NextErrorTimeoutExpired):
			if !until.IsZero() {
				return
			}
		default:
			select {
			case h.failed <- err:
			default: // another interface's was first
			}
			return
		}
	}
}

func (h *handle) next(p *capture.Packet, deadline time.Time) error {
	var timeout <-chan time.Time
	select {
	case *p = <-h.packets:
		return nil
	default:
	}
	if !deadline.IsZero() {
		t := time.NewTimer(time.Until(deadline))
		defer t.Stop()
		timeout = t.C
	}
	select {
	case *p = <-h.packets:
		return nil
	case err := <-h.failed:
		return err
	case <-timeout:
		return os.ErrDeadlineExceeded
	case <-h.over:
	}
	select {
	case *p = <-h.packets:
		return nil
	default:
		return io.EOF
	}
}

func (h *handle) stop() { h.once.Do(func() { close(h.stopped) }) }

func (h *handle) stats() (s Stats) {
	for _, p := range h.pcaps {
		if n, err := p.Stats(); err == nil {
			s.Received += uint64(n.PacketsReceived)
			s.Dropped += uint64(n.PacketsDropped) + uint64(n.PacketsIfDropped)
		}
	}
	return s
}

func (h *handle) close() error {
	h.stop()
	go func() {
		for range h.packets { // a reader may wait for room
		}
	}()
	h.readers.Wait()
	close(h.packets)
	for _, p := range h.pcaps {
		p.Close()
	}
	return nil
}

func interfaces() ([]Interface, error) {
	const loopback, up = 1, 2 // PCAP_IF_
	all, err := pcap.FindAllDevs()
	if err != nil {
		return nil, err
	}
	var list []Interface
	for _, d := range all {
		i := Interface{Name: d.Name, Description: d.Description, Up: d.Flags&up != 0, Loopback: d.Flags&loopback != 0}
		if len(d.Addresses) == 0 && !i.Up {
			continue // no network: a bus, a log
		}
		for _, a := range d.Addresses {
			i.Addrs = append(i.Addrs, a.IP.String())
		}
		list = append(list, i)
	}
	return list, nil
}
