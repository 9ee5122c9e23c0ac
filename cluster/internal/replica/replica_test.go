package replica_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/huddlecache/huddle/cluster/internal/replica"
	"github.com/huddlecache/huddle/cluster/machine"
)

// journal is a machine that writes down what it is told. A command "d KEY AT"
// sets a deadline, "n" takes a number, "big N" has a reply of N bytes, "bad"
// is unknown; a query returns the journal.
type journal struct{ lines []string }

func (j *journal) Apply(tx *machine.Tx, cmd []byte) []byte {
	j.lines = append(j.lines, string(cmd))
	var key string
	var n int64
	switch {
	case scan(cmd, "d %s %d", &key, &n):
		tx.Deadline([]byte(key), 0, time.Duration(n))
	case string(cmd) == "n":
		return fmt.Append(nil, tx.Number())
	case scan(cmd, "big %d", &n):
		return make([]byte, n)
	case string(cmd) == "bad":
		tx.Fail(machine.ErrUnknownCommand)
	case string(cmd) == "refuse" && tx.Pressure != machine.PressureNone:
		tx.Refused = true
		return []byte("refused")
	case string(cmd) == "e":
		tx.Emit(machine.Event{Key: []byte("event")})
	}
	return append([]byte("did "), cmd...)
}

func scan(b []byte, format string, to ...any) bool {
	n, err := fmt.Sscanf(string(b), format, to...)
	return err == nil && n == len(to)
}

func (j *journal) Expire(_ *machine.Tx, key []byte) {
	j.lines = append(j.lines, "expired "+string(key))
}

func (j *journal) Query(at machine.Stamp, _ []byte) []byte {
	return fmt.Appendf(nil, "%s at %d", strings.Join(j.lines, ","), at.Lease)
}
func (j *journal) Snapshot() io.WriterTo { return strings.NewReader(strings.Join(j.lines, "\n")) }

func (j *journal) Restore(r io.Reader) error {
	b, err := io.ReadAll(r)
	if len(b) > 0 {
		j.lines = strings.Split(string(b), "\n")
	}
	return err
}
func (j *journal) Size() int64 { return int64(len(strings.Join(j.lines, "\n"))) }

// world drives one replica as Raft would.
type world struct {
	t      *testing.T
	r      *replica.Replica
	index  uint64
	term   uint64
	failed chan error
}

const feature = 1

func config(failed chan error) replica.Config {
	return replica.Config{
		Features: []replica.Factory{{ID: feature, New: func() machine.Machine { return &journal{} }}},
		MaxLevel: 1,
		Fail:     func(err error) { failed <- err },
	}
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, term: 1, failed: make(chan error, 1)}
	w.r = replica.New(config(w.failed))
	w.configure("a", "b", "c")
	w.begin()
	return w
}

func (w *world) apply(data []byte) any {
	w.index++
	return w.r.Apply(&raft.Log{Index: w.index, Term: w.term, Type: raft.LogCommand, Data: data})
}

func (w *world) configure(servers ...string) {
	var c raft.Configuration
	for _, id := range servers {
		c.Servers = append(c.Servers, raft.Server{ID: raft.ServerID(id), Address: raft.ServerAddress(id)})
	}
	w.index++
	w.r.ApplyBatch([]*raft.Log{{Index: w.index, Term: w.term, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(c)}})
}

func (w *world) begin() replica.BeginResult {
	w.t.Helper()
	entry := replica.Begin{Term: w.term, Founding: &replica.Founding{Cluster: "c1", Seed: [16]byte{1}, Number: 100, Wall: 5000, Level: 1}}
	result, ok := w.apply(entry.Append(nil)).(replica.BeginResult)
	if !ok {
		w.t.Fatal("a Begin entry has no BeginResult")
	}
	return result
}

func (w *world) open(server string, nonce uint64) uint64 {
	w.t.Helper()
	result, ok := w.apply(replica.Open{Term: w.term, Server: server, Nonce: nonce}.Append(nil)).(replica.OpenResult)
	if !ok {
		w.t.Fatal("an Open entry has no OpenResult")
	}
	return result.Origin
}

// work applies batches at a lease time and returns what became of them.
func (w *world) work(lease time.Duration, batches ...replica.Batch) replica.WorkResult {
	w.t.Helper()
	entry := replica.Work{Term: w.term, Lease: lease, Wall: 5000 + lease}
	for _, b := range batches {
		entry.Batches = append(entry.Batches, b.Append(nil))
	}
	return w.workOf(entry)
}

func (w *world) workOf(entry replica.Work) replica.WorkResult {
	w.t.Helper()
	result, ok := w.apply(entry.Append(nil)).(replica.WorkResult)
	if !ok {
		w.t.Fatal("a Work entry has no WorkResult")
	}
	return result
}

func batch(origin, number uint64, cmds ...string) replica.Batch {
	b := replica.Batch{Origin: origin, Number: number}
	for _, cmd := range cmds {
		b.Items = append(b.Items, replica.Item{Feature: feature, Item: machine.Item{Data: []byte(cmd)}})
	}
	return b
}

// lines is what the machine has been told.
func (w *world) lines() string {
	w.t.Helper()
	replies, _, _ := w.r.Read(machine.Stamp{}, []replica.Query{{Feature: feature}})
	text, _, _ := strings.Cut(string(replies[0].Data), " at ")
	return text
}

// describe shortens a result for comparison.
func describe(r replica.BatchResult) string {
	names := map[replica.Outcome]string{
		replica.Applied: "applied", replica.RefusedOrigin: "origin",
		replica.RefusedSequence: "sequence", replica.RefusedTerm: "term",
	}
	var b strings.Builder
	b.WriteString(names[r.Outcome])
	for _, reply := range r.Replies {
		data := string(reply.Data)
		if len(data) > 20 {
			data = fmt.Sprintf("%d bytes", len(data))
		}
		if reply.Err != nil {
			data = reply.Err.Error()
		}
		b.WriteString(" [" + data + "]")
	}
	return b.String()
}

func TestABatchTakesEffectOnce(t *testing.T) {
	w := newWorld(t)
	o := w.open("a", 1)
	part := func(b replica.Batch, part uint64) replica.Batch {
		b.Part = part
		return b
	}
	large := func(b replica.Batch) replica.Batch {
		b.Lane = replica.LaneLarge
		return b
	}
	for _, step := range []struct {
		name  string
		batch replica.Batch
		want  string
	}{
		{"the first", batch(o, 1, "x"), "applied [did x]"},
		{"again, from memory", batch(o, 1, "x"), "applied [did x]"},
		{"a later one, after a gap", batch(o, 3, "y"), "applied [did y]"},
		{"one that was overtaken", batch(o, 2, "z"), "sequence"},
		{"the first, overtaken", batch(o, 1, "x"), "sequence"},
		{"a second part of one that was not cut", part(batch(o, 3, "w"), 1), "applied [did w]"},
		{"its first part, from memory", batch(o, 3, "y"), "applied [did y]"},
		{"a part too far", part(batch(o, 3, "v"), 3), "sequence"},
		{"a later one that begins with its second part", part(batch(o, 4, "u"), 1), "sequence"},
		{"the other lane counts for itself", large(batch(o, 1, "l")), "applied [did l]"},
		{"an origin that never was", batch(o+1000, 1, "q"), "origin"},
	} {
		result := w.work(1, step.batch)
		if got := describe(result.Batches[0]); got != step.want {
			t.Errorf("%s: %s, want %s", step.name, got, step.want)
		}
	}
	if got, want := w.lines(), "x,y,w,l"; got != want {
		t.Errorf("applied %s, want %s", got, want)
	}
}

func TestABatchMadeInAnotherTermIsRefused(t *testing.T) {
	w := newWorld(t)
	o := w.open("a", 1)
	w.work(10, batch(o, 1, "x"))
	late := replica.Work{Term: w.term, Lease: 99, Batches: [][]byte{
		ptr(batch(o, 1, "x")).Append(nil), ptr(batch(o, 2, "y")).Append(nil), ptr(batch(o+9, 1, "z")).Append(nil),
	}}
	w.term++
	result := w.workOf(late)
	var got []string
	for _, b := range result.Batches {
		got = append(got, describe(b))
	}
	if want := []string{"applied [did x]", "term", "origin"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if result.Stamp.Lease != 10 {
		t.Errorf("an entry of another term moved the time to %d", result.Stamp.Lease)
	}
	w.work(11, batch(o, 2, "y"))
	if got := w.lines(); got != "x,y" {
		t.Errorf("applied %s, want x,y", got)
	}
}

func ptr[T any](v T) *T { return &v }

func TestOriginsCloseWithTheirServer(t *testing.T) {
	w := newWorld(t)
	first := w.open("a", 1)
	if again := w.open("a", 1); again != first {
		t.Errorf("asked again, the origin is %d, want %d", again, first)
	}
	second := w.open("a", 2)
	if second == first {
		t.Error("a server that starts again has its former origin")
	}
	for _, step := range []struct {
		origin uint64
		want   string
	}{{first, "origin"}, {second, "applied [did x]"}} {
		if got := describe(w.work(1, batch(step.origin, 1, "x")).Batches[0]); got != step.want {
			t.Errorf("origin %d: %s, want %s", step.origin, got, step.want)
		}
	}
	w.configure("b", "c")
	if got := describe(w.work(2, batch(second, 1, "x")).Batches[0]); got != "origin" {
		t.Errorf("a removed server's batch: %s, want origin", got)
	}
	if id := w.open("a", 3); id != 0 {
		t.Errorf("a removed server has origin %d", id)
	}
	w.configure("a", "b", "c")
	if got := describe(w.work(3, batch(second, 1, "x")).Batches[0]); got != "origin" {
		t.Errorf("a closed origin was opened again: %s", got)
	}
}

func TestABatchIsCutByTheSizeOfItsReplies(t *testing.T) {
	w := newWorld(t)
	o := w.open("a", 1)
	b := batch(o, 1, fmt.Sprintf("big %d", replica.MaxReplies+1), "x", "y")
	result := w.work(1, b)
	if n := len(result.Batches[0].Replies); n != 1 {
		t.Fatalf("%d items were applied, want 1", n)
	}
	rest := batch(o, 1, "x", "y")
	rest.Part = 1
	for range 2 {
		if got := describe(w.work(1, rest).Batches[0]); got != "applied [did x] [did y]" {
			t.Errorf("the rest: %s", got)
		}
	}
	if got := len(w.work(1, b).Batches[0].Replies); got != 1 {
		t.Errorf("the first part has %d replies when it is asked for again, want 1", got)
	}
	if got, want := w.lines(), fmt.Sprintf("big %d,x,y", replica.MaxReplies+1); got != want {
		t.Errorf("applied %s, want %s", got, want)
	}
}

func TestTimeNeverGoesBack(t *testing.T) {
	w := newWorld(t)
	if got := w.r.Stamp(); got.Wall != 5000 || got.Cluster != "c1" || got.Level != 1 {
		t.Errorf("founded with %+v", got)
	}
	w.work(50)
	if got := w.work(40).Stamp; got.Lease != 50 || got.Wall != 5050 {
		t.Errorf("an entry stamped earlier took the time to %+v", got)
	}
	w.term++
	if got := w.begin(); got.Stamp.Lease != 50 || !got.Fresh || got.Stamp.Wall != 5050 {
		t.Errorf("a new term begins at %+v, want where the last stamp ended", got)
	}
}

func TestDeadlines(t *testing.T) {
	w := newWorld(t)
	o := w.open("a", 1)
	w.work(1, batch(o, 1, "d k1 10", "d k2 20"))
	if at, found := w.r.NextDeadline(); !found || at != 10 {
		t.Errorf("the next deadline is %d, %v; want 10", at, found)
	}
	if _, _, ok := w.r.Read(machine.Stamp{Lease: 9}, nil); !ok {
		t.Error("a read before any deadline asks for a tick")
	}
	if _, _, ok := w.r.Read(machine.Stamp{Lease: 10}, nil); ok {
		t.Error("a read after a deadline that is not in the log asks for no tick")
	}
	w.work(10)
	if _, at, ok := w.r.Read(machine.Stamp{Lease: 19}, nil); !ok || at.Lease != 19 {
		t.Errorf("after the tick: %v at %d, want true at 19", ok, at.Lease)
	}
	if got := w.lines(); got != "d k1 10,d k2 20,expired k1" {
		t.Errorf("applied %s", got)
	}
}

func TestOneEntryExpiresABoundedNumber(t *testing.T) {
	w := newWorld(t)
	o := w.open("a", 1)
	var cmds []string
	for i := range replica.SweepPerEntry + 5 {
		cmds = append(cmds, fmt.Sprintf("d k%d 10", i))
	}
	w.work(1, batch(o, 1, cmds...))
	for _, want := range []int{replica.SweepPerEntry, replica.SweepPerEntry + 5} {
		w.work(10)
		if got := strings.Count(w.lines(), "expired"); got != want {
			t.Errorf("%d have expired, want %d", got, want)
		}
	}
}

func idem(b replica.Batch, ids ...string) replica.Batch {
	for i, id := range ids {
		b.Items[i].Idem = id
	}
	return b
}

func TestIdempotencyKeys(t *testing.T) {
	w := newWorld(t)
	o := w.open("a", 1)
	const minute = time.Minute
	for _, step := range []struct {
		name  string
		lease time.Duration
		cmd   string
		want  string
	}{
		{"the first", 0, "n", "applied [101]"},
		{"again", minute, "n", "applied [101]"},
		{"another command", minute, "x", "applied [" + machine.ErrReused.Error() + "]"},
		{"just before ten minutes", 10*minute - 1, "n", "applied [101]"},
		{"after ten minutes", 10 * minute, "n", "applied [102]"},
	} {
		number := w.index
		if got := describe(w.work(step.lease, idem(batch(o, number, step.cmd), "id")).Batches[0]); got != step.want {
			t.Errorf("%s: %s, want %s", step.name, got, step.want)
		}
	}
}

func TestTooManyIdempotencyKeysAreRefused(t *testing.T) {
	w := newWorld(t)
	o := w.open("a", 1)
	b := replica.Batch{Origin: o, Number: 1}
	for i := range replica.IdemMost {
		b.Items = append(b.Items, replica.Item{Feature: feature, Item: machine.Item{Data: []byte("n"), Idem: fmt.Sprint(i)}})
	}
	w.work(1, b)
	if got, want := describe(w.work(1, idem(batch(o, 2, "n"), "new")).Batches[0]), "applied ["+machine.ErrOverloaded.Error()+"]"; got != want {
		t.Errorf("one more: %s, want %s", got, want)
	}
	if got := describe(w.work(1, idem(batch(o, 3, "n"), "0")).Batches[0]); got != "applied [101]" {
		t.Errorf("one that is remembered: %s", got)
	}
}

func TestAFullStateTakesOnlyWhatFrees(t *testing.T) {
	w := newWorld(t)
	o := w.open("a", 1)
	w.work(1, idem(batch(o, 1, "before"), "id"))
	b := idem(batch(o, 2, "x", "del", "before", "new"), "", "", "id", "id2")
	b.Items[1].Frees = true
	entry := replica.Work{Term: w.term, Lease: 2, Pressure: machine.PressureFull, Batches: [][]byte{b.Append(nil)}}
	full := "[" + machine.ErrFull.Error() + "]"
	want := "applied " + full + " [did del] [did before] " + full
	if got := describe(w.workOf(entry).Batches[0]); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestARefusedCommandLeavesItsKeyFree(t *testing.T) {
	w := newWorld(t)
	o := w.open("a", 1)
	for i, step := range []struct {
		pressure machine.Pressure
		want     string
	}{
		{machine.PressureHigh, "applied [refused]"},
		{machine.PressureFull, "applied [" + machine.ErrFull.Error() + "]"},
		{machine.PressureNone, "applied [did refuse]"},
		{machine.PressureHigh, "applied [did refuse]"},
	} {
		b := idem(batch(o, uint64(i+1), "refuse"), "id")
		entry := replica.Work{Term: w.term, Lease: 2, Pressure: step.pressure, Batches: [][]byte{b.Append(nil)}}
		if got := describe(w.workOf(entry).Batches[0]); got != step.want {
			t.Errorf("try %d: %s, want %s", i+1, got, step.want)
		}
	}
}

func TestAnUnknownEntryStopsTheReplica(t *testing.T) {
	for name, data := range map[string][]byte{
		"version": {9, 2, 1},
		"kind":    {1, 99, 1},
		"empty":   {},
		"level":   replica.Raise{Term: 1, Level: 2}.Append(nil),
		"command": nil, // a machine's
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			o := w.open("a", 1)
			if name == "command" {
				data = replica.Work{Term: 1, Batches: [][]byte{ptr(batch(o, 1, "bad", "x")).Append(nil)}}.Append(nil)
			}
			if err, isErr := w.apply(data).(error); !isErr || !errors.Is(err, replica.ErrFailed) {
				t.Errorf("the entry's result is %v, want ErrFailed", err)
			}
			if err := <-w.failed; err == nil {
				t.Error("nobody was told")
			}
			if err, isErr := w.apply(replica.Work{Term: 1}.Append(nil)).(error); !isErr || !errors.Is(err, replica.ErrFailed) {
				t.Errorf("the next entry's result is %v, want ErrFailed", err)
			}
			if _, err := w.r.Snapshot(); err == nil {
				t.Error("a replica that has stopped can be snapshotted")
			}
		})
	}
}

func TestEventsComeInOrderAndResetAfterARestore(t *testing.T) {
	w := newWorld(t)
	var got []string
	cancel := w.r.Subscribe(feature, func(e machine.Event) { got = append(got, fmt.Sprint(string(e.Key), e.Reset)) })
	o := w.open("a", 1)
	w.work(1, batch(o, 1, "e", "x", "e"))
	if err := w.r.Load(w.r.Bytes()); err != nil {
		t.Fatal(err)
	}
	cancel()
	w.work(1, batch(o, 2, "e"))
	if want := []string{"eventfalse", "eventfalse", "true"}; !slices.Equal(got, want) {
		t.Errorf("events %q, want %q", got, want)
	}
}

func TestASnapshotIsTheStateAtItsTime(t *testing.T) {
	w := newWorld(t)
	o := w.open("a", 1)
	w.open("b", 7)
	w.work(5, idem(batch(o, 1, "d k 50", "n", "x"), "", "id1", "id2"))
	before := w.r.Bytes()
	frozen, err := w.r.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	w.work(60, idem(batch(o, 2, "d j 70", "y"), "", "id3"))
	var sink memorySink
	if err := frozen.Persist(&sink); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(sink.Bytes(), before) {
		t.Error("a snapshot that is written later differs from one written at once")
	}

	restored := replica.New(config(make(chan error, 1)))
	if err := restored.Load(w.r.Bytes()); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(restored.Bytes(), w.r.Bytes()) {
		t.Error("a restored state has another snapshot")
	}
	if got, want := restored.Size(), w.r.Size(); got != want {
		t.Errorf("a restored state has size %d, want %d", got, want)
	}
	if got, want := restored.Stamp(), w.r.Stamp(); got.Lease != want.Lease || got.Index != want.Index {
		t.Errorf("a restored state is at %+v, want %+v", got, want)
	}
	other := &world{t: t, r: restored, index: w.index, term: w.term}
	again := batch(o, 2, "d j 70", "y")
	for _, each := range []*world{w, other} {
		if got := describe(each.work(61, again).Batches[0]); got != "applied [did d j 70] [did y]" {
			t.Errorf("a batch sent again: %s", got)
		}
	}
	if got, want := other.lines(), w.lines(); got != want {
		t.Errorf("after the restore %s, want %s", got, want)
	}
}

// memorySink is a raft.SnapshotSink in memory.
type memorySink struct{ bytes.Buffer }

func (*memorySink) Close() error  { return nil }
func (*memorySink) ID() string    { return "sink" }
func (*memorySink) Cancel() error { return nil }

func TestADamagedSnapshotChangesNothing(t *testing.T) {
	w := newWorld(t)
	o := w.open("a", 1)
	w.work(5, idem(batch(o, 1, "d k 50", "x"), "", "id"))
	whole := w.r.Bytes()
	for cut := range whole {
		if err := w.r.Load(whole[:cut]); err == nil {
			t.Errorf("a snapshot cut after %d of %d bytes is accepted", cut, len(whole))
		}
	}
	newer := slices.Clone(whole)
	newer[4] = 9
	if err := w.r.Load(newer); err == nil {
		t.Error("a snapshot of a later version is accepted")
	}
	if !bytes.Equal(w.r.Bytes(), whole) {
		t.Error("a damaged snapshot changed the state")
	}
}

func TestRefoundKeepsAllButTheMembers(t *testing.T) {
	w := newWorld(t)
	o := w.open("a", 1)
	w.work(5, batch(o, 1, "n", "x"))
	w.r.Refound("c2", "a")
	if got := w.r.Stamp(); got.Cluster != "c2" || got.Lease != 5 {
		t.Errorf("refounded at %+v", got)
	}
	if got := w.r.Members(); !slices.Equal(got, []string{"a"}) {
		t.Errorf("members %q, want only the seed", got)
	}
	if got := describe(w.work(6, batch(o, 2, "y")).Batches[0]); got != "origin" {
		t.Errorf("a batch of an origin of the old cluster: %s", got)
	}
	next := w.open("a", 2)
	if got := describe(w.work(7, batch(next, 1, "n")).Batches[0]); got != "applied [102]" {
		t.Errorf("numbers go on with %s, want 102", got)
	}
}

func FuzzParseBatch(f *testing.F) {
	f.Add(ptr(batch(3, 1, "x", "y")).Append(nil))
	f.Add(ptr(idem(batch(3, 1, "x"), "id")).Append(nil))
	f.Add(binary.AppendUvarint([]byte{1, 0, 1, 0}, 1<<60))
	f.Fuzz(func(t *testing.T, b []byte) {
		parsed, err := replica.ParseBatch(b)
		if err != nil {
			return
		}
		again, err := replica.ParseBatch(parsed.Append(nil))
		if err != nil || len(again.Items) != len(parsed.Items) || again.Origin != parsed.Origin {
			t.Errorf("encoded again: %+v, %v; want %+v", again, err, parsed)
		}
	})
}

func FuzzRestore(f *testing.F) {
	seed := replica.New(config(make(chan error, 1)))
	f.Add(seed.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		r := replica.New(config(make(chan error, 1)))
		if r.Load(b) != nil {
			return
		}
		first := r.Bytes()
		again := replica.New(config(make(chan error, 1)))
		if err := again.Load(first); err != nil {
			t.Fatalf("a restored state's own snapshot: %v", err)
		}
		if !bytes.Equal(again.Bytes(), first) || again.Size() != r.Size() {
			t.Error("restored again, the state differs")
		}
	})
}
