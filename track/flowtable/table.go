// Package flowtable finds connections by hash. It holds references only, eight
// octets each with its share of the hash, so that a lookup costs one cache miss
// in the table and one in the record that it leads to.
package flowtable

// A Table maps 32-bit hashes to 32-bit references, several to one hash if need
// be: whether a reference is the one sought is the caller's to compare. It is
// open-addressed with linear probing; a removal moves later entries back, so that
// there are no tombstones and a probe ends at the first free slot. The zero Table
// is empty and ready for use.
//
// The hash must be seeded, for the keys come from strangers.
type Table struct {
	slots []slot
	n     int
}

// A slot is a hash in the upper half and a reference + 1 in the lower; 0 is free.
type slot uint64

func (s slot) hash() uint32 { return uint32(s >> 32) }

const (
	minSlots = 1 << 10
	// Probes stay short, and the table small, between 7/16 and 7/8 full.
	fullNum, fullDen = 7, 8
)

// Len returns how many references the table holds.
func (t *Table) Len() int { return t.n }

// Bytes returns the size of the table in memory.
func (t *Table) Bytes() int { return len(t.slots) * 8 }

// A Probe walks the references of one hash.
type Probe struct {
	t    *Table
	at   uint32
	hash uint32
}

// Find starts a walk over the references of hash.
func (t *Table) Find(hash uint32) Probe {
	return Probe{t, hash, hash}
}

// Next returns the next reference; false at the end. The table must not change
// meanwhile.
func (p *Probe) Next() (ref uint32, ok bool) {
	slots := p.t.slots
	if len(slots) == 0 {
		return 0, false
	}
	mask := uint32(len(slots) - 1)
	for {
		s := slots[p.at&mask]
		p.at++
		if s == 0 {
			return 0, false
		}
		if s.hash() == p.hash {
			return uint32(s) - 1, true
		}
	}
}

// Touch loads the slot where hash belongs and returns the reference in it, or
// false. Called for a batch of hashes before they are looked up, it lets their
// cache misses overlap.
func (t *Table) Touch(hash uint32) (ref uint32, ok bool) {
	if len(t.slots) == 0 {
		return 0, false
	}
	s := t.slots[hash&uint32(len(t.slots)-1)]
	return uint32(s) - 1, s != 0
}

// Insert adds a reference, which must be less than 1<<32 - 1.
func (t *Table) Insert(hash, ref uint32) {
	if t.n >= len(t.slots)/fullDen*fullNum {
		t.grow()
	}
	t.put(slot(hash)<<32 | slot(ref+1))
	t.n++
}

func (t *Table) put(s slot) {
	mask := uint32(len(t.slots) - 1)
	i := s.hash() & mask
	for t.slots[i] != 0 {
		i = (i + 1) & mask
	}
	t.slots[i] = s
}

func (t *Table) grow() {
	was := t.slots
	t.slots = make([]slot, max(minSlots, 2*len(was)))
	for _, s := range was {
		if s != 0 {
			t.put(s)
		}
	}
}

// Replace puts the reference to in the place of ref, which must be in the table
// under hash.
func (t *Table) Replace(hash, ref, to uint32) {
	t.slots[t.find(hash, ref)] = slot(hash)<<32 | slot(to+1)
}

// Remove takes out a reference, which must be in the table under hash.
func (t *Table) Remove(hash, ref uint32) {
	mask := uint32(len(t.slots) - 1)
	free := t.find(hash, ref)
	for i := (free + 1) & mask; t.slots[i] != 0; i = (i + 1) & mask {
		// An entry may move back to the free slot unless its home lies between.
		if home := t.slots[i].hash() & mask; (i-home)&mask >= (i-free)&mask {
			t.slots[free] = t.slots[i]
			free = i
		}
	}
	t.slots[free] = 0
	t.n--
}

func (t *Table) find(hash, ref uint32) uint32 {
	mask := uint32(len(t.slots) - 1)
	want := slot(hash)<<32 | slot(ref+1)
	i := hash & mask
	for t.slots[i] != want {
		if t.slots[i] == 0 {
			panic("flowtable: reference not in the table")
		}
		i = (i + 1) & mask
	}
	return i
}
