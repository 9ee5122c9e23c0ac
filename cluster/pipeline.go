package cluster

import "github.com/hashicorp/raft"

// pipelined is Raft's transport with pipelines that do not block.
//
// Raft stops reading a pipeline's answers at the first refusal, and notices
// that only between two requests. Its own pipeline hands over one answer at a
// time, so that a request sent meanwhile waited for ever: that follower got
// nothing more from this leader, and Raft could not be shut down.
type pipelined struct{ *raft.NetworkTransport }

// AppendEntriesPipeline implements raft.Transport.
func (t pipelined) AppendEntriesPipeline(id raft.ServerID, target raft.ServerAddress) (raft.AppendPipeline, error) {
	under, err := t.NetworkTransport.AppendEntriesPipeline(id, target)
	if err != nil {
		return nil, err
	}
	p := &pipeline{
		AppendPipeline: under, answers: make(chan raft.AppendFuture), stop: make(chan struct{}), done: make(chan struct{}),
	}
	go p.pass()
	return p, nil
}

// pipeline keeps the answers of the pipeline under it until somebody takes
// them. Requests are held back as before, two at a time.
type pipeline struct {
	raft.AppendPipeline
	answers chan raft.AppendFuture
	stop    chan struct{} // closed by Close
	done    chan struct{} // closed when pass has ended
}

// pass passes answers on until Close.
func (p *pipeline) pass() {
	defer close(p.done)
	var kept []raft.AppendFuture
	for {
		var answers chan raft.AppendFuture
		var next raft.AppendFuture
		if len(kept) > 0 {
			answers, next = p.answers, kept[0]
		}
		select {
		case a := <-p.AppendPipeline.Consumer():
			kept = append(kept, a)
		case answers <- next:
			kept = kept[1:]
		case <-p.stop:
			return
		}
	}
}

// Consumer implements raft.AppendPipeline.
func (p *pipeline) Consumer() <-chan raft.AppendFuture { return p.answers }

// Close implements raft.AppendPipeline. Raft calls it once.
func (p *pipeline) Close() error {
	close(p.stop)
	<-p.done
	return p.AppendPipeline.Close()
}
