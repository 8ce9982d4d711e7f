package anomaly

import "time"

// A Stack is what an operating system's TCP does by default, where segments don't
// show it.
type Stack struct {
	Name            string
	TimeWait        time.Duration // 2MSL
	PortLow         uint16        // ephemeral ports, from
	PortHigh        uint16        // to
	TimeWaitsAdvice string        // what helps where TIME_WAIT piles up
}

// Stacks are the known ones, the default first.
//
// Linux: ip-sysctl.rst of the kernel (ip_local_port_range) and TCP_TIMEWAIT_LEN in include/net/tcp.h. Windows:
// TcpTimedWaitDelay, and netsh int ipv4 show dynamicport tcp. FreeBSD: tcp(4),
// net.inet.tcp.msl and net.inet.ip.portrange. macOS: the same by sysctl.
var Stacks = []*Stack{
	{
		Name: "linux", TimeWait: time.Minute, PortLow: 32768, PortHigh: 60999,
		TimeWaitsAdvice: "net.ipv4.tcp_tw_reuse=1 on the client, a wider net.ipv4.ip_local_port_range (tcp_tw_recycle is gone since Linux 4.12, and broke NAT)",
	},
	{
		Name: "windows", TimeWait: 2 * time.Minute, PortLow: 49152, PortHigh: 65535,
		TimeWaitsAdvice: "a shorter TcpTimedWaitDelay, a wider range by netsh int ipv4 set dynamicport tcp",
	},
	{
		Name: "macos", TimeWait: 30 * time.Second, PortLow: 49152, PortHigh: 65535,
		TimeWaitsAdvice: "a wider range by net.inet.ip.portrange.first",
	},
	{
		Name: "freebsd", TimeWait: time.Minute, PortLow: 10000, PortHigh: 65535,
		TimeWaitsAdvice: "a wider range by net.inet.ip.portrange.first",
	},
}

// FindStack returns the stack of that name, or nil.
func FindStack(name string) *Stack {
	for _, s := range Stacks {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// StackNames returns the names, the default first.
func StackNames() []string {
	var names []string
	for _, s := range Stacks {
		names = append(names, s.Name)
	}
	return names
}

// Ports returns how many ephemeral ports there are.
func (s *Stack) Ports() int { return int(s.PortHigh) - int(s.PortLow) + 1 }
