package cache

import (
	"context"
	"sync"
)

// A background is what goes on without a caller, until it is stopped.
type background struct {
	ctx    context.Context // of all of it; ended by stop
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu     sync.Mutex // guards isOver, so that nothing begins once stop waits
	isOver bool
}

func newBackground() *background {
	b := &background{}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	return b
}

// begin runs fn on a goroutine of its own. It is false where nothing begins
// any more.
func (b *background) begin(fn func(ctx context.Context)) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.isOver {
		return false
	}
	b.wg.Go(func() { fn(b.ctx) })
	return true
}

// stop ends everything and waits for it.
func (b *background) stop() {
	b.mu.Lock()
	b.isOver = true
	b.mu.Unlock()
	b.cancel()
	b.wg.Wait()
}
