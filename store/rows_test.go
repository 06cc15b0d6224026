package store

import "testing"

// TestPortions: however many rows there are, few statements take them, and those that
// there are of one kind, which are all kept, do not have many rows together.
func TestPortions(t *testing.T) {
	sizes, rows := map[int]bool{}, 0
	for n := 1; n <= 4*maxRows; n++ {
		statements := 0
		for left := n; left > 0; statements++ {
			size := portion(left)
			if size < 1 || size > left || size > maxRows {
				t.Fatalf("%d of %d rows", size, left)
			}
			if left -= size; !sizes[size] {
				sizes[size] = true
				rows += size
			}
		}
		if n <= fewRows && statements != 1 || n <= someRows && statements > 2 || statements > 4+n/maxRows {
			t.Errorf("%d rows take %d statements", n, statements)
		}
	}
	if rows > 1400 {
		t.Errorf("%d statements of %d rows together", len(sizes), rows)
	}
}
