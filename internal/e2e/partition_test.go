package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// cutter drops packets between addresses of the loopback network with
// nftables, in a table of its own. Dropping them where they arrive makes them
// vanish; where they leave, the sender would be told.
type cutter struct {
	t     *testing.T
	table string
}

var cutters atomic.Int64 // so that tables have different names

// newCutter returns nil and why where packets cannot be dropped. Where nft is
// there and the kernel does not let it, as in most containers, nothing that
// could be installed is missing: that is no failure even where HUDDLE_E2E says
// that all tools must be there.
func newCutter(t *testing.T) (c *cutter, why string) {
	t.Helper()
	if _, err := exec.LookPath("nft"); err != nil {
		why = "nft is missing: install the package nftables"
		if isRequired() {
			missing(t, why)
		}
		return nil, why
	}
	c = &cutter{t: t, table: fmt.Sprintf("huddle_e2e_%d_%d", os.Getpid(), cutters.Add(1))}
	out, err := c.nft(`table ip %[1]s {
		set cut { type ipv4_addr . ipv4_addr; }
		chain arriving {
			type filter hook input priority 0; policy accept;
			ip saddr . ip daddr @cut drop
		}
	}`, c.table)
	if err != nil {
		return nil, fmt.Sprintf("nft cannot make a table (it needs root): %v: %s", err, out)
	}
	t.Cleanup(func() { c.nft("delete table ip %s", c.table) })
	return c, ""
}

func (c *cutter) nft(format string, args ...any) (string, error) {
	cmd := exec.Command("nft", "-f", "-")
	cmd.Stdin = strings.NewReader(fmt.Sprintf(format, args...) + "\n")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// cut drops all that goes between n and the others, in both directions;
// clients, which come from 127.0.0.1, still reach all.
func (c *cutter) cut(n *node, others []*node) {
	c.t.Helper()
	for _, other := range others {
		if other == n {
			continue
		}
		out, err := c.nft("add element ip %[1]s cut { %[2]s . %[3]s, %[3]s . %[2]s }", c.table, n.addr, other.addr)
		if err != nil {
			c.t.Fatalf("cutting: %v: %s", err, out)
		}
	}
}

// heal lets everything through again.
func (c *cutter) heal() {
	c.t.Helper()
	if out, err := c.nft("flush set ip %s cut", c.table); err != nil {
		c.t.Fatalf("healing: %v: %s", err, out)
	}
}

// TestCutDrops shows that a cut is one, and that it ends.
func TestCutDrops(t *testing.T) {
	needsProcesses(t)
	w := newWorld(t, false)
	c, why := newCutter(t)
	if c == nil {
		t.Skipf("SKIPPED: %s", why)
	}
	a, b := &node{addr: w.address(1), p: w.p}, &node{addr: w.address(2), p: w.p}
	listener, err := net.Listen("tcp", b.peerAddr())
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	dial := func(from *node) error {
		dialer := net.Dialer{Timeout: 300 * time.Millisecond}
		if from != nil {
			dialer.LocalAddr = &net.TCPAddr{IP: from.addr.AsSlice()}
		}
		conn, err := dialer.Dial("tcp", b.peerAddr())
		if err == nil {
			conn.Close()
		}
		return err
	}
	for _, step := range []struct {
		name string
		act  func()
		from *node
		want bool
	}{
		{"whole", func() {}, a, true},
		{"cut", func() { c.cut(a, []*node{b}) }, a, false},
		{"cut, client", func() {}, nil, true},
		{"healed", c.heal, a, true},
	} {
		step.act()
		if err := dial(step.from); (err == nil) != step.want {
			t.Errorf("%s: got %v, want success %v", step.name, err, step.want)
		}
	}
}
