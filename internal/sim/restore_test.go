package sim_test

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"github.com/huddlecache/huddle/cluster"
	"github.com/huddlecache/huddle/cluster/clustertest"
	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/counters"
	"github.com/huddlecache/huddle/keyspace"
	"github.com/huddlecache/huddle/locks"
	"github.com/huddlecache/huddle/sessions"
)

// everything is all features, by the numbers of the root package.
var everything = []cluster.Feature{
	{ID: 1, New: func() machine.Machine { return keyspace.New() }},
	{ID: 2, New: sessions.NewMachine},
	{ID: 3, New: locks.NewMachine},
	{ID: 4, New: counters.NewMachine},
}

// What has a minute left at a backup has a minute left after its restore, in
// every feature: it is there before that minute is over, gone behind it, and
// its deadlines are where the index of the new state says. Locks are free.
func TestEveryFeatureSurvivesARestore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const left = time.Minute
		ctx := t.Context()
		c := clustertest.New(t, clustertest.Options{Features: everything})
		c.Add(3)
		c.WaitReady(10 * time.Second)
		node := c.Pods()[0].Node
		keys := func(args ...string) string {
			t.Helper()
			words := make([][]byte, len(args))
			for i, arg := range args {
				words[i] = []byte(arg)
			}
			replies, _, err := node.Log(1).Do(ctx, machine.Item{Data: keyspace.AppendCommand(nil, 0, 2, words)})
			if err != nil {
				t.Fatalf("%q: %v", args, err)
			}
			return string(replies[0].Data)
		}
		users := sessions.New(node.Log(2), sessions.Config{})
		lock := locks.New(node.Log(3))
		defer lock.Close()
		count := counters.New(node.Log(4))
		limit := counters.Limit{Name: "limit", Algorithm: counters.FixedWindow, Limit: 2, Window: left}
		take := func() bool {
			t.Helper()
			result, err := count.Take(ctx, limit)
			if err != nil {
				t.Fatal(err)
			}
			return result.Allowed
		}
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}

		empty := node.Usage().StateBytes
		keys("SET", "key", "v", "EX", "60")
		_, err := users.Save(ctx, "session", []byte("v"), sessions.SaveOptions{TTL: left, User: "u"})
		must(err)
		_, err = users.Save(ctx, "limited", []byte("v"), sessions.SaveOptions{TTL: time.Hour, Limit: left})
		must(err)
		_, err = count.Add(ctx, "counter", 7, counters.AddOptions{TTL: left})
		must(err)
		before, err := lock.AcquireLease(ctx, "lock", locks.Options{TTL: time.Hour})
		must(err)
		take()
		take()
		backup, err := node.Backup(ctx)
		must(err)
		var file bytes.Buffer
		_, err = backup.WriteTo(&file)
		must(err)

		time.Sleep(2 * left) // all but the lock is gone
		_, err = c.Pods()[1].Node.Restore(ctx, &file)
		must(err)
		time.Sleep(left - time.Second)
		if got := keys("GET", "key"); got != "$1\r\nv\r\n" {
			t.Errorf("key is %q", got)
		}
		for _, id := range []string{"session", "limited"} {
			if got, err := users.Load(ctx, id, sessions.LoadOptions{}); err != nil || string(got.Data) != "v" {
				t.Errorf("%s is %q, %v", id, got.Data, err)
			}
		}
		if got, _, err := count.Get(ctx, "counter"); err != nil || got.Value != 7 {
			t.Errorf("counter is %d, %v", got.Value, err)
		}
		if take() {
			t.Error("the limit has forgotten what was taken")
		}
		after, err := lock.AcquireLease(ctx, "lock", locks.Options{TTL: time.Second})
		if err != nil || after.Token <= before.Token {
			t.Errorf("the lock is %+v, %v; want it free, with a token over %d", after, err, before.Token)
		}

		time.Sleep(2 * time.Second) // a minute is over, and nobody has looked
		if got := node.Usage().StateBytes; got > empty+1000 {
			t.Errorf("the state takes %d bytes when all has ended, %d when it was empty", got, empty)
		}
		if got := keys("GET", "key"); got != "$-1\r\n" {
			t.Errorf("key is %q", got)
		}
		if _, err := users.Load(ctx, "limited", sessions.LoadOptions{}); err == nil {
			t.Error("a session is there behind its absolute limit")
		}
		if !take() {
			t.Error("the limit's window has not ended")
		}
	})
}
