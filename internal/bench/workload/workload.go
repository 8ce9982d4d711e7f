// Package workload makes the captures that tcplife is measured on. Whoever makes
// one learns what is in it: the same workload has the same bytes on any machine,
// and its Truth says what an analysis must count.
package workload

import (
	"fmt"
	"math/bits"
	"time"
)

// An Exchange is what a connection carries between its handshake and its end.
type Exchange uint8

// Exchanges.
const (
	Nothing Exchange = iota
	Once             // a request and its response, of 1 to 64 octets each
	Chat             // such a pair once or several times, twice on average
	Bulk             // a request of 200 to 599 octets, and a response of 10 full segments on average, 256 at most
)

// A Workload says what a capture is made of. All of it is part of the benchmark:
// who changes a standard one makes older figures incomparable, and must raise
// version.
type Workload struct {
	Name        string
	Title       string `json:"-"`
	Connections int
	InProgress  int  // at once
	OpenFirst   bool // no connection goes past its handshake before all have theirs
	Mix         Mix
	Exchange    Exchange
	Burst       int // packets of a connection in a row, on average
	UDP         int // packets in 1000 that are datagrams
	Rate        int // packets in a second of the capture's clock
	PcapNG      bool
	Seed        uint64
}

// version is of the generator: captures of another one are made anew.
const version = 1

// Standard returns the workloads W1 to W5, with connections and those in progress
// scaled.
func Standard(scale float64) []Workload {
	n := func(full int) int { return max(1, int(float64(full)*scale)) }
	bulk := Workload{
		Name: "W1", Title: "bulk: full segments, an ACK for six, some UDP",
		Connections: n(85_000), InProgress: n(10_000), Mix: Everyday, Exchange: Bulk, Burst: 4, UDP: 20, Rate: 20_000, Seed: 1,
	}
	ng := bulk
	ng.Name, ng.Title, ng.PcapNG = "W5", "W1 as pcapng, with nanoseconds", true
	return []Workload{
		bulk,
		{
			Name: "W2", Title: "small packets, 100 thousand connections in progress",
			Connections: n(1_000_000), InProgress: n(100_000), Mix: Everyday, Exchange: Chat, Burst: 2, Rate: 100_000, Seed: 2,
		},
		{
			Name: "W3", Title: "SYN flood, every source distinct",
			Connections: n(20_000_000), InProgress: 1, Mix: Flood, Burst: 1, Rate: 1_000_000, Seed: 3,
		},
		{
			Name: "W4", Title: "two million connections open at once",
			Connections: n(2_000_000), InProgress: n(2_000_000), OpenFirst: true, Mix: Everyday, Exchange: Once, Burst: 1, Rate: 1_000_000, Seed: 4,
		},
		ng,
	}
}

// CurveTimeWait is how long TIME_WAIT is to last on the curve: then it adds a
// tenth or less to what a tracker has to keep.
const CurveTimeWait = 100 * time.Millisecond

// Curve returns workloads of the same life a connection, 1.5 s with segments a
// quarter of a second apart, from 10 thousand to 10 million of them in progress.
func Curve(scale float64) []Workload {
	var all []Workload
	for _, full := range []int{10_000, 100_000, 1_000_000, 10_000_000} {
		n := max(1, int(float64(full)*scale))
		all = append(all, Workload{
			Name: fmt.Sprintf("C%d", n), Title: fmt.Sprintf("%d connections in progress", n),
			Connections: max(n, int(1_000_000*scale)), InProgress: n, Mix: Shortest, Burst: 1, Rate: 4 * n, Seed: 5,
		})
	}
	return all
}

// random is a splitmix64 generator. math/rand promises no sequence for its
// bounded numbers, and workloads must be the same with every release of Go.
type random uint64

func (r *random) next() uint64 {
	*r += 0x9e3779b97f4a7c15
	return scramble(uint64(*r))
}

// below returns a number from 0 to n-1.
func (r *random) below(n int) int {
	hi, _ := bits.Mul64(r.next(), uint64(n))
	return int(hi)
}

// scramble is splitmix64's output function, a bijection.
func scramble(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
