package replica_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/huddlecache/huddle/cluster/internal/replica"
	"github.com/huddlecache/huddle/cluster/machine"
)

// timers is a machine that keeps names until their time has come. A command
// "NAME D" keeps a name for D nanoseconds, 0 for ever; "n" takes a number.
// A query lists what there is.
type timers struct{ ends map[string]time.Duration }

func newTimers() machine.Machine { return &timers{map[string]time.Duration{}} }

func (m *timers) Apply(tx *machine.Tx, cmd []byte) []byte {
	var name string
	var d time.Duration
	if !scan(cmd, "%s %d", &name, &d) {
		return fmt.Append(nil, tx.Number())
	}
	at := time.Duration(0)
	if d > 0 {
		at = tx.Lease + d
	}
	tx.Deadline([]byte(name), m.ends[name], at)
	m.ends[name] = at
	return nil
}

func (m *timers) Expire(_ *machine.Tx, key []byte) { delete(m.ends, string(key)) }

func (m *timers) Query(machine.Stamp, []byte) []byte {
	var b bytes.Buffer
	_, _ = m.Snapshot().WriteTo(&b)
	return b.Bytes()
}

func (m *timers) Snapshot() io.WriterTo {
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(m.ends)) {
		lines = append(lines, fmt.Sprintf("%s %d", name, m.ends[name]))
	}
	return strings.NewReader(strings.Join(lines, ","))
}

func (m *timers) Restore(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil || len(b) == 0 {
		return err
	}
	for line := range strings.SplitSeq(string(b), ",") {
		var name string
		var at time.Duration
		if !scan([]byte(line), "%s %d", &name, &at) {
			return fmt.Errorf("line %q", line)
		}
		m.ends[name] = at
	}
	return nil
}

func (m *timers) Rebase(tx *machine.Tx, shift time.Duration) {
	for _, name := range slices.Sorted(maps.Keys(m.ends)) {
		m.ends[name] = machine.Shift(m.ends[name], shift)
		tx.Deadline([]byte(name), 0, m.ends[name])
	}
}

func (m *timers) Size() (n int64) {
	for name := range m.ends {
		n += int64(len(name))
	}
	return n
}

const timersID = 2

// restoreConfig has a machine that is no Rebaser, and one that is.
func restoreConfig(failed chan error) replica.Config {
	cfg := config(failed)
	cfg.Features = append(cfg.Features, replica.Factory{ID: timersID, New: newTimers})
	return cfg
}

// A pair of replicas that are driven alike, of which one is now and then
// replaced by what its snapshot holds.
type pair struct {
	*world
	twin   *replica.Replica
	origin uint64
	number uint64
}

func newPair(t *testing.T) *pair {
	t.Helper()
	p := &pair{world: &world{t: t, term: 1, failed: make(chan error, 2)}}
	p.r, p.twin = replica.New(restoreConfig(p.failed)), replica.New(restoreConfig(p.failed))
	p.configure("a", "b", "c")
	p.twin.ApplyBatch([]*raft.Log{p.configuration("a", "b", "c")})
	p.begin()
	p.mirror(replica.Begin{Term: 1, Founding: founding()}.Append(nil))
	p.origin = p.openBoth("a", 1)
	return p
}

func founding() *replica.Founding {
	return &replica.Founding{Cluster: "c1", Seed: [16]byte{1}, Number: 100, Wall: 5000, Level: 1}
}

// configuration is the entry that configure has applied last.
func (p *pair) configuration(servers ...string) *raft.Log {
	var c raft.Configuration
	for _, id := range servers {
		c.Servers = append(c.Servers, raft.Server{ID: raft.ServerID(id), Address: raft.ServerAddress(id)})
	}
	return &raft.Log{Index: p.index, Term: p.term, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(c)}
}

// mirror has the twin apply what the replica has applied last.
func (p *pair) mirror(data []byte) any {
	return p.twin.Apply(&raft.Log{Index: p.index, Term: p.term, Type: raft.LogCommand, Data: data})
}

func (p *pair) openBoth(server string, nonce uint64) uint64 {
	p.t.Helper()
	id := p.open(server, nonce)
	p.mirror(replica.Open{Term: p.term, Server: server, Nonce: nonce}.Append(nil))
	return id
}

// do applies items at a lease time on both and returns the replies.
func (p *pair) do(lease time.Duration, items ...replica.Item) []machine.Reply {
	p.t.Helper()
	p.number++
	b := replica.Batch{Origin: p.origin, Lane: replica.LaneLarge, Number: p.number, Items: items}
	entry := replica.Work{Term: p.term, Lease: lease, Wall: 5000 + lease, Batches: [][]byte{b.Append(nil)}}
	data := entry.Append(nil)
	result, ok := p.apply(data).(replica.WorkResult)
	if !ok {
		p.t.Fatal("a Work entry has no WorkResult")
	}
	p.mirror(data)
	clear(data) // it was borrowed
	return result.Batches[0].Replies
}

func (p *pair) tell(lease time.Duration, feature uint8, cmd string) string {
	p.t.Helper()
	replies := p.do(lease, replica.Item{Feature: feature, Item: machine.Item{Data: []byte(cmd)}})
	return string(replies[0].Data)
}

// send applies an item of a restore.
func (p *pair) send(lease time.Duration, it replica.Item) replica.RestoreReply {
	p.t.Helper()
	reply, err := replica.ParseRestoreReply(p.do(lease, it)[0].Data)
	if err != nil {
		p.t.Fatal(err)
	}
	return reply
}

// stage sends a backup in pieces of so many bytes.
func (p *pair) stage(lease time.Duration, id string, backup []byte, size int) {
	p.t.Helper()
	offset := int64(0)
	for piece := range slices.Chunk(backup, size) {
		if got := p.send(lease, replica.RestorePiece(id, offset, piece)); got.Status != replica.RestoreDone {
			p.t.Fatalf("piece at %d has status %d", offset, got.Status)
		}
		offset += int64(len(piece))
	}
}

func (p *pair) commit(lease time.Duration, id string, backup []byte) replica.RestoreReply {
	p.t.Helper()
	hash := [sha256.Size]byte(backup[len(backup)-sha256.Size:])
	return p.send(lease, replica.RestoreCommit(id, int64(len(backup)), hash))
}

func (p *pair) backup(now machine.Stamp) []byte {
	p.t.Helper()
	frozen, err := p.r.Backup(now)
	if err != nil {
		p.t.Fatal(err)
	}
	var b bytes.Buffer
	if n, err := frozen.WriteTo(&b); err != nil || n != int64(b.Len()) {
		p.t.Fatalf("WriteTo = %d, %v; wrote %d", n, err, b.Len())
	}
	return b.Bytes()
}

// reload replaces the twin by what its snapshot holds.
func (p *pair) reload() {
	p.t.Helper()
	fresh := replica.New(restoreConfig(p.failed))
	if err := fresh.Load(p.twin.Bytes()); err != nil {
		p.t.Fatal(err)
	}
	p.twin = fresh
}

// state is what the two features hold.
func (p *pair) state() string {
	p.t.Helper()
	replies, _, _ := p.r.Read(machine.Stamp{}, []replica.Query{{Feature: feature}, {Feature: timersID}})
	lines, _, _ := strings.Cut(string(replies[0].Data), " at ")
	return lines + " | " + string(replies[1].Data)
}

func (p *pair) check(want string) {
	p.t.Helper()
	if got := p.state(); got != want {
		p.t.Errorf("state is %q, want %q", got, want)
	}
	if !bytes.Equal(p.r.Bytes(), p.twin.Bytes()) {
		p.t.Error("the twin differs")
	}
	if got, want := p.twin.Size(), p.r.Size(); got != want {
		p.t.Errorf("the twin's size is %d, want %d", got, want)
	}
	select {
	case err := <-p.failed:
		p.t.Fatalf("a replica has failed: %v", err)
	default:
	}
}

// filled has something to back up: taken at 100, "soon" has 50 left.
func filled(t *testing.T) (p *pair, backup []byte) {
	t.Helper()
	p = newPair(t)
	p.tell(100, feature, "x")
	p.tell(100, timersID, "soon 50")
	p.tell(100, timersID, "ever 0")
	p.check("x | ever 0,soon 150")
	return p, p.backup(machine.Stamp{})
}
