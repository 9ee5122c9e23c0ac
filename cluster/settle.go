package cluster

import (
	"context"
	"errors"
	"reflect"
	"time"

	"github.com/hashicorp/raft"

	"github.com/huddlecache/huddle/cluster/internal/founding"
)

// close stops everything. It closes the network first: a leader whose disk
// hangs must not go on keeping others from being elected.
func (l *life) close(isDisk bool) error {
	l.stop()
	if isDisk {
		l.on.store.Interrupt()
	}
	err := l.transport.Close()
	l.pending.Add(1)
	go func() { // ends with the life's goroutines, some of which wait for Raft
		l.work.Wait()
		l.pending.Add(-1)
	}()
	l.settle()
	shutdownErr := l.raft.Shutdown().Error()
	close(l.gone)
	l.transport.CloseStreams()
	l.work.Wait()
	return errors.Join(err, shutdownErr)
}

// settleTime bounds how long a life that ends waits for its entries.
const settleTime = 2 * time.Second

// settle waits until Raft has answered everything: what is on its way to the
// state when Raft shuts down is never answered. A leader that is cut off gives
// up within its lease.
func (l *life) settle() {
	wait, cancel := context.WithTimeout(context.Background(), l.node.raftTime(settleTime))
	defer cancel()
	for l.pending.Load() > 0 && wait.Err() == nil {
		l.node.pause(wait, retryWait/4)
	}
}

// append gives an entry to Raft. Its future must be waited for, and answered
// called then. Once the life has ended nothing is appended any more.
func (l *life) append(data []byte) (future raft.ApplyFuture, answered func(), err error) {
	l.pending.Add(1) // before the look: settle looks after the end
	answered = func() { l.pending.Add(-1) }
	if l.isOver() {
		answered()
		return nil, nil, raft.ErrNotLeader
	}
	future = l.raft.ApplyLog(raft.Log{Data: data}, enqueueTime)
	bound(future, l.gone)
	return future, answered, nil
}

// bound makes a future of Raft end when gone is closed. Raft's futures have a
// field for that, which it sets for some of its own only: those of entries that
// are on their way when Raft shuts down would never end.
func bound(future raft.Future, gone chan struct{}) {
	v := reflect.Indirect(reflect.ValueOf(future))
	if v.Kind() != reflect.Struct {
		return
	}
	if field := v.FieldByName("ShutdownCh"); field.IsValid() && field.CanSet() && field.IsNil() {
		field.Set(reflect.ValueOf(gone))
	}
}

// log appends an entry and waits for what the state answers.
func (l *life) log(data []byte) (response any, err error) {
	future, answered, err := l.append(data)
	if err != nil {
		return nil, err
	}
	defer answered()
	if err := future.Error(); err != nil {
		return nil, err
	}
	return future.Response(), nil
}

// change makes a change of the configuration and waits for it.
func (l *life) change(begin func() raft.IndexFuture) error {
	l.pending.Add(1)
	defer l.pending.Add(-1)
	if l.isOver() {
		return raft.ErrNotLeader
	}
	future := begin()
	bound(future, l.gone)
	return future.Error()
}

// judgeSettled looks whether a node that was never ready is: it votes, or as
// many voters answer as there should be, and enough would still if the next one
// were stopped. Were it ready sooner, a roll-out would stop that one too soon.
// The voters are asked: gossip learns of a death seconds later.
func (l *life) judgeSettled(ctx context.Context) {
	if !l.caughtUp.Load() {
		return
	}
	progress := l.survey(ctx)
	voters, answering, living := 0, 0, 0
	isVoter := false
	for _, s := range l.configuration().Servers {
		id := string(s.ID)
		_, answers := progress[id]
		if answers {
			living++
		}
		if s.Suffrage != raft.Voter {
			continue
		}
		voters++
		if answers {
			answering++
		}
		isVoter = isVoter || id == l.id
	}
	isSafe := answering == voters || answering-1 > voters/2
	if isVoter || isSafe && answering >= founding.Voters(living, l.node.cfg.Voters, l.node.cfg.Expect) {
		l.settled.Store(true)
	}
}
