//go:build !(pcap && (cgo || windows))

package live

import "net"

func interfaces() ([]Interface, error) {
	ifs, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	list := make([]Interface, len(ifs))
	for i := range ifs {
		list[i] = Interface{Name: ifs[i].Name, Up: ifs[i].Flags&net.FlagUp != 0, Loopback: ifs[i].Flags&net.FlagLoopback != 0}
		addrs, err := ifs[i].Addrs()
		if err != nil {
			continue // it went away meanwhile
		}
		for _, a := range addrs {
			list[i].Addrs = append(list[i].Addrs, a.String())
		}
	}
	return list, nil
}
