package peer

import (
	"bufio"
	"io"
	"net"
	"runtime"
	"sync"
	"time"
)

const (
	flushSize  = 32 << 10 // bytes gathered before they are written: two TLS records
	directSize = 16 << 10 // bodies from this size on are not copied first
	readSize   = 16 << 10 // a TLS record, which is all that one read returns
	lingering  = time.Second
)

// A stream is what both ends of a huddle/1 connection share: a queue of
// frames and the goroutine that writes them. Whatever waits when the writer
// comes round leaves together, so many callers cost one write.
type stream struct {
	c     *conn
	r     *bufio.Reader // read by one goroutine, the owner's
	limit int           // of bodies
	alive time.Duration // an empty frame is sent after so long without another
	wake  chan struct{} // capacity 1: there is something in the queue
	done  chan struct{} // closed when the connection is over

	mu    sync.Mutex // guards what follows, and what the owner says
	err   error      // why the connection is over; nil before
	queue []outgoing
}

// An outgoing frame waits to be written.
type outgoing struct {
	frame
	call *call // of a request: whether it is still wanted
	size int   // of a reply: bytes of the request that it frees, plus one; 0: holds no place
}

func newStream(c *conn, limit int) *stream {
	alive := c.self.p.cfg.Alive
	c.raw.idle = 3 * alive
	return &stream{
		c: c, r: bufio.NewReaderSize(c, readSize), limit: limit, alive: alive,
		wake: make(chan struct{}, 1), done: make(chan struct{}),
	}
}

// isOver reports whether the connection has broken or was closed.
func (s *stream) isOver() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// enqueueLocked puts a frame in the queue; the caller calls ring afterwards.
func (s *stream) enqueueLocked(o outgoing) { s.queue = append(s.queue, o) }

// ring wakes the writer.
func (s *stream) ring() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// leave tells the other side why the connection will be closed. It returns
// when the other side has closed it, or after a second. What is still being
// sent is thrown away meanwhile: were it not read, the other side's writes
// would fail before it has read why.
func (s *stream) leave(err error) {
	s.mu.Lock()
	s.enqueueLocked(outgoing{frame: frame{typ: frameGoodbye, body: []byte(err.Error())}})
	s.mu.Unlock()
	s.ring()
	defer time.AfterFunc(lingering, func() { s.c.Close() }).Stop()
	_, _ = io.Copy(io.Discard, s.r)
}

// over closes the connection because of err. It reports whether it was the
// first to do so.
func (s *stream) over(err error) bool {
	s.mu.Lock()
	first := s.err == nil
	if first {
		s.err = err
		s.queue = nil
		close(s.done)
	}
	s.mu.Unlock()
	s.c.Close()
	return first
}

// write sends what is queued until the connection is over, and an empty frame
// where nothing else was sent for a while. leaving is told what is about to
// be written. It returns why the connection cannot be written to any more.
func (s *stream) write(leaving func([]outgoing)) error {
	alive := time.NewTimer(s.alive)
	defer alive.Stop()
	var batch []outgoing
	buf := make([]byte, 0, flushSize+directSize+maxHeader+4)
	for {
		select {
		case <-s.done:
			return net.ErrClosed
		case <-s.wake:
		case <-alive.C:
			s.mu.Lock()
			s.enqueueLocked(outgoing{frame: frame{typ: frameAlive}})
			s.mu.Unlock()
		}
		// Those who are about to send get the processor first: with 50 callers
		// it doubles the calls a second, and costs a single one nothing.
		runtime.Gosched()
		s.mu.Lock()
		batch, s.queue = s.queue, batch[:0]
		s.mu.Unlock()
		if leaving != nil {
			leaving(batch)
		}
		if err := s.flush(batch, buf); err != nil {
			return err
		}
		clear(batch)
		alive.Reset(s.alive)
	}
}

// flush writes a batch, in as few pieces as it can. buf is empty. Nothing is
// written after a goodbye.
func (s *stream) flush(batch []outgoing, buf []byte) error {
	for i := range batch {
		o := &batch[i]
		if o.call != nil && !o.call.begin(&o.wait) {
			continue
		}
		buf = o.appendHeader(buf)
		direct := len(o.body) >= directSize
		if !direct {
			buf = append(buf, o.body...)
		}
		if direct || len(buf) >= flushSize {
			if _, err := s.c.Write(buf); err != nil {
				return err
			}
			buf = buf[:0]
		}
		if direct {
			if _, err := s.c.Write(o.body); err != nil {
				return err
			}
		}
		if o.typ == frameGoodbye {
			if _, err := s.c.Write(buf); err != nil {
				return err
			}
			<-s.done
			return net.ErrClosed
		}
	}
	if len(buf) == 0 {
		return nil
	}
	_, err := s.c.Write(buf)
	return err
}
