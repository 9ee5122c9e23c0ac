package gossip

import (
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/memberlist"
)

func TestOnlyTheNewestDeadAreRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newTable("self")
		table.NotifyJoin(heardOf(t, "self", "10.0.0.1"))
		const lives = maxRemembered + 10
		for i := range lives {
			table.NotifyJoin(heardOf(t, fmt.Sprint("life", i), "10.0.0.2"))
			table.NotifyLeave(heardOf(t, fmt.Sprint("life", i), "10.0.0.2"))
			time.Sleep(time.Second)
		}
		if got := len(table.list()); got != maxRemembered+1 {
			t.Errorf("%d members, want %d dead and one alive", got, maxRemembered+1)
		}
		for i, want := range map[int]bool{0: false, 9: false, 10: true, lives - 1: true} {
			if _, got := table.find(fmt.Sprint("life", i)); got != want {
				t.Errorf("life %d is remembered: %v, want %v", i, got, want)
			}
		}
	})
}

// memberlist's timers may fire after it was shut down.
func TestClosedTableIsSilent(t *testing.T) {
	table := newTable("self")
	table.NotifyJoin(heardOf(t, "n2", "10.0.0.2"))
	<-table.changed
	table.close()
	table.NotifyLeave(heardOf(t, "n2", "10.0.0.2"))
	table.NotifyJoin(heardOf(t, "n3", "10.0.0.3"))
	if m, _ := table.find("n2"); m.State != Alive {
		t.Errorf("n2 is %v after close, want alive", m.State)
	}
	if len(table.list()) != 1 || len(table.changed) != 0 {
		t.Error("a closed table has changed")
	}
}

func TestMemberThatIsNotUnderstoodIsRefused(t *testing.T) {
	table := newTable("self")
	node := heardOf(t, "n2", "10.0.0.2")
	if err := table.NotifyAlive(node); err != nil {
		t.Errorf("a good one: %v", err)
	}
	node.Meta = []byte{99}
	if err := table.NotifyAlive(node); err == nil {
		t.Error("no error")
	}
}

// A conflict is remembered until the member was accepted where it is now.
func TestReturned(t *testing.T) {
	table := newTable("self")
	table.NotifyJoin(heardOf(t, "n2", "10.0.0.2"))
	table.NotifyConflict(heardOf(t, "n2", "10.0.0.2"), heardOf(t, "n2", "10.0.0.9"))
	table.NotifyConflict(heardOf(t, "n3", "10.0.0.3"), heardOf(t, "n3", "10.0.0.9"))
	if got := table.returned(); len(got) != 0 {
		t.Errorf("returned while alive: %v", got)
	}
	table.NotifyLeave(heardOf(t, "n2", "10.0.0.2"))
	if got := table.returned(); len(got) != 1 || got[0].String() != "10.0.0.9:7946" {
		t.Errorf("returned is %v, want 10.0.0.9:7946", got)
	}
	table.NotifyJoin(heardOf(t, "n2", "10.0.0.9"))
	table.NotifyLeave(heardOf(t, "n2", "10.0.0.9"))
	if got := table.returned(); len(got) != 0 {
		t.Errorf("returned after it was accepted: %v", got)
	}
}

func heardOf(t *testing.T, id, addr string) *memberlist.Node {
	t.Helper()
	meta, err := Meta{ID: id, PeerPort: 7947}.encode()
	if err != nil {
		t.Fatal(err)
	}
	return &memberlist.Node{Name: id, Addr: net.ParseIP(addr), Port: 7946, Meta: meta}
}
