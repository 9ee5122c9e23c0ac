package sessions_test

import (
	"bytes"
	"context"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
)

// A recorder is a world that keeps what it is sent.
type recorder struct {
	*world
	sent [][]byte
}

func (r *recorder) Do(ctx context.Context, items ...machine.Item) ([]machine.Reply, machine.Stamp, error) {
	for _, item := range items {
		r.sent = append(r.sent, bytes.Clone(item.Data))
	}
	return r.world.Do(ctx, items...)
}

func (r *recorder) Query(ctx context.Context, c machine.Consistency, query []byte) ([]byte, machine.Stamp, error) {
	r.sent = append(r.sent, bytes.Clone(query))
	return r.world.Query(ctx, c, query)
}

// A liar is a log that answers everything with the same bytes.
type liar struct{ reply []byte }

func (l *liar) Do(_ context.Context, items ...machine.Item) ([]machine.Reply, machine.Stamp, error) {
	replies := make([]machine.Reply, len(items))
	for i := range replies {
		replies[i].Data = l.reply
	}
	return replies, machine.Stamp{}, nil
}

func (l *liar) Query(context.Context, machine.Consistency, []byte) ([]byte, machine.Stamp, error) {
	return l.reply, machine.Stamp{}, nil
}

func (l *liar) Now() (time.Duration, bool)                    { return 0, true }
func (l *liar) Subscribe(func(machine.Event)) (cancel func()) { return func() {} }
