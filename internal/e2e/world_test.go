package e2e

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// world is one service: its DNS name, the nodes behind it, and the list of
// those that a load balancer would send clients to.
type world struct {
	t       *testing.T
	dns     *headless
	key     string
	block   [2]byte // the nodes' addresses are 127.block.1 and so on
	p       ports
	durable bool
	logs    string // directory
	made    int    // nodes made so far; names and addresses are never used again

	mu    sync.Mutex // guards nodes
	nodes []*node    // those in service
}

// newWorld makes an empty world on free addresses.
func newWorld(t *testing.T, durable bool) *world {
	t.Helper()
	needsProcesses(t)
	w := &world{t: t, dns: startHeadless(t), key: newKey(), durable: durable, logs: t.TempDir()}
	if dir := os.Getenv("HUDDLE_E2E_LOGS"); dir != "" {
		w.logs = filepath.Join(dir, strings.ReplaceAll(t.Name(), "/", "_"))
		if err := os.MkdirAll(w.logs, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	w.block = [2]byte{byte(1 + mathrand.IntN(250)), byte(mathrand.IntN(256))}
	w.p = freePorts(t, w.address(1))
	return w
}

func newKey() string {
	key := make([]byte, 32)
	rand.Read(key)
	return base64.StdEncoding.EncodeToString(key)
}

func (w *world) address(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{127, w.block[0], w.block[1], byte(n)})
}

// freePorts finds ports below the range that the kernel gives to outgoing
// connections, so that nothing takes them before the nodes do.
func freePorts(t *testing.T, addr netip.Addr) ports {
	t.Helper()
	for range 100 {
		base := 10000 + mathrand.IntN(20000)
		if slices.ContainsFunc([]int{0, 1, 2, 3}, func(i int) bool { return !isFree(addr, base+i) }) {
			continue
		}
		return ports{gossip: base, peer: base + 1, redis: base + 2, http: base + 3}
	}
	t.Fatalf("no free ports on %v", addr)
	return ports{}
}

func isFree(addr netip.Addr, port int) bool {
	listener, err := net.Listen("tcp", hostPort(addr, port))
	if err != nil {
		return false
	}
	listener.Close()
	packets, err := net.ListenPacket("udp", hostPort(addr, port))
	if err != nil {
		return false
	}
	packets.Close()
	return true
}

// startNodes founds a cluster of count nodes and waits until all are ready.
func startNodes(t *testing.T, count int, durable bool) *world {
	t.Helper()
	w := newWorld(t, durable)
	begin := time.Now()
	var nodes []*node
	for range count {
		nodes = append(nodes, w.add())
	}
	for _, n := range nodes {
		n.waitReady(60 * time.Second)
		w.serve(n)
	}
	t.Logf("%d nodes ready after %v", count, time.Since(begin).Round(10*time.Millisecond))
	return w
}

// replacement starts a new pod, waits until it is ready and takes it into
// service. It returns how long that took.
func (w *world) replacement() time.Duration {
	w.t.Helper()
	n := w.add()
	took := n.waitReady(60 * time.Second)
	w.serve(n)
	return took
}

// add starts a new pod with a new name and address.
func (w *world) add(env ...string) *node {
	w.t.Helper()
	w.made++
	n := &node{t: w.t, name: "pod-" + strconv.Itoa(w.made), p: w.p}
	if w.durable {
		n.dir = filepath.Join(w.t.TempDir(), "data")
	}
	n.log = filepath.Join(w.logs, n.name+".log")
	w.place(n, w.made, env...)
	w.t.Cleanup(func() {
		if w.t.Failed() {
			w.t.Logf("%s at %v wrote at last:\n%s", n.name, n.addr, n.tail(40))
			if n.alive() && os.Getenv("HUDDLE_E2E_LOGS") != "" {
				n.dump()
			}
		}
	})
	return n
}

// place starts the node at the address with the given number, known to DNS as
// a pod is before it is ready.
func (w *world) place(n *node, number int, env ...string) {
	w.t.Helper()
	n.addr = w.address(number)
	n.env = append(cleanEnv(),
		"HUDDLE_NAME="+n.name,
		"HUDDLE_JOIN="+serviceName+":"+strconv.Itoa(w.p.gossip),
		"HUDDLE_DNS="+w.dns.addr,
		"HUDDLE_KEY="+w.key,
		"HUDDLE_BIND="+n.addr.String(),
		"HUDDLE_ADVERTISE="+n.addr.String(),
		"HUDDLE_GOSSIP_PORT="+strconv.Itoa(w.p.gossip),
		"HUDDLE_PEER_PORT="+strconv.Itoa(w.p.peer),
		"HUDDLE_REDIS_ADDR="+n.redisAddr(),
		"HUDDLE_HTTP_ADDR="+n.httpAddr(),
		"HUDDLE_DATA_DIR="+n.dir,
	)
	n.env = append(n.env, env...)
	w.dns.add(n.addr)
	n.start()
}

// cleanEnv returns the environment without the settings of these tests, which
// the program would refuse.
func cleanEnv() []string {
	return slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, "HUDDLE_") })
}

// serve puts the node into service, remove takes it out.
func (w *world) serve(n *node) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.nodes = append(w.nodes, n)
}

func (w *world) remove(n *node) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.nodes = slices.DeleteFunc(slices.Clone(w.nodes), func(other *node) bool { return other == n })
}

// inService returns the nodes that clients are sent to.
func (w *world) inService() []*node {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.nodes)
}

// kill ends a node as a crash of its machine does: the load balancer and DNS
// learn of it afterwards.
func (w *world) kill(n *node) {
	n.kill()
	w.remove(n)
	w.dns.remove(n.addr)
}

// stop ends a node in order, as Kubernetes does: it leaves its Service at the
// moment it gets SIGTERM, and DNS when it has ended.
func (w *world) stop(n *node) time.Duration {
	w.t.Helper()
	w.remove(n)
	took := n.terminate()
	w.dns.remove(n.addr)
	return took
}

// leader waits until a node in service knows a leader with a quorum, and
// returns the leader's node.
func (w *world) leader(limit time.Duration) *node {
	w.t.Helper()
	var last error
	for begin := time.Now(); time.Since(begin) < limit; time.Sleep(20 * time.Millisecond) {
		nodes := w.inService()
		for _, n := range nodes {
			s, err := n.status()
			if err != nil {
				last = err
				continue
			}
			last = fmt.Errorf("%s sees leader %q, quorum %v, problems %q", n.name, s.Leader, s.Quorum, s.Problems)
			if !s.Quorum {
				continue
			}
			for _, m := range s.Members {
				i := slices.IndexFunc(nodes, func(n *node) bool { return n.peerAddr() == m.Address })
				if m.ID == s.Leader && i >= 0 {
					return nodes[i]
				}
			}
		}
	}
	w.t.Fatalf("no leader in %v: %v", limit, last)
	return nil
}

// otherLeader waits until the nodes but one take writes again, and have a
// leader of their own. It returns how long they took no writes.
func (w *world) otherLeader(than *node, limit time.Duration) time.Duration {
	w.t.Helper()
	begin := time.Now()
	others := slices.DeleteFunc(w.inService(), func(n *node) bool { return n == than })
	client := newCaller(w, 0)
	defer client.close()
	var took time.Duration
	eventually(w.t, limit, func() error {
		_, err := client.on(others[0], "SET", "other-leader", "1")
		took = time.Since(begin)
		return err
	})
	s, err := others[0].status()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, m := range s.Members {
		if m.ID == s.Leader && m.Address == than.peerAddr() {
			w.t.Fatalf("%s still leads after %v: it is not cut off (do nodes dial from HUDDLE_BIND?)", than.name, took)
		}
	}
	return took
}

// waitWhole waits until all nodes in service vote, as they see it themselves,
// so that the next fault meets a cluster that has got over the last one.
func (w *world) waitWhole(limit time.Duration) time.Duration {
	w.t.Helper()
	begin := time.Now()
	nodes := w.inService()
	eventually(w.t, limit, func() error {
		for _, n := range nodes {
			s, err := n.status()
			if err != nil {
				return err
			}
			voters := 0
			for _, m := range s.Members {
				isVoter := m.Role == "leader" || m.Role == "voter"
				if isVoter && slices.ContainsFunc(nodes, func(n *node) bool { return n.peerAddr() == m.Address }) {
					voters++
				}
			}
			if voters != len(nodes) || !s.Quorum || s.Leader == "" {
				return fmt.Errorf("%s sees %+v", n.name, s)
			}
		}
		return nil
	})
	return time.Since(begin)
}

// eventually waits until check returns nil.
func eventually(t *testing.T, limit time.Duration, check func() error) {
	t.Helper()
	var err error
	for begin := time.Now(); time.Since(begin) < limit; time.Sleep(50 * time.Millisecond) {
		if err = check(); err == nil {
			return
		}
	}
	t.Fatalf("after %v: %v", limit, err)
}
