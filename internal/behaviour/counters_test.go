package behaviour

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/counters"
)

func TestCountersAreOneForAllNodes(t *testing.T) {
	forCountingDoors(t, func(t *testing.T, door countingDoor, name string) {
		want := int64(0)
		for i := range 9 {
			n := int64(3*i - 5)
			want += n
			got, err := door(i).add(name, n, counters.AddOptions{})
			if err != nil || got != want {
				t.Fatalf("add %d: got %d, %v, want %d", n, got, err, want)
			}
			got, found, err := door(i + 1).get(name)
			if err != nil || !found || got != want {
				t.Fatalf("get: got %d, %t, %v, want %d", got, found, err, want)
			}
		}
		for i := range 2 { // the second one finds nothing to delete
			if err := door(i).remove(name, ""); err != nil {
				t.Fatal(err)
			}
		}
		if got, found, err := door(2).get(name); found || err != nil {
			t.Errorf("deleted: got %d, %t, %v", got, found, err)
		}
	})
}

func TestCountersLoseNothing(t *testing.T) {
	forCountingDoors(t, func(t *testing.T, door countingDoor, name string) {
		var running sync.WaitGroup
		for i := range 20 {
			conn := door(i)
			running.Go(func() {
				for j := range 10 {
					idem := fmt.Sprintf("%s%d.%d", name, i, j)
					if err := retryCounting(func() error {
						_, err := conn.add(name, 1, counters.AddOptions{Idem: idem})
						return err
					}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		running.Wait()
		if got, _, err := door(0).get(name); got != 200 || err != nil {
			t.Errorf("got %d, %v, want 200", got, err)
		}
	})
}

func TestCountersDoNotOverflow(t *testing.T) {
	forCountingDoors(t, func(t *testing.T, door countingDoor, name string) {
		if _, err := door(0).add(name, math.MaxInt64, counters.AddOptions{}); err != nil {
			t.Fatal(err)
		}
		if _, err := door(1).add(name, 1, counters.AddOptions{}); !errors.Is(err, counters.ErrOverflow) {
			t.Errorf("got %v, want ErrOverflow", err)
		}
		if got, _, err := door(2).get(name); got != math.MaxInt64 || err != nil {
			t.Errorf("got %d, %v, want %d", got, err, int64(math.MaxInt64))
		}
	})
}

func TestCountersEnd(t *testing.T) {
	forCountingDoors(t, func(t *testing.T, door countingDoor, name string) {
		const ttl = 400 * time.Millisecond
		began := time.Now()
		for i := range 3 { // the TTL is that of the first
			if _, err := door(i).add(name, 1, counters.AddOptions{TTL: ttl + time.Duration(i)*time.Hour}); err != nil {
				t.Fatal(err)
			}
		}
		for found := true; found; time.Sleep(10 * time.Millisecond) {
			var err error
			if _, found, err = door(1).get(name); err != nil {
				t.Fatal(err)
			}
			if lived := time.Since(began); !found && lived < ttl || found && lived > 20*time.Second {
				t.Fatalf("found: %t after %s, want an end at %s", found, lived, ttl)
			}
		}
	})
}

func TestCountersTakeAKeyOnce(t *testing.T) {
	forCountingDoors(t, func(t *testing.T, door countingDoor, name string) {
		for i := range 3 {
			if got, err := door(i).add(name, 7, counters.AddOptions{Idem: name}); got != 7 || err != nil {
				t.Errorf("got %d, %v, want 7", got, err)
			}
		}
		if _, err := door(0).add(name, 8, counters.AddOptions{Idem: name}); !errors.Is(err, machine.ErrReused) {
			t.Errorf("another call with the key: got %v, want ErrReused", err)
		}
		for i := range 2 {
			if err := door(i).remove(name, name+"d"); err != nil {
				t.Error(err)
			}
			if got, err := door(i).add(name, 1, counters.AddOptions{}); got != int64(i+1) || err != nil {
				t.Errorf("after a delete that was repeated: got %d, %v, want %d", got, err, i+1)
			}
		}
	})
}
