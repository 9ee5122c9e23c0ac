package gossip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// lookupTimeout bounds one question to DNS.
const lookupTimeout = 2 * time.Second

// A target is one entry of Join, and what it last resolved to.
type target struct {
	host     string
	port     uint16
	addrs    []netip.AddrPort // of the last resolution that succeeded
	resolved time.Time        // when that was; zero if never
	err      error            // of the last resolution
}

// parseTargets reads host[:port] entries. An IPv6 address with a port stands
// in brackets.
func parseTargets(join []string, port uint16) ([]*target, error) {
	targets := make([]*target, 0, len(join))
	for _, entry := range join {
		t := &target{host: strings.Trim(entry, "[]"), port: port}
		_, err := netip.ParseAddr(t.host)
		if isLiteral := err == nil; !isLiteral && strings.Contains(entry, ":") {
			host, text, err := net.SplitHostPort(entry)
			if err != nil {
				return nil, fmt.Errorf("join %q: want host or host:port", entry)
			}
			number, err := strconv.ParseUint(text, 10, 16)
			if err != nil || number == 0 {
				return nil, fmt.Errorf("join %q: %q is no port", entry, text)
			}
			t.host, t.port = host, uint16(number)
		}
		if t.host == "" {
			return nil, fmt.Errorf("join %q: the host is missing", entry)
		}
		targets = append(targets, t)
	}
	return targets, nil
}

// lookup resolves a target's host.
func (t *target) lookup(ctx context.Context, network Network) ([]netip.AddrPort, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	ips, err := network.LookupHost(ctx, t.host)
	if err != nil {
		return nil, fmt.Errorf("resolving %s: %w", t.host, err)
	}
	if len(ips) == 0 {
		return nil, fmt.Errorf("resolving %s: %w", t.host, errNoAddress)
	}
	addrs := make([]netip.AddrPort, 0, len(ips))
	for _, ip := range ips {
		addrs = append(addrs, netip.AddrPortFrom(ip.Unmap().WithZone(""), t.port))
	}
	slices.SortFunc(addrs, netip.AddrPort.Compare)
	return slices.Compact(addrs), nil
}

var errNoAddress = errors.New("no address")
