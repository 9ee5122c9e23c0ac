package cluster

import (
	"context"
	"sync"

	"github.com/hashicorp/raft"
)

// An announcer tells followers, as the leader, that all there is has been
// committed. Raft says so with the next entry, or every CommitTimeout, which is
// long so that an idle cluster sleeps; whoever reads at a follower behind a
// write would wait as long.
//
// What it sends is what Raft itself sends where there is nothing to replicate:
// an AppendEntries without entries. The follower's log is compared at the
// announced entry, so that it never takes another entry for committed.
type announcer struct {
	life *life
	wake chan struct{} // holds a token when there may be something to announce

	mu   sync.Mutex // guards all below
	busy map[raft.ServerID]bool
	told map[raft.ServerID]uint64 // the last index that was announced to it
}

func newAnnouncer(l *life) *announcer {
	return &announcer{
		life: l, wake: make(chan struct{}, 1), busy: map[raft.ServerID]bool{}, told: map[raft.ServerID]uint64{},
	}
}

func (a *announcer) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.wake:
		}
		if reign := a.life.reigning(); reign != nil {
			a.announce(reign.term, a.life.replica.Applied())
		}
	}
}

// announce tells all servers that do not know it, but for those that have not
// answered yet, who are told afterwards.
func (a *announcer) announce(term, index uint64) {
	l := a.life
	var entry raft.Log
	if err := l.on.store.Logs().GetLog(index, &entry); err != nil {
		return // it is in a snapshot by now
	}
	request := raft.AppendEntriesRequest{
		RPCHeader: raft.RPCHeader{
			ProtocolVersion: raft.ProtocolVersionMax,
			ID:              []byte(l.id),
			Addr:            l.transport.EncodePeer(raft.ServerID(l.id), l.transport.LocalAddr()),
		},
		Term:         term,
		PrevLogEntry: index, PrevLogTerm: entry.Term,
		LeaderCommitIndex: index,
	}
	for _, s := range l.configuration().Servers {
		if string(s.ID) == l.id || !a.take(s.ID, index) {
			continue
		}
		l.work.Go(func() {
			defer a.leave(s.ID)
			var response raft.AppendEntriesResponse
			// Who does not hear it learns it from Raft.
			_ = l.transport.AppendEntries(s.ID, s.Address, &request, &response)
		})
	}
}

// take reports whether a server is to be told now.
func (a *announcer) take(id raft.ServerID, index uint64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.busy[id] || a.told[id] >= index {
		return false
	}
	a.busy[id], a.told[id] = true, index
	return true
}

func (a *announcer) leave(id raft.ServerID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.busy, id)
	signal(a.wake)
}
