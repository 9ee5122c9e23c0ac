package clustertest_test

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/huddlecache/huddle/cluster/clustertest"
)

func TestDNS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := clustertest.NewNetwork(1)
		n.SetDNS("svc", a, b)
		expectLookup(t, n, a, "svc", a, b)
		expectLookup(t, n, a, "10.9.9.9", "10.9.9.9")
		expectLookup(t, n, a, "unknown")

		n.SetDNSFor(b, "svc", b)
		expectLookup(t, n, a, "svc", a, b)
		expectLookup(t, n, b, "svc", b)

		n.FailDNS(b, errors.New("no DNS today"))
		expectLookup(t, n, b, "svc")
		n.FailDNS(b, nil)
		expectLookup(t, n, b, "svc", b)
		n.ClearDNSFor(b)
		expectLookup(t, n, b, "svc", a, b)

		n.SetDNS("svc")
		_, err := n.Host(a).LookupHost(t.Context(), "svc")
		var dns *net.DNSError
		if !errors.As(err, &dns) || !dns.IsNotFound {
			t.Errorf("look-up of a removed name: %v, want not found", err)
		}
	})
}

func expectLookup(t *testing.T, n *clustertest.Network, host, name string, want ...string) {
	t.Helper()
	got, err := n.Host(host).LookupHost(t.Context(), name)
	if (err == nil) != (len(want) > 0) {
		t.Errorf("%s looks up %s: %v", host, name, err)
	}
	if !slices.EqualFunc(got, want, func(ip netip.Addr, s string) bool { return ip.String() == s }) {
		t.Errorf("%s looks up %s: got %v, want %v", host, name, got, want)
	}
}
