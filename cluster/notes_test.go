package cluster_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/huddlecache/huddle/cluster"
	"github.com/huddlecache/huddle/cluster/clustertest"
	"github.com/huddlecache/huddle/cluster/machine"
)

// notes is a machine that keeps values, some for a time. A command
// "NAME VALUE MS" keeps a value, "number" takes a number, "emit" emits an event as well; a query for a name
// tells the value and how long it has left.
type notes struct{ all map[string]note }

type note struct {
	value string
	end   time.Duration
}

func newNotes() machine.Machine { return &notes{map[string]note{}} }

func (m *notes) Apply(tx *machine.Tx, cmd []byte) []byte {
	words := strings.Fields(string(cmd))
	if string(cmd) == "emit" {
		tx.Emit(machine.Event{Kind: 1})
	}
	if len(words) < 3 {
		return fmt.Append(nil, tx.Number())
	}
	name, value := words[0], words[1]
	ms, _ := strconv.ParseInt(words[2], 10, 64)
	end := time.Duration(0)
	if ms > 0 {
		end = tx.Lease + time.Duration(ms)*time.Millisecond
	}
	tx.Deadline([]byte(name), m.all[name].end, end)
	m.all[name] = note{value, end}
	return []byte("did")
}

func (m *notes) Expire(_ *machine.Tx, key []byte) { delete(m.all, string(key)) }

func (m *notes) Query(at machine.Stamp, name []byte) []byte {
	n, found := m.all[string(name)]
	switch {
	case !found, n.end != 0 && n.end <= at.Lease:
		return nil
	case n.end == 0:
		return []byte(n.value)
	}
	return fmt.Appendf(nil, "%s for %s", n.value, (n.end - at.Lease).Round(time.Second))
}

func (m *notes) Snapshot() io.WriterTo {
	var b bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(m.all)) {
		fmt.Fprintln(&b, name, m.all[name].value, int64(m.all[name].end))
	}
	return bytes.NewReader(b.Bytes())
}

func (m *notes) Restore(r io.Reader) error {
	b, err := io.ReadAll(r)
	for line := range strings.Lines(string(b)) {
		words := strings.Fields(line)
		if len(words) < 3 {
			return errors.New("malformed note")
		}
		end, err := strconv.ParseInt(words[2], 10, 64)
		if err != nil {
			return err
		}
		m.all[words[0]] = note{words[1], time.Duration(end)}
	}
	return err
}

func (m *notes) Rebase(tx *machine.Tx, shift time.Duration) {
	for _, name := range slices.Sorted(maps.Keys(m.all)) {
		n := m.all[name]
		n.end = machine.Shift(n.end, shift)
		m.all[name] = n
		tx.Deadline([]byte(name), 0, n.end)
	}
}

func (m *notes) Size() (n int64) {
	for name, note := range m.all {
		n += int64(len(name) + len(note.value) + 64)
	}
	return n
}

var noteFeatures = []cluster.Feature{{ID: 1, New: newNotes}}

// tell has a pod apply a command.
func tell(t *testing.T, p *clustertest.Pod, format string, args ...any) string {
	t.Helper()
	replies, _, err := p.Node.Log(1).Do(t.Context(), machine.Item{Data: fmt.Appendf(nil, format, args...)})
	if err != nil {
		t.Fatalf("telling %s: %v", p.Name, err)
	}
	return string(replies[0].Data)
}

// recall reads a name through a pod.
func recall(t *testing.T, p *clustertest.Pod, name string) string {
	t.Helper()
	reply, _, err := p.Node.Log(1).Query(t.Context(), machine.Linearizable, []byte(name))
	if err != nil {
		t.Fatalf("asking %s: %v", p.Name, err)
	}
	return string(reply)
}

// recallAll fails the test unless every pod, and every replica in time, gives
// the same answer.
func recallAll(t *testing.T, c *clustertest.Cluster, name, want string) {
	t.Helper()
	for _, p := range c.Pods() {
		if got := recall(t, p, name); got != want {
			t.Errorf("%s: %s is %q, want %q", p.Name, name, got, want)
		}
	}
}

func backUp(t *testing.T, p *clustertest.Pod) (backup []byte, info cluster.BackupInfo) {
	t.Helper()
	b, err := p.Node.Backup(t.Context())
	if err != nil {
		t.Fatalf("backing up through %s: %v", p.Name, err)
	}
	var buf bytes.Buffer
	if _, err := b.WriteTo(&buf); err != nil {
		t.Fatal(err)
	}
	read, err := cluster.VerifyBackup(bytes.NewReader(buf.Bytes()))
	if err != nil || read != b.BackupInfo {
		t.Fatalf("the backup says %+v, %v; want %+v", read, err, b.BackupInfo)
	}
	return buf.Bytes(), b.BackupInfo
}

// notLeader is a pod that does not lead.
func notLeader(t *testing.T, c *clustertest.Cluster) *clustertest.Pod {
	t.Helper()
	leader := c.Leader()
	for _, p := range c.Pods() {
		if p != leader && leader != nil {
			return p
		}
	}
	t.Fatal("there is no follower")
	return nil
}

func noteCluster(t *testing.T, o clustertest.Options) *clustertest.Cluster {
	t.Helper()
	o.Features = noteFeatures
	c := clustertest.New(t, o)
	c.Add(3)
	c.WaitReady(10 * time.Second)
	return c
}
