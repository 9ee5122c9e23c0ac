package huddle

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// clientFields returns the fields of Config that hold addresses for clients.
func clientFields() []string { return []string{"RedisAddr", "HTTPAddr", "HealthAddr"} }

// An endpoint is one address that clients come to.
type endpoint struct {
	field   string // of Config
	network string // tcp or unix
	address string
}

// String returns the endpoint as it is written in a setting.
func (e endpoint) String() string {
	if e.network == "unix" {
		return "unix://" + e.address
	}
	return e.address
}

// isLocal reports whether only this machine's programs can reach it.
func (e endpoint) isLocal() bool {
	if e.network == "unix" {
		return true
	}
	host, _, _ := net.SplitHostPort(e.address)
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// endpoints parses one of the three settings that hold addresses. Only Redis
// clients come in through several, or through a socket in the file system.
func (c Config) endpoints(field string) ([]endpoint, error) {
	list := map[string]string{"RedisAddr": c.RedisAddr, "HTTPAddr": c.HTTPAddr, "HealthAddr": c.HealthAddr}[field]
	if list == Off {
		return nil, nil
	}
	var ends []endpoint
	for item := range strings.SplitSeq(list, ",") {
		item = strings.TrimSpace(item)
		if path, found := strings.CutPrefix(item, "unix://"); found && field == "RedisAddr" {
			if !strings.HasPrefix(path, "/") {
				return nil, setting(field, "%q is not unix:///path", item)
			}
			ends = append(ends, endpoint{field, "unix", path})
			continue
		}
		_, port, err := net.SplitHostPort(item)
		if _, notNumber := strconv.ParseUint(port, 10, 16); err != nil || notNumber != nil {
			return nil, setting(field, "%q is not host:port", item)
		}
		ends = append(ends, endpoint{field, "tcp", item})
	}
	if field != "RedisAddr" && len(ends) > 1 {
		return nil, setting(field, "one address only, and %q has %d", list, len(ends))
	}
	return ends, nil
}

// listen opens the endpoint. Its error names the setting and the way out.
func (e endpoint) listen(ctx context.Context) (net.Listener, error) {
	if e.network == "unix" {
		removeStaleSocket(ctx, e.address)
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, e.network, e.address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, setting(e.field, "%s: %w; stop the program that has it, or set another address", e, syscall.EADDRINUSE)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, setting(e.field, "%s: %w: it is none of this machine's; set one that is, or 0.0.0.0 for all", e, syscall.EADDRNOTAVAIL)
	case errors.Is(err, syscall.EACCES):
		return nil, setting(e.field, "%s: %w; set another address, or run as a user who may open it", e, syscall.EACCES)
	case err != nil:
		return nil, setting(e.field, "%s: %w; set an address of this machine", e, err)
	}
	return ln, nil
}

// doors are the open listeners of a node, by field of Config.
type doors map[string][]net.Listener

// openDoors opens all listeners before anything else is started: what most
// often keeps a node from starting is an address that is taken.
func (c Config) openDoors(ctx context.Context) (doors, error) {
	config, err := c.tlsConfig()
	if err != nil {
		return nil, err
	}
	opened := doors{}
	for _, field := range clientFields() {
		ends, err := c.endpoints(field)
		if err != nil {
			opened.close()
			return nil, err
		}
		for _, end := range ends {
			ln, err := end.listen(ctx)
			if err != nil {
				opened.close()
				return nil, err
			}
			if config != nil && field != "HealthAddr" && end.network != "unix" {
				ln = tls.NewListener(ln, config)
			}
			opened[field] = append(opened[field], ln)
		}
	}
	return opened, nil
}

func (d doors) close() {
	for _, listeners := range d {
		for _, ln := range listeners {
			_ = ln.Close()
		}
	}
}

func (d doors) addrs() map[string][]net.Addr {
	addrs := map[string][]net.Addr{}
	for field, listeners := range d {
		for _, ln := range listeners {
			addrs[field] = append(addrs[field], ln.Addr())
		}
	}
	return addrs
}

// removeStaleSocket removes what a killed node left behind. A socket that
// somebody answers, and whatever is not a socket, stays.
func removeStaleSocket(ctx context.Context, path string) {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != os.ModeSocket {
		return
	}
	dialer := net.Dialer{Timeout: time.Second}
	conn, err := dialer.DialContext(ctx, "unix", path)
	if err == nil {
		_ = conn.Close()
		return
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		_ = os.Remove(path) // Listen says what is wrong where this fails
	}
}
