package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/huddlecache/huddle/internal/respclient"
)

// unlockDigest is phpredis' script that deletes a key if it has a value.
const unlockDigest = "b70c2384248f88e6b75b9f89241a180f856ad852"

// keysOfKind is how many keys there are of each kind: few, so that clients
// meet on them, but enough for a partition to be checked quickly.
const keysOfKind = 4

// recorder collects what the clients of one history did.
type recorder struct {
	begin     time.Time
	told      tally
	wait      gap
	disturbed atomic.Pointer[node] // paused or cut off; nil if none is

	mu      sync.Mutex // guards history
	history []porcupine.Operation
}

// TestHistoriesAreLinearizable records what 8 clients see of registers, with
// expiry and without, counters and locks while leaders are killed, paused for
// 10 s and cut off.
func TestHistoriesAreLinearizable(t *testing.T) {
	for _, durable := range []bool{false, true} {
		name := "ephemeral"
		if durable {
			name = "durable"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			needsProcesses(t)
			cutter, why := newCutter(t)
			if cutter == nil {
				t.Logf("SKIPPED: partitions: %s", why)
			}
			w := startNodes(t, 3, durable)
			if _, err := w.inService()[0].client().Do("SCRIPT", "LOAD", unlockScript); err != nil {
				t.Fatal(err)
			}
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			rounds := 1
			if long() {
				rounds = 6
			}
			recordAndCheck(t, w, seed, func(r *recorder) {
				for range rounds {
					r.faults(w, cutter)
				}
			})
		})
	}
}

// faults does to three leaders, one after another, what can happen to them.
// Without a cutter none is cut off.
func (r *recorder) faults(w *world, cutter *cutter) {
	w.t.Helper()
	time.Sleep(time.Second)
	w.replaceLeader()
	w.t.Logf("whole again %v after a leader was replaced", w.waitWhole(time.Minute).Round(time.Millisecond))
	r.pauseLeader(w)
	if cutter != nil {
		r.cutLeader(w, cutter)
	}
	time.Sleep(time.Second)
}

func (r *recorder) pauseLeader(w *world) {
	w.t.Helper()
	paused := w.leader(20 * time.Second)
	r.disturbed.Store(paused)
	paused.pause()
	time.Sleep(10 * time.Second)
	r.disturbed.Store(nil) // all ask it at once what it knows
	paused.resume()
	w.t.Logf("whole again %v after a pause", w.waitWhole(time.Minute).Round(time.Millisecond))
}

func (r *recorder) cutLeader(w *world, cutter *cutter) {
	w.t.Helper()
	lost := w.leader(20 * time.Second)
	r.disturbed.Store(lost)
	cutter.cut(lost, w.inService())
	begin := time.Now()
	w.t.Logf("written again %v after a cut", w.otherLeader(lost, 10*time.Second).Round(time.Millisecond))
	time.Sleep(8*time.Second - time.Since(begin))
	r.disturbed.Store(nil)
	cutter.heal()
	w.t.Logf("whole again %v after a cut", w.waitWhole(time.Minute).Round(time.Millisecond))
}

// recordAndCheck runs 8 clients for as long as during runs, and checks what
// they saw.
func recordAndCheck(t *testing.T, w *world, seed uint64, during func(r *recorder)) {
	t.Helper()
	r := &recorder{begin: time.Now()}
	done := make(chan struct{})
	var wg sync.WaitGroup
	for i := range 8 {
		client := newCaller(w, i)
		client.timeout = 15 * time.Second
		wg.Go(func() { r.run(client, i, rand.New(rand.NewPCG(seed, uint64(i))), done) })
	}
	during(r)
	close(done)
	wg.Wait()
	if others := r.told.except("ok", "UNAVAILABLE", "CLUSTERDOWN", "TRYAGAIN", "LOADING", "broken", "not connected"); len(others) > 0 {
		t.Errorf("clients were told %q", others)
	}
	begin := time.Now()
	verdict, info := porcupine.CheckOperationsVerbose(registers, r.history, 2*time.Minute)
	t.Logf("%d operations; answers: %v; longest wait %v; checked in %v: %s", len(r.history), &r.told,
		r.wait.longest.Round(time.Millisecond), time.Since(begin).Round(time.Millisecond), verdict)
	if verdict == porcupine.Ok {
		return
	}
	path := filepath.Join(os.TempDir(), fmt.Sprintf("huddle-history-%d.html", seed))
	if err := porcupine.VisualizePath(registers, info, path); err != nil {
		t.Error(err)
	}
	t.Errorf("the history is not linearizable (%s); drawn in %s", verdict, path)
}

// run does random operations until done is closed.
func (r *recorder) run(client *caller, id int, random *rand.Rand, done chan struct{}) {
	defer client.close()
	last := time.Now()
	for seq := 0; ; seq++ {
		select {
		case <-done:
			return
		case <-time.After(time.Duration(random.IntN(16)) * time.Millisecond):
		}
		o := randomOp(random, id, seq)
		o.call = time.Since(r.begin)
		reply, err := client.on(r.choose(random, client.w), o.command()...)
		ret := time.Since(r.begin)
		r.told.add(err)
		switch respclient.OutcomeOf(err) {
		case respclient.Refused:
			continue
		case respclient.Unknown:
			if o.kind != "get" {
				r.add(operation(id, o, result{unknown: true}))
			}
			continue
		}
		if err != nil {
			continue // counted in told, which fails the test
		}
		answer := answerOf(o, reply)
		answer.ret = ret
		r.add(operation(id, o, answer))
		r.wait.saw(time.Since(last))
		last = time.Now()
	}
}

// choose draws the node for the next command. A disturbed one is drawn seldom:
// a client that waits for it does nothing else, and some must meet it late. If
// it is paused, what it is sent meanwhile is the first that it reads when it
// wakes, long after others have written.
func (r *recorder) choose(random *rand.Rand, w *world) *node {
	disturbed, nodes := r.disturbed.Load(), w.inService()
	if disturbed != nil && random.IntN(300) > 0 {
		nodes = slices.DeleteFunc(nodes, func(n *node) bool { return n == disturbed })
	}
	return nodes[random.IntN(len(nodes))]
}

func (r *recorder) add(o porcupine.Operation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.history = append(r.history, o)
}

// randomOp draws an operation. Every value is written once, so that a read
// tells which write it saw; locks have the client as value, as they are freed
// by a later command.
func randomOp(random *rand.Rand, client, seq int) op {
	key := strconv.Itoa(random.IntN(keysOfKind))
	unique := fmt.Sprintf("%d-%d", client, seq)
	switch random.IntN(10) {
	case 0, 1:
		return op{kind: "get", key: "register:" + key}
	case 2:
		return op{kind: "set", key: "register:" + key, arg: unique}
	case 3:
		return op{kind: "setpx", key: "expiring:" + key, arg: unique, px: time.Duration(50+random.IntN(1000)) * time.Millisecond}
	case 4:
		return op{kind: "get", key: "expiring:" + key}
	case 5:
		return op{kind: "incr", key: "counter:" + key}
	case 6:
		return op{kind: "get", key: "counter:" + key}
	case 7:
		return op{kind: "setnx", key: "lock:" + key, arg: strconv.Itoa(client)}
	case 8:
		return op{kind: "unlock", key: "lock:" + key, arg: strconv.Itoa(client)}
	default:
		return op{kind: "getdel", key: "register:" + key}
	}
}

// command is what is sent.
func (o op) command() []string {
	switch o.kind {
	case "set":
		return []string{"SET", o.key, o.arg}
	case "setpx":
		return []string{"SET", o.key, o.arg, "PX", strconv.FormatInt(o.px.Milliseconds(), 10)}
	case "setnx":
		return []string{"SET", o.key, o.arg, "NX"}
	case "get":
		return []string{"GET", o.key}
	case "getdel":
		return []string{"GETDEL", o.key}
	case "unlock":
		return []string{"EVALSHA", unlockDigest, "1", o.key, o.arg}
	case "incr":
		return []string{"INCR", o.key}
	}
	panic("unknown operation " + o.kind)
}

// answerOf reads a reply.
func answerOf(o op, reply any) result {
	switch reply := reply.(type) {
	case nil:
		return result{nothing: true}
	case int64:
		if o.kind == "unlock" && reply == 0 {
			return result{nothing: true}
		}
		return result{value: strconv.FormatInt(reply, 10)}
	case string:
		return result{value: reply}
	}
	return result{value: fmt.Sprint(reply)}
}
