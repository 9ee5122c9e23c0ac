package cache

import (
	"context"
	"sync"
	"time"

	"github.com/huddlecache/huddle/cluster/machine/wire"
)

// tell waits for each of some nodes until it has applied the entry at index,
// which the leader has, or leaseTime has passed, and with it every lease of
// one that does not know of the entry.
func (s *seat) tell(ctx context.Context, ids []string, cluster string, index uint64) {
	ctx, cancel := context.WithTimeout(ctx, leaseTime)
	defer cancel()
	var wg sync.WaitGroup
	for _, id := range ids {
		wg.Go(func() {
			request := encodeReach(cluster, index)
			for ctx.Err() == nil && !s.hasReached(ctx, id, request) {
				pause(ctx, retryWait)
			}
		})
	}
	wg.Wait()
}

// hasReached asks a node, which may be this one, whether it has applied an
// entry, and waits until it has.
func (s *seat) hasReached(ctx context.Context, id string, request []byte) bool {
	if id == nobody {
		<-ctx.Done()
		return false
	}
	if self, _ := s.peers.Self(); id == self {
		r := wire.NewReader(request[1:])
		return s.peers.Reach(ctx, r.String(), r.Uvarint()) == nil
	}
	_, err := s.peers.Call(ctx, id, request)
	return err == nil
}

// retryWait is how long it takes until something that failed is tried again.
const retryWait = 20 * time.Millisecond

// pause waits, until the context ends at most.
func pause(ctx context.Context, wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
