package flowtable

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestAgainstMap does the same to a Table and to a map, with few hashes, so that
// entries collide, wrap and move back.
func TestAgainstMap(t *testing.T) {
	for _, hashes := range []uint32{1, 3, 40, 1 << 20} {
		r := rand.New(rand.NewPCG(1, uint64(hashes)))
		var tab Table
		want := map[uint32]uint32{} // reference to hash
		var refs []uint32
		for i := range uint32(20000) {
			if len(refs) > 0 && r.IntN(5) < 2 || len(refs) > 2000 {
				k := r.IntN(len(refs))
				tab.Remove(want[refs[k]], refs[k])
				delete(want, refs[k])
				refs[k] = refs[len(refs)-1]
				refs = refs[:len(refs)-1]
			} else {
				h := r.Uint32N(hashes) * 0x9e3779b1
				if r.IntN(2) == 0 {
					h |= 0xfffffff0 // homes at the table's end
				}
				tab.Insert(h, i)
				want[i] = h
				refs = append(refs, i)
			}
			if i%500 == 0 {
				same(t, &tab, want)
			}
		}
		if tab.Len() != len(want) {
			t.Fatalf("%d references, want %d", tab.Len(), len(want))
		}
		same(t, &tab, want)
	}
}

func same(t *testing.T, tab *Table, want map[uint32]uint32) {
	t.Helper()
	byHash := map[uint32][]uint32{}
	for ref, h := range want {
		byHash[h] = append(byHash[h], ref)
	}
	for h, refs := range byHash {
		var got []uint32
		for p := tab.Find(h); ; {
			ref, ok := p.Next()
			if !ok {
				break
			}
			got = append(got, ref)
		}
		slices.Sort(got)
		slices.Sort(refs)
		if !slices.Equal(got, refs) {
			t.Fatalf("hash %#x leads to %v, want %v", h, got, refs)
		}
	}
}

func TestReplace(t *testing.T) {
	var tab Table
	tab.Insert(7, 1)
	tab.Insert(7, 2)
	tab.Replace(7, 1, 9)
	p := tab.Find(7)
	a, _ := p.Next()
	b, _ := p.Next()
	if _, more := p.Next(); a != 9 || b != 2 || more {
		t.Errorf("hash leads to %d and %d, want 9 and 2", a, b)
	}
}

func TestArena(t *testing.T) {
	var a Arena[[3]int]
	var used []uint32
	for i := range 3 * chunk {
		n := a.New()
		if *a.At(n) != [3]int{} {
			t.Fatalf("record %d is not zero", n)
		}
		a.At(n)[0] = i
		used = append(used, n)
	}
	for i, n := range used {
		if a.At(n)[0] != i {
			t.Fatalf("record %d moved", n)
		}
		a.Free(n)
	}
	for range 3 * chunk {
		if n := a.New(); *a.At(n) != [3]int{} {
			t.Fatalf("freed record %d is not zero", n)
		}
	}
	if a.Cap() != 3*chunk || a.Len() != 3*chunk {
		t.Errorf("%d allocated, %d in use, want %d", a.Cap(), a.Len(), 3*chunk)
	}
}

func BenchmarkFind(b *testing.B) {
	var tab Table
	r := rand.New(rand.NewPCG(1, 2))
	hashes := make([]uint32, 1<<20)
	for i := range hashes {
		hashes[i] = r.Uint32()
		tab.Insert(hashes[i], uint32(i))
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		p := tab.Find(hashes[i*7919%len(hashes)])
		if _, ok := p.Next(); !ok {
			b.Fatal("lost")
		}
	}
}
