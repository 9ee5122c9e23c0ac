package gossip

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/hashicorp/memberlist"
)

// golden is what every release must go on to read.
var golden = []byte("\x01\x1f\x0b\x05\x00\x00\x00\x07\x02c1\x050.1.0\x05pod-1")

func TestMetaFormat(t *testing.T) {
	m := Meta{ID: "n1", Name: "pod-1", PeerPort: 7947, Cluster: "c1", Version: "0.1.0", Level: 7, Flags: Durable | Ready}
	got, err := m.encode()
	if err != nil || !bytes.Equal(got, golden) {
		t.Errorf("encoded %q, %v; want %q", got, err, golden)
	}
	later := append(bytes.Clone(golden), "a field of a later release"...)
	for _, b := range [][]byte{golden, later} {
		if got, err := parseMeta("n1", b); got != m || err != nil {
			t.Errorf("decoded %+v, %v; want %+v", got, err, m)
		}
	}
}

func TestMetaRefuses(t *testing.T) {
	for length := range len(golden) {
		if got, err := parseMeta("n1", golden[:length]); !errors.Is(err, ErrMeta) {
			t.Errorf("first %d bytes: %+v, %v; want ErrMeta", length, got, err)
		}
	}
	other := append([]byte{2}, golden[1:]...)
	if _, err := parseMeta("n1", other); !errors.Is(err, ErrMeta) {
		t.Errorf("format 2: %v, want ErrMeta", err)
	}
	for _, id := range []string{"", strings.Repeat("x", maxID+1)} {
		if _, err := parseMeta(id, golden); !errors.Is(err, ErrMeta) {
			t.Errorf("ID %q: %v, want ErrMeta", id, err)
		}
	}
}

func TestMetaOfLongTextsFits(t *testing.T) {
	long := strings.Repeat("ü", 1000)
	m := Meta{ID: "n1", Name: "x" + long, Version: long, Cluster: strings.Repeat("c", maxCluster)}
	b, err := m.encode()
	if err != nil || len(b) > memberlist.MetaMaxSize {
		t.Fatalf("encoded %d bytes, %v; want at most %d", len(b), err, memberlist.MetaMaxSize)
	}
	got, err := parseMeta("n1", b)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Name) != 255 || !utf8.ValidString(got.Name) || !strings.HasPrefix(m.Name, got.Name) {
		t.Errorf("name became %d bytes, %q", len(got.Name), got.Name)
	}
	if len(got.Version) != 64 || !utf8.ValidString(got.Version) {
		t.Errorf("version became %d bytes, %q", len(got.Version), got.Version)
	}
}

func FuzzMeta(f *testing.F) {
	f.Add(golden)
	f.Add([]byte{})
	f.Add([]byte("\x01\x00\x00\x00\x00\x00\x00\x00\x41\x00\x00"))
	f.Add([]byte("\x01\x00\x00\x00\x00\x00\x00\x00\x00\x01\xff\x01\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseMeta("n1", b)
		if err != nil {
			return
		}
		encoded, err := m.encode()
		if err != nil || len(encoded) > memberlist.MetaMaxSize {
			t.Fatalf("%+v encodes to %d bytes, %v", m, len(encoded), err)
		}
		valid := utf8.ValidString(m.Name) && utf8.ValidString(m.Version)
		if valid && !bytes.HasPrefix(b, encoded) {
			t.Errorf("%q became %q", b, encoded)
		}
		if again, err := parseMeta("n1", encoded); err != nil || valid && again != m {
			t.Errorf("%+v became %+v, %v", m, again, err)
		}
	})
}
