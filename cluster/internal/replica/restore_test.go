package replica_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/huddlecache/huddle/cluster/internal/replica"
	"github.com/huddlecache/huddle/cluster/machine"
)

func TestARestoreBringsBackWhatWas(t *testing.T) {
	for _, size := range []int{1, 7, 1 << 10} {
		p, backup := filled(t)
		p.tell(200, feature, "y")
		p.tell(200, timersID, "other 1000")
		p.check("x,y | ever 0,other 1200")
		p.stage(1000, "r", backup, size)
		p.check("x,y | ever 0,other 1200") // nothing changes before the commit
		p.reload()
		if got := p.commit(1000, "r", backup); got != (replica.RestoreReply{Index: p.index}) {
			t.Fatalf("commit = %+v, want it done at %d", got, p.index)
		}
		p.check("x | ever 0,soon 1050")
		p.reload()
		p.check("x | ever 0,soon 1050")
		p.tell(1049, feature, "d k 2000")
		p.check("x,d k 2000 | ever 0,soon 1050")
		p.tell(1050, feature, "z")
		p.check("x,d k 2000,z | ever 0")
	}
}

func TestDeadlinesOfWhatWasReplacedAreGone(t *testing.T) {
	p, backup := filled(t)
	before := p.r.Size()
	p.tell(200, feature, "d k 500")
	p.tell(200, timersID, "soon 700")
	p.stage(300, "r", backup, 1<<10)
	p.commit(300, "r", backup)
	if at, found := p.r.NextDeadline(); !found || at != 350 {
		t.Errorf("next deadline is %d %v, want 350", at, found)
	}
	const reply = 2 // the last one, which is remembered, is longer than it was
	if after := p.r.Size(); after != before+reply {
		t.Errorf("size is %d after the restore, want %d", after, before+reply)
	}
	p.tell(1000, timersID, "n")
	p.check("x | ever 0")
}

func TestACommitMeansOneBackup(t *testing.T) {
	p, backup := filled(t)
	hash := [sha256.Size]byte(backup[len(backup)-sha256.Size:])
	p.stage(300, "r", backup, 1<<10)
	if got := p.send(300, replica.RestoreCommit("r", int64(len(backup))+1, hash)); got.Status != replica.RestoreDamaged {
		t.Errorf("a commit of another size has status %d, want %d", got.Status, replica.RestoreDamaged)
	}
	p.stage(300, "r", backup, 1<<10)
	if got := p.commit(300, "s", backup); got.Status != replica.RestoreGone {
		t.Errorf("a commit of another restore has status %d, want %d", got.Status, replica.RestoreGone)
	}
	if got := p.commit(300, "r", backup); got.Status != replica.RestoreDone {
		t.Errorf("the commit has status %d, want %d", got.Status, replica.RestoreDone)
	}
}

func TestTheTimeOfABackupIsTheLeaders(t *testing.T) {
	p, _ := filled(t)
	late := p.backup(machine.Stamp{Lease: 120, Wall: 7000}) // of an idle cluster
	f, err := replica.VerifyBackup(bytes.NewReader(late))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := f.Stamp, (machine.Stamp{Cluster: "c1", Index: p.index, Lease: 120, Wall: 7000, Level: 1}); got != want {
		t.Errorf("it is of %+v, want %+v", got, want)
	}
	p.stage(1000, "r", late, 100)
	p.commit(1000, "r", late)
	p.check("x | ever 0,soon 1030")
}

func TestARestoreGoesOnWithTheClusterItIsIn(t *testing.T) {
	p, backup := filled(t)
	keyed := replica.Item{Feature: feature, Item: machine.Item{Data: []byte("once"), Idem: "key"}}
	p.do(200, keyed)
	before := p.tell(200, timersID, "n")
	p.stage(300, "r", backup, 100)
	done := p.commit(300, "r", backup)
	if after := p.tell(300, timersID, "n"); after <= before {
		t.Errorf("the number source gave %s after %s", after, before)
	}
	if got := p.do(300, keyed)[0]; string(got.Data) != "did once" {
		t.Errorf("the idempotency key is answered with %q %v", got.Data, got.Err)
	}
	p.check("x | ever 0,soon 350") // and not done again
	if again := p.commit(300, "r", backup); again != done {
		t.Errorf("a repeated commit = %+v, want %+v", again, done)
	}
	p.check("x | ever 0,soon 350")
	if stamp := p.r.Stamp(); stamp.Lease != 300 || stamp.Cluster != "c1" {
		t.Errorf("stamp is %+v after the restore", stamp)
	}
}

func TestARestoreRaisesTheNumberSource(t *testing.T) {
	p, _ := filled(t)
	for range 50 {
		p.tell(100, timersID, "n")
	}
	backup := p.backup(machine.Stamp{})
	fresh := newPair(t)
	fresh.stage(1, "r", backup, 100)
	fresh.commit(1, "r", backup)
	if got := fresh.tell(1, timersID, "n"); got != "151" {
		t.Errorf("the number source gave %s, want 151: one more than the backup's", got)
	}
	fresh.check("x | ever 0,soon 51")
}

func TestSubscribersLookAgainAfterARestore(t *testing.T) {
	p, backup := filled(t)
	var got []string
	for _, id := range []uint8{feature, timersID} {
		defer p.r.Subscribe(id, func(e machine.Event) { got = append(got, fmt.Sprint(id, e.Reset)) })()
	}
	p.stage(300, "r", backup, 100)
	p.commit(300, "r", backup)
	p.commit(300, "r", backup)
	if want := []string{"1 true", "2 true"}; !slices.Equal(got, want) {
		t.Errorf("events are %q, want %q", got, want)
	}
}

// What is not the backup that was meant changes nothing, and does not stay
// staged.
func TestABackupThatCannotBeRestored(t *testing.T) {
	seal := func(b []byte) []byte {
		sum := sha256.Sum256(b)
		return append(b, sum[:]...)
	}
	flip := func(b []byte, i int) []byte {
		b = bytes.Clone(b)
		b[i] ^= 0x40
		return b
	}
	for _, test := range []struct {
		name   string
		change func(backup []byte) (staged, committed []byte)
		want   replica.RestoreStatus
		err    error // of TryRestore
	}{
		{"cut", func(b []byte) (_, _ []byte) { return b[:len(b)-1], b }, replica.RestoreDamaged, replica.ErrDamaged},
		{"empty but for its end", func(b []byte) (_, _ []byte) { return b[:5], b[:64] }, replica.RestoreDamaged, replica.ErrDamaged},
		{"another hash", func(b []byte) (_, _ []byte) { return b, flip(b, len(b)-1) }, replica.RestoreDamaged, nil},
		{"a changed byte", func(b []byte) (_, _ []byte) { return flip(b, 60), b }, replica.RestoreDamaged, replica.ErrDamaged},
		{"something behind it", func(b []byte) (_, _ []byte) {
			return append(bytes.Clone(b), 0), append(bytes.Clone(b), 0)
		}, replica.RestoreDamaged, replica.ErrDamaged},
		{"a section of a feature that is not known", func(b []byte) (_, _ []byte) {
			b = bytes.Clone(b[:len(b)-sha256.Size-1])
			b = seal(append(b, 7, 1, 'x', 0, 255))
			return b, b
		}, replica.RestoreNewer, replica.ErrNewer},
		{"sections out of order", func(b []byte) (_, _ []byte) {
			b = bytes.Clone(b[:len(b)-sha256.Size-1])
			b = seal(append(b, 1, 1, 'x', 0, 255))
			return b, b
		}, replica.RestoreDamaged, replica.ErrDamaged},
		{"a section that its machine does not take", func(b []byte) (_, _ []byte) {
			b = bytes.Replace(b[:len(b)-sha256.Size], []byte("ever 0"), []byte("ever x"), 1)
			b = seal(b)
			return b, b
		}, replica.RestoreDamaged, replica.ErrDamaged},
		{"a newer format", func(b []byte) (_, _ []byte) {
			b = bytes.Clone(b[:len(b)-sha256.Size])
			b[4] = 2
			b = seal(b)
			return b, b
		}, replica.RestoreNewer, replica.ErrNewer},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, backup := filled(t)
			before := p.r.Size()
			staged, committed := test.change(backup)
			if _, err := p.r.TryRestore(bytes.NewReader(staged)); !errors.Is(err, test.err) {
				t.Errorf("TryRestore: %v, want %v", err, test.err)
			}
			p.stage(110, "r", staged, 100)
			if got := p.commit(110, "r", committed); got.Status != test.want {
				t.Errorf("commit has status %d, want %d", got.Status, test.want)
			}
			p.check("x | ever 0,soon 150")
			if got := p.commit(110, "r", backup); got.Status != replica.RestoreGone {
				t.Errorf("a second commit has status %d, want %d", got.Status, replica.RestoreGone)
			}
			if got := p.r.Size() - before; got > 1000 {
				t.Errorf("the state has grown by %d bytes", got) // by remembered replies only
			}
			p.stage(110, "s", backup, 100)
			if got := p.commit(110, "s", backup); got.Status != replica.RestoreDone {
				t.Errorf("a good backup has status %d after it", got.Status)
			}
		})
	}
}

func TestABackupOfAHigherLevelIsRefused(t *testing.T) {
	p, _ := filled(t)
	p.apply(replica.Raise{Term: 1, Level: 1}.Append(nil))
	high := &world{t: t, term: 1, failed: make(chan error, 1)}
	cfg := restoreConfig(high.failed)
	cfg.MaxLevel = 2
	high.r = replica.New(cfg)
	high.begin()
	high.apply(replica.Raise{Term: 1, Level: 2}.Append(nil))
	frozen, err := high.r.Backup(machine.Stamp{})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := frozen.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	if _, err := p.r.TryRestore(bytes.NewReader(b.Bytes())); !errors.Is(err, replica.ErrNewer) {
		t.Errorf("TryRestore: %v, want %v", err, replica.ErrNewer)
	}
	p.mirror(replica.Raise{Term: 1, Level: 1}.Append(nil))
	p.stage(110, "r", b.Bytes(), 1000)
	if got := p.commit(110, "r", b.Bytes()); got.Status != replica.RestoreNewer {
		t.Errorf("commit has status %d, want %d", got.Status, replica.RestoreNewer)
	}
	p.check("x | ever 0,soon 150")
	if _, err := high.r.TryRestore(bytes.NewReader(p.backup(machine.Stamp{}))); err != nil {
		t.Errorf("one of a lower level: %v", err)
	}
}

func TestWhatIsStagedIsDropped(t *testing.T) {
	const minute = time.Minute
	for _, test := range []struct {
		name string
		drop func(p *pair)
	}{
		{"by its deadline", func(p *pair) { p.tell(110+minute, feature, "y") }},
		{"by another restore", func(p *pair) { p.send(110, replica.RestorePiece("s", 0, []byte("x"))) }},
		{"by its node", func(p *pair) { p.send(110, replica.RestoreDrop("r")) }},
		{"with its origin", func(p *pair) { p.origin = p.openBoth("a", 2) }},
		{"with its server", func(p *pair) {
			p.configure("b", "c")
			p.twin.ApplyBatch([]*raft.Log{p.configuration("b", "c")})
			p.origin = p.openBoth("b", 1)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, backup := filled(t)
			p.stage(110, "r", backup, 20)
			if p.r.Size() < int64(len(backup)) {
				t.Errorf("size is %d with %d bytes staged", p.r.Size(), len(backup))
			}
			test.drop(p)
			p.reload()
			if got := p.commit(p.r.Stamp().Lease, "r", backup); got.Status != replica.RestoreGone {
				t.Errorf("commit has status %d, want %d", got.Status, replica.RestoreGone)
			}
			if !bytes.Equal(p.r.Bytes(), p.twin.Bytes()) {
				t.Error("the twin differs")
			}
			if got := p.send(p.r.Stamp().Lease, replica.RestorePiece("r", 20, []byte("x"))); got.Status != replica.RestoreGone {
				t.Errorf("a further piece has status %d, want %d", got.Status, replica.RestoreGone)
			}
		})
	}
}

func TestStagingHasADeadlineAndKeepsItWhileItGrows(t *testing.T) {
	p := newPair(t)
	p.send(100, replica.RestorePiece("r", 0, []byte("x")))
	if at, found := p.r.NextDeadline(); !found || at != 100+time.Minute {
		t.Errorf("next deadline is %d %v, want a minute after the piece", at, found)
	}
	empty := p.r.Size()
	p.send(time.Minute, replica.RestorePiece("r", 1, []byte("yy")))
	p.send(time.Minute, replica.RestorePiece("r", 1, []byte("yy"))) // it was not heard that it came
	if at, _ := p.r.NextDeadline(); at != 2*time.Minute {
		t.Errorf("next deadline is %d, want a minute after the last piece", at)
	}
	p.send(time.Minute, replica.RestorePiece("r", 0, []byte("x")))
	if got := p.r.Size() - empty; got > 60 {
		t.Errorf("two bytes have made the state %d larger", got)
	}
	if got := p.send(time.Minute, replica.RestorePiece("r", 9, []byte("z"))); got.Status != replica.RestoreGone {
		t.Errorf("a piece behind a gap has status %d, want %d", got.Status, replica.RestoreGone)
	}
	p.check(" | ")
}

func TestTheLeaderLetsOnlyKnownShellCommandsIn(t *testing.T) {
	piece := replica.RestorePiece("r", 0, []byte("x"))
	drop := replica.RestoreDrop("r")
	change := func(it replica.Item, f func(it *replica.Item)) replica.Item {
		it.Data = bytes.Clone(it.Data)
		f(&it)
		return it
	}
	for _, test := range []struct {
		name string
		item replica.Item
		want bool
	}{
		{"piece", piece, true},
		{"commit", replica.RestoreCommit("r", 7, [32]byte{1}), true},
		{"drop", drop, true},
		{"a feature's", replica.Item{Feature: feature, Item: machine.Item{Data: piece.Data}}, false},
		{"empty", replica.Item{}, false},
		{"of another version", change(drop, func(it *replica.Item) { it.Data[0] = 2 }), false},
		{"of another kind", change(drop, func(it *replica.Item) { it.Data[1] = 4 }), false},
		{"with something behind", change(drop, func(it *replica.Item) { it.Data = append(it.Data, 0) }), false},
		{"a query", change(drop, func(it *replica.Item) { it.Query = true }), false},
		{"without an ID", replica.RestoreDrop(""), false},
		{"empty piece", replica.RestorePiece("r", 0, nil), false},
		{"piece that is too long", replica.RestorePiece("r", 0, make([]byte, replica.PieceMost+1)), false},
		{"longest piece", replica.RestorePiece("r", 0, make([]byte, replica.PieceMost)), true},
	} {
		if got := replica.KnowsShell(&test.item); got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}

// A snapshot may lie anywhere between the entries of a restore.
func TestSnapshotsBetweenThePiecesOfARestore(t *testing.T) {
	p, backup := filled(t)
	offset := int64(0)
	for piece := range slices.Chunk(backup, 10) {
		p.reload()
		p.send(110, replica.RestorePiece("r", offset, piece))
		offset += int64(len(piece))
		frozen := p.r.Bytes()
		p.check("x | ever 0,soon 150")
		if !bytes.Equal(frozen, p.r.Bytes()) {
			t.Fatal("a snapshot changes")
		}
	}
	p.commit(120, "r", backup)
	p.check("x | ever 0,soon 170")
}

func FuzzOpenBackup(f *testing.F) {
	r := replica.New(restoreConfig(make(chan error, 1)))
	frozen, err := r.Backup(machine.Stamp{Lease: 1})
	if err != nil {
		f.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := frozen.WriteTo(&b); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes()[:b.Len()-sha256.Size])
	f.Add([]byte("HUDB\x01\x00\xff"))
	f.Add([]byte("HUDB\x01\x1e\x02c1\x05\x00\x00\x00\x00\x00\x00\x00\x64\x00\x00\x00\x00\x00\x00\x00\x64\x01\x00\x00\x00\x00\x00\x00\x00\x01\x01\x01x\x00\x02\x03a 9\x00\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		sum := sha256.Sum256(b) // or nothing would ever be taken
		b = append(bytes.Clone(b), sum[:]...)
		r := replica.New(restoreConfig(make(chan error, 1)))
		if _, err := r.TryRestore(bytes.NewReader(b)); err != nil {
			if !errors.Is(err, replica.ErrDamaged) && !errors.Is(err, replica.ErrNewer) {
				t.Errorf("error is %v", err)
			}
			return
		}
		f, err := replica.VerifyBackup(bytes.NewReader(b))
		if err != nil || f.Hash != sum {
			t.Errorf("what can be restored is not whole: %v", err)
		}
	})
}

func FuzzRestoreCommand(f *testing.F) {
	for _, it := range []replica.Item{
		replica.RestorePiece("r", 5, []byte("x")), replica.RestoreCommit("r", 7, [32]byte{1}), replica.RestoreDrop("r"),
	} {
		f.Add(it.Data)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		it := replica.Item{Item: machine.Item{Data: b}}
		known := replica.KnowsShell(&it)
		failed := make(chan error, 1)
		w := &world{t: t, term: 1, failed: failed}
		w.r = replica.New(restoreConfig(failed))
		w.configure("a")
		w.begin()
		o := w.open("a", 1)
		entry := replica.Work{Term: 1, Lease: 1, Batches: [][]byte{
			(&replica.Batch{Origin: o, Number: 1, Items: []replica.Item{it}}).Append(nil),
		}}
		_, applied := w.apply(entry.Append(nil)).(replica.WorkResult)
		if applied != known {
			t.Errorf("applied: %v, known to the leader: %v", applied, known)
		}
	})
}
