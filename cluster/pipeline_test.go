package cluster

import (
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

// pipes is a stream layer that leads back to itself.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p pipes) Dial(raft.ServerAddress, time.Duration) (net.Conn, error) {
	here, there := net.Pipe()
	p.conns <- there
	return here, nil
}

func (p pipes) Close() error {
	close(p.done)
	return nil
}

func (p pipes) Addr() net.Addr { return serverAddr("pipes") }

// Raft reads no more answers after the first refusal, and may have several
// requests to send until it notices.
func TestRequestsDoNotBlockBehindARefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		under := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
			Stream: pipes{make(chan net.Conn, 1), make(chan struct{})}, MaxPool: 1, Timeout: 4 * time.Second,
		})
		stop := make(chan struct{})
		go func() {
			for {
				select {
				case rpc := <-under.Consumer():
					rpc.Respond(&raft.AppendEntriesResponse{Success: false}, nil)
				case <-stop:
					return
				}
			}
		}()
		p, err := pipelined{under}.AppendEntriesPipeline("b", "pipes")
		if err != nil {
			t.Fatal(err)
		}
		sent := 0
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range 8 {
				if _, err := p.AppendEntries(&raft.AppendEntriesRequest{}, &raft.AppendEntriesResponse{}); err != nil {
					return
				}
				sent++
			}
		}()
		<-p.Consumer()
		select {
		case <-done:
			if sent != 8 {
				t.Errorf("%d requests were sent, want 8", sent)
			}
		case <-time.After(time.Minute):
			t.Error("a request is blocked")
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		close(stop)
		if err := under.Close(); err != nil {
			t.Error(err)
		}
	})
}
