package statements

import "testing"

// What is added is read by another process, what is missing is named by both files, and what the
// index names is named again after each is read anew.
func TestStore(t *testing.T) {
	dir := t.TempDir()
	one, two := New(dir, "fleet", 100), New(dir, "fleet", 100)
	kept, plain := Entry{ID: ID{1}, Data: []byte("a"), Kept: true}, Entry{ID: ID{2}, Data: []byte("b")}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(one.Create([]Entry{kept}))
	must(one.Add([]Entry{plain}))
	must(one.Rewrite([]Entry{kept, plain}, []ID{{3}}))
	damaged, err := two.ReadIndex()
	must(err)
	c, err := two.Read()
	must(err)
	if damaged || c.Damaged || len(c.Statements) != 2 || len(c.Missing) != 1 || c.Missing[0] != (ID{3}) || two.Owner() != "fleet" {
		t.Errorf("%v %+v %q", damaged, c, two.Owner())
	}
	if !two.Names(ID{1}) || two.Names(ID{2}) || !two.Names(ID{3}) || two.Stale() || two.Count() != 4 {
		t.Errorf("%v, %d lines", two.Indexed(), two.Count())
	}
}
