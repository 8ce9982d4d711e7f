package fold_test

import (
	"testing"

	"tcplife/internal/fold"
)

// TestMap: of equals the first stay, the heavier drive out the lighter, and no
// weight is lost.
func TestMap(t *testing.T) {
	const limit = 10
	f := fold.New[int](limit, func(v *uint64) uint64 { return *v })
	for k := range 100 {
		*f.At(k)++
		if k == 50 {
			*f.At(k) += 5
		}
	}
	list, rest := f.Sorted(func(a, b *uint64) int { return int(*b) - int(*a) })
	if len(list) != limit || *list[0] != 6 {
		t.Errorf("%d kept, the heaviest %d", len(list), *list[0])
	}
	var total uint64
	for _, v := range list {
		total += *v
	}
	if total+rest != 105 {
		t.Errorf("%d kept and %d dropped of 105", total, rest)
	}
	for k := range limit - 1 {
		if f.Has(k) == nil {
			t.Errorf("%d is gone", k)
		}
	}
}
