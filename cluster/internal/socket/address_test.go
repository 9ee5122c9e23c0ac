package socket

import (
	"net/netip"
	"testing"
)

func TestAddress(t *testing.T) {
	for _, test := range []struct {
		at   string
		is6  bool
		want bool
	}{
		{"127.0.0.1:80", false, true},
		{"127.0.0.1:80", true, true},
		{"[::ffff:10.1.2.3]:65535", false, true},
		{"[2001:db8::1]:1", true, true},
		{"[2001:db8::1]:1", false, false},
		{"[fe80::1%eth0]:1", true, false},
	} {
		at := netip.MustParseAddrPort(test.at)
		a, ok := addressOf(at, test.is6)
		if ok != test.want {
			t.Errorf("%v for IPv6 %v: got %v, want %v", at, test.is6, ok, test.want)
			continue
		}
		want := netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
		if got := a.addrPort(); ok && got != want {
			t.Errorf("%v for IPv6 %v: got %v back", at, test.is6, got)
		}
	}
	if _, ok := addressOf(netip.AddrPort{}, true); ok {
		t.Error("no address was taken for one")
	}
}

// Whatever the kernel says is some address or none, and what is one can be
// sent to.
func FuzzAddress(f *testing.F) {
	for _, at := range []string{"127.0.0.1:80", "[2001:db8::1]:1"} {
		a, _ := addressOf(netip.MustParseAddrPort(at), true)
		f.Add(a.bytes[:])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var a address
		copy(a.bytes[:], b)
		at := a.addrPort()
		back, ok := addressOf(at, true)
		if ok != at.IsValid() || ok && back.addrPort() != at {
			t.Errorf("%v: got %v, %v back", at, back.addrPort(), ok)
		}
	})
}
