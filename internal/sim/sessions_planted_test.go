package sim_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/huddlecache/huddle/cluster/machine"
)

// TestSessionFaultsAreCaught plants what the check is for.
func TestSessionFaultsAreCaught(t *testing.T) {
	for name, wrap := range map[string]func(machine.Log) machine.Log{
		"fields are lost":   func(l machine.Log) machine.Log { return &loser{Log: l} },
		"versions are old":  func(l machine.Log) machine.Log { return &repeater{Log: l, old: map[string]machine.Reply{}} },
		"merges are denied": func(l machine.Log) machine.Log { return &denial{Log: l} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := runSessions(t, 1, 1, wrap).check(); err == nil {
				t.Error("not caught")
			} else {
				t.Logf("%.200v", err)
			}
		})
	}
}

// A loser acknowledges a merge in seven that it never sent.
type loser struct {
	machine.Log
	mu    sync.Mutex // guards what follows
	n     int
	reply machine.Reply
}

func (l *loser) Do(ctx context.Context, items ...machine.Item) ([]machine.Reply, machine.Stamp, error) {
	l.mu.Lock()
	l.n++
	isLost, old := l.n%7 == 0 && l.reply.Data != nil, l.reply
	l.mu.Unlock()
	if isLost {
		return []machine.Reply{old}, machine.Stamp{}, nil
	}
	replies, at, err := l.Log.Do(ctx, items...)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil && strings.Contains(string(items[0].Data), `"f`) {
		l.reply = replies[0]
	}
	return replies, at, err
}

// A repeater answers some writes with what was answered before.
type repeater struct {
	machine.Log
	mu  sync.Mutex // guards old
	old map[string]machine.Reply
}

func (l *repeater) Do(ctx context.Context, items ...machine.Item) ([]machine.Reply, machine.Stamp, error) {
	replies, at, err := l.Log.Do(ctx, items...)
	l.mu.Lock()
	defer l.mu.Unlock()
	kind := string(items[0].Data[1])
	if err != nil || len(l.old) > 0 && len(l.old[kind].Data) == 0 {
		return replies, at, err
	}
	if old, found := l.old[kind]; found {
		return []machine.Reply{old}, at, nil
	}
	l.old[kind] = replies[0]
	return replies, at, nil
}

// A denial says of one write in ten that it was not applied.
type denial struct {
	machine.Log
	mu sync.Mutex // guards n
	n  int
}

func (l *denial) Do(ctx context.Context, items ...machine.Item) ([]machine.Reply, machine.Stamp, error) {
	replies, at, err := l.Log.Do(ctx, items...)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.n++; l.n%10 == 0 {
		return nil, machine.Stamp{}, machine.ErrNoQuorum
	}
	return replies, at, err
}
