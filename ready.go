package huddle

import (
	"fmt"
	"sync"
	"time"
)

// warmTime is how long a new node is kept from being ready, at most, by what
// the others have to hand over to it.
const warmTime = 10 * time.Second

// A warmup keeps a new node from being sent clients until its share of the
// cache has arrived, or warmTime has passed since the cluster would have had it
// ready. A roll-out that waits for each new pod to be ready then loses nothing
// of the cache. Later changes of who serves make no node unready.
type warmup struct {
	mu     sync.Mutex // guards what follows
	since  time.Time  // when the cluster was seen to be ready first; zero before
	isOver bool
}

// ready returns nil, or why the node is not ready yet. It is asked only while
// the cluster has the node ready.
func (w *warmup) ready(cache func() error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.isOver {
		return nil
	}
	if w.since.IsZero() {
		w.since = time.Now()
	}
	err := cache()
	if err == nil || time.Since(w.since) >= warmTime {
		w.isOver = true
		return nil
	}
	return fmt.Errorf("joining: %w", err)
}
