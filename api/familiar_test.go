package api

import (
	"fmt"
	"testing"
)

func TestFamiliar(t *testing.T) {
	t.Parallel()
	f := newFamiliar()
	if f.has("") || f.has("a") {
		t.Error("knows what it was never told")
	}
	f.add("a")
	f.add("b")
	if !f.has("a") || !f.has("b") || f.has("c") || newFamiliar().has("a") {
		t.Error("does not tell secrets apart")
	}
	last := "b"
	for i := 0; f.has("a"); i++ { // until one shares its slot
		last = fmt.Sprint(i)
		f.add(last)
	}
	if !f.has(last) {
		t.Error("the later of two in a slot does not stay")
	}
}
