package snap_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/huddlecache/huddle/cluster/machine/snap"
)

var errCorrupt = errors.New("corrupt")

func TestPartsComeBack(t *testing.T) {
	long := strings.Repeat("x", 200<<10)
	b := []byte{7}
	for _, n := range []uint64{0, 127, 128, math.MaxUint64} {
		b = binary.AppendUvarint(b, n)
	}
	for _, s := range []string{"", "short", long} {
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	r := snap.NewReader(iotest.OneByteReader(bytes.NewReader(b)), errCorrupt)
	if got := r.Byte(); got != 7 {
		t.Errorf("got byte %d, want 7", got)
	}
	for _, want := range []uint64{0, 127, 128, math.MaxUint64} {
		if got := r.Uvarint(); got != want {
			t.Errorf("got %d, want %d", got, want)
		}
	}
	for _, want := range []string{"", "short", long} {
		if got := r.String(); got != want {
			t.Errorf("got %d bytes, want %d", len(got), len(want))
		}
	}
	if r.End(); r.Err() != nil {
		t.Error(r.Err())
	}
}

func TestWhatNobodyWroteIsCorrupt(t *testing.T) {
	uvarint := func(r *snap.Reader) { r.Uvarint() }
	for name, test := range map[string]struct {
		data string
		read func(*snap.Reader)
	}{
		"nothing":                {"", func(r *snap.Reader) { r.Byte() }},
		"half a number":          {"\x80", uvarint},
		"a number that is long":  {"\x80\x00", uvarint},
		"a number over 64 bits":  {strings.Repeat("\xff", 9) + "\x02", uvarint},
		"a number without end":   {strings.Repeat("\xff", 20), uvarint},
		"a number over its most": {"\x05", func(r *snap.Reader) { r.UvarintTo(4) }},
		"half a string":          {"\x05abc", func(r *snap.Reader) { r.Bytes() }},
		"a length that is a lie": {"\xff\xff\xff\xff\xff\xff\xff\xff\x7fabc", func(r *snap.Reader) { r.Bytes() }},
		"more than there is":     {"a", (*snap.Reader).End},
	} {
		r := snap.NewReader(strings.NewReader(test.data), errCorrupt)
		if test.read(r); !errors.Is(r.Err(), errCorrupt) {
			t.Errorf("%s: got %v, want %v", name, r.Err(), errCorrupt)
		}
		if got := r.Byte(); got != 0 {
			t.Errorf("%s: got byte %d after the error, want 0", name, got)
		}
	}
}

func TestErrorsOfTheReaderStay(t *testing.T) {
	errDisk := errors.New("disk")
	for _, read := range []func(*snap.Reader){func(r *snap.Reader) { r.Byte() }, func(r *snap.Reader) { r.Take(100 << 10) }, (*snap.Reader).End} {
		r := snap.NewReader(iotest.ErrReader(errDisk), errCorrupt)
		if read(r); !errors.Is(r.Err(), errDisk) || errors.Is(r.Err(), errCorrupt) {
			t.Errorf("got %v, want %v", r.Err(), errDisk)
		}
	}
}

func TestCounterCounts(t *testing.T) {
	c := &snap.Counter{To: io.Discard}
	for range 3 {
		if _, err := c.Write([]byte("four")); err != nil {
			t.Fatal(err)
		}
	}
	if c.N != 12 {
		t.Errorf("got %d, want 12", c.N)
	}
}
