//go:build !linux && !(pcap && (cgo || windows))

package live

import (
	"time"

	"tcplife/decode/capture"
)

const unsupported = "this build reads files, and no interfaces: build it with -tags pcap, which takes libpcap and a C compiler (on Windows Npcap alone), or read what tcpdump writes: tcpdump -i eth0 -U -w - tcp | tcplife -"

type handle struct{}

func open(*Options) (*handle, error) { return nil, ErrUnsupported }

func (*handle) next(*capture.Packet, time.Time) error { return ErrUnsupported }
func (*handle) stop()                                 {}
func (*handle) stats() Stats                          { return Stats{} }
func (*handle) close() error                          { return nil }
