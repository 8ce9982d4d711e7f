package anomaly

import (
	"cmp"
	"encoding/binary"
	"math/bits"
	"slices"

	"tcplife/decode"
	"tcplife/decode/capture"
	"tcplife/track"
)

// A toward is what connections are grouped by: a client and a server port, or one
// of both.
type toward struct {
	client decode.Addr
	server
}

// places tells hosts, server ports, or pairs of both apart, for all rules at once.
// Of more than maxPlaces, the places of those with few connections are given to
// others: a finding about many connections is about a place that has many. So a
// flood from forged sources, each of which appears once, costs next to nothing.
//
// Which place a key may have is told by a few bits of its hash. While all of these
// are taken, a newcomer is let in when it is seen for the second time within the
// next few thousand; it gets the lightest's place, and the others become lighter
// by one connection, or what was busy once would stay for ever.
type places struct {
	sets []placeSet // nil: nobody has asked yet
	all  []place
}

const (
	setBits   = 10
	setSize   = 8
	maxPlaces = setSize << setBits
)

// A placeSet is the places for keys with equal upper bits of the hash: one line of
// the processor's cache.
type placeSet struct {
	tags [setSize]uint32 // of the hashes, 0 if free, those at the end first
	at   [setSize]uint16 // in places.all
	out  [4]uint32       // tags of the last ones that were not let in, the latest first
}

type place struct {
	toward
	weight uint32 // connections, less those of others that were let in
	life   uint32 // counts the keys that had the place

	// What rules need of common connections: it is at hand here, where what they
	// keep themselves is not.
	attempts  uint32       // of a client: all that port-scan counts
	completed uint32       // of a server port: handshakes
	numbered  capture.Time // of a host: predictable-isn has enough, from before then; 0: not yet
}

// A spot is the place of a key while it has it. The zero spot is none.
type spot struct {
	at   uint32 // 1 + index in places.all
	life uint32
}

func (s spot) none() bool { return s.at == 0 }

func tagOf(hash uint64) uint32 { return uint32(hash) | 1 }

// find returns the spot of k.
func (s *places) find(k *toward, hash uint64) spot {
	if s.sets == nil {
		return spot{}
	}
	set, tag := &s.sets[hash>>(64-setBits)], tagOf(hash)
	for i, t := range set.tags {
		if t == tag {
			if p := &s.all[set.at[i]]; p.toward == *k {
				return spot{uint32(set.at[i]) + 1, p.life}
			}
		}
	}
	return spot{}
}

// count counts a connection of k and returns its spot, none if it is not let in.
func (s *places) count(k *toward, hash uint64) spot {
	if got := s.find(k, hash); !got.none() {
		s.all[got.at-1].weight++
		return got
	}
	if s.sets == nil {
		s.sets = make([]placeSet, 1<<setBits)
	}
	set, tag := &s.sets[hash>>(64-setBits)], tagOf(hash)
	i := slices.Index(set.tags[:], 0)
	switch {
	case i >= 0:
		set.at[i] = uint16(len(s.all))
		s.all = append(s.all, place{})
	case !slices.Contains(set.out[:], tag):
		copy(set.out[1:], set.out[:])
		set.out[0] = tag
		return spot{}
	default:
		i = s.lightest(set)
	}
	set.tags[i] = tag
	at := set.at[i]
	p := &s.all[at]
	*p = place{toward: *k, weight: 1, life: p.life + 1}
	return spot{uint32(at) + 1, p.life}
}

// of returns the place that is at a spot other than none.
func (s *places) of(at spot) *place { return &s.all[at.at-1] }

// lightest returns which place of the full set is that of the fewest connections,
// and makes the others lighter.
func (s *places) lightest(set *placeSet) int {
	least := 0
	for i := range set.at {
		if s.all[set.at[i]].weight < s.all[set.at[least]].weight {
			least = i
		}
	}
	for _, at := range set.at {
		if p := &s.all[at]; p.weight > 0 {
			p.weight--
		}
	}
	return least
}

// per is what a rule keeps of places.
type per[V any] struct {
	pages []*[pageSize]kept[V]
	made  uint64
}

type kept[V any] struct {
	seq  uint64 // counts those that were made; 0: there is none
	life uint32 // of the place
	v    V
}

const pageSize = 32

// has returns what is kept of the place, nil if nothing is.
func (r *per[V]) has(at spot) *V {
	i := (at.at - 1) / pageSize
	if at.none() || i >= uint32(len(r.pages)) || r.pages[i] == nil {
		return nil
	}
	if k := &r.pages[i][(at.at-1)%pageSize]; k.life == at.life {
		return &k.v
	}
	return nil
}

// at returns what is kept of the place, zero if nothing was; nil if it is none.
func (r *per[V]) at(at spot) *V {
	if v := r.has(at); v != nil || at.none() {
		return v
	}
	i := (at.at - 1) / pageSize
	for uint32(len(r.pages)) <= i {
		r.pages = append(r.pages, nil)
	}
	if r.pages[i] == nil {
		r.pages[i] = new([pageSize]kept[V])
	}
	r.made++
	k := &r.pages[i][(at.at-1)%pageSize]
	*k = kept[V]{seq: r.made, life: at.life}
	return &k.v
}

// each calls do with everything that is kept of places in s, in the order in which
// it was made.
func (r *per[V]) each(s *places, do func(at *place, v *V)) {
	type one struct {
		seq uint64
		at  *place
		v   *V
	}
	var all []one
	for i := range s.all {
		p := &s.all[i]
		if v := r.has(spot{uint32(i) + 1, p.life}); v != nil {
			all = append(all, one{r.pages[i/pageSize][i%pageSize].seq, p, v})
		}
	}
	slices.SortFunc(all, func(a, b one) int { return cmp.Compare(a.seq, b.seq) })
	for _, o := range all {
		do(o.at, o.v)
	}
}

// A crowd is the places of all connections that a Checker has looked at.
type crowd struct{ hosts, ports, pairs places }

// spots are the places of the connection at hand, and the hashes of its addresses,
// as far as they were asked for.
type spots struct {
	have       uint8
	hosts      [2]spot
	port, pair spot
	hash       [2]uint64
}

// What there is of spots. That of a server is shifted by one.
const (
	haveHost = 1 << (2 * iota)
	haveHash
	havePort
	havePair
)

// need reports whether it is not there yet, and that it is from now on.
func (s *spots) need(what uint8) bool {
	missing := s.have&what == 0
	s.have |= what
	return missing
}

// seek returns the spot of the key, and counts the connection if it is looked at.
func (p *Pass) seek(s *places, k *toward, hash uint64) spot {
	if p.looking {
		return s.count(k, hash)
	}
	return s.find(k, hash)
}

func (p *Pass) hash(r track.Role) uint64 {
	if p.spots.need(haveHash << r) {
		p.spots.hash[r] = hashOfHost(p.Conn.Ends()[r].Addr())
	}
	return p.spots.hash[r]
}

// hashOfHost returns the hash by which a host's place is found.
func hashOfHost(a decode.Addr) uint64 {
	return mul(binary.LittleEndian.Uint64(a[:8]), binary.LittleEndian.Uint64(a[8:]))
}

// mul mixes two numbers into one, as wyhash does (Wang Yi, public domain).
func mul(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a^0xa0761d6478bd642f, b^0xe7037ed1a0b428db)
	return hi ^ lo
}

// host returns the place of the client's or the server's host.
func (p *Pass) host(r track.Role) spot {
	if p.spots.need(haveHost << r) {
		p.spots.hosts[r] = p.seek(&p.crowd.hosts, &toward{client: p.Conn.Ends()[r].Addr()}, p.hash(r))
	}
	return p.spots.hosts[r]
}

// port returns the place of the server's port.
func (p *Pass) port() spot {
	if p.spots.need(havePort) {
		k := toward{server: serverOf(p.Conn)}
		p.spots.port = p.seek(&p.crowd.ports, &k, mul(p.hash(track.Server), uint64(k.port)))
	}
	return p.spots.port
}

// pair returns the place of the client at the server's port.
func (p *Pass) pair() spot {
	if p.spots.need(havePair) {
		k := toward{p.Conn.Client().Addr(), serverOf(p.Conn)}
		p.spots.pair = p.seek(&p.crowd.pairs, &k, mul(p.hash(track.Client)^uint64(k.port), p.hash(track.Server)))
	}
	return p.spots.pair
}
