package cluster_test

import (
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/huddlecache/huddle/cluster"
	"github.com/huddlecache/huddle/cluster/clustertest"
	"github.com/huddlecache/huddle/cluster/machine"
)

// counterMachine counts: a command adds its number, a query tells the sum.
type counterMachine struct{ sum uint64 }

func (m *counterMachine) Apply(_ *machine.Tx, cmd []byte) []byte {
	n, _ := strconv.ParseUint(string(cmd), 10, 64)
	m.sum += n
	return m.Query(machine.Stamp{}, nil)
}
func (m *counterMachine) Expire(*machine.Tx, []byte) {}
func (m *counterMachine) Query(machine.Stamp, []byte) []byte {
	return []byte(strconv.FormatUint(m.sum, 10))
}
func (m *counterMachine) Snapshot() io.WriterTo { return frozen(m.sum) }
func (m *counterMachine) Restore(r io.Reader) error {
	return binary.Read(r, binary.BigEndian, &m.sum)
}
func (m *counterMachine) Size() int64 { return 8 }

type frozen uint64

func (f frozen) WriteTo(w io.Writer) (int64, error) {
	return 8, binary.Write(w, binary.BigEndian, uint64(f))
}

func TestThreeNodesAgree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := clustertest.NewNetwork(1)
		net.SetDNS("huddle", "10.0.0.1", "10.0.0.2", "10.0.0.3")
		var nodes []*cluster.Node
		start := time.Now()
		logger := slog.New(slog.DiscardHandler)
		if os.Getenv("HUDDLE_DEBUG") != "" {
			logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
		}
		for i := range 3 {
			addr := "10.0.0." + strconv.Itoa(i+1)
			h := net.Host(addr)
			n, err := cluster.Open(t.Context(), cluster.Config{
				Name: "pod-" + strconv.Itoa(i), Join: []string{"huddle"}, Keys: [][]byte{make([]byte, 32)},
				Network: h, Bind: h.Addr(),
				Logger:   logger.With("node", i),
				Features: []cluster.Feature{{ID: 1, New: func() machine.Machine { return &counterMachine{} }}},
			})
			if err != nil {
				t.Fatal(err)
			}
			nodes = append(nodes, n)
		}
		defer func() {
			for _, n := range nodes {
				n.Kill()
			}
		}()
		for {
			ready := 0
			for _, n := range nodes {
				if n.Ready() == nil {
					ready++
				}
			}
			if ready == 3 {
				break
			}
			if time.Since(start) > 20*time.Second {
				t.Fatalf("not ready: %v %v %v\n%+v", nodes[0].Ready(), nodes[1].Ready(), nodes[2].Ready(), nodes[0].Status(t.Context()))
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Logf("ready after %s", time.Since(start))
		for i, n := range nodes {
			r, stamp, err := n.Log(1).Do(t.Context(), machine.Item{Data: []byte("2")})
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d: %s %+v", i, r[0].Data, stamp)
		}
		for _, n := range nodes {
			r, _, err := n.Log(1).Query(context.Background(), machine.Linearizable, nil)
			if err != nil || string(r) != "6" {
				t.Errorf("sum is %s, %v; want 6", r, err)
			}
		}
	})
}
