// Package redis lets Redis clients use the replicated keyspace, on any node.
//
// It translates and decides nothing: a connection's goroutine reads all the
// commands that have arrived, hands each run of them that is about keys to
// the log in one call, answers by itself what is about the connection, and
// writes all replies at once. So a connection's commands take effect in their
// order, and it reads what it wrote.
package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/huddlecache/huddle/cache"
	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/counters"
	"github.com/huddlecache/huddle/keyspace"
	"github.com/huddlecache/huddle/locks"
	"github.com/huddlecache/huddle/server/resp"
	"github.com/huddlecache/huddle/sessions"
)

// RedisVersion is the release of Redis that clients are told they talk to.
const RedisVersion = "7.0.15"

const (
	closePatience   = 5 * time.Second        // how long Close waits for commands in flight and slow readers
	keepAlive       = time.Minute            // between probes of a connection that is idle
	acceptPause     = 100 * time.Millisecond // after an Accept that went wrong
	refusalPatience = 100 * time.Millisecond // how long a client that is one too many has to take that in
)

// Config says what to serve, and where.
type Config struct {
	Listeners []net.Listener // closed by Close; TLS is theirs
	Log       machine.Log    // of the quorum databases' keyspace
	Sessions  *sessions.Sessions
	Locks     *locks.Locks
	Cache     *cache.Cache
	Counting  *counters.Counters
	Password  string       // of the user default; none if empty
	MaxValue  int          // longest argument in bytes; 8 MiB
	MaxConns  int          // connections at a time; 10,000
	Version   string       // release of Huddle, for people
	Stats     func() Stats // what INFO says of the node; nothing if nil. It must not wait

	// Reach waits until this node has applied the entry at index of a cluster,
	// and given out the events of all up to it (machine.Peers). If nil, a query
	// of the log is taken to do that.
	Reach func(ctx context.Context, cluster string, index uint64) error

	Logger *slog.Logger // discards by default
}

// Stats is what INFO says of the node beyond what this package knows.
type Stats struct {
	Node       string // ID
	Cluster    string // ID; empty while there is none
	Durable    bool   // its log is on disk
	Loading    bool   // the node has not been taken into its cluster yet
	StateBytes int64  // that the replicated state takes
	StateLimit int64  // that it may take
}

func (c Config) withDefaults() Config {
	if c.MaxValue == 0 {
		c.MaxValue = 8 << 20
	}
	if c.MaxConns == 0 {
		c.MaxConns = 10_000
	}
	if c.Stats == nil {
		c.Stats = func() Stats { return Stats{} }
	}
	if c.Reach == nil {
		log, question := c.Log, keyspace.AppendWatch(nil, nil)
		c.Reach = func(ctx context.Context, cluster string, index uint64) error {
			_, _, err := log.Query(ctx, machine.AtLeast(cluster, index), question)
			return err
		}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

func (c Config) validate() error {
	if c.Log == nil {
		return errors.New("redis: Config.Log is missing")
	}
	if c.MaxValue < 0 || c.MaxConns < 0 {
		return fmt.Errorf("redis: Config.MaxValue %d or MaxConns %d is negative", c.MaxValue, c.MaxConns)
	}
	return nil
}

// A Server serves the connections of its listeners.
type Server struct {
	// Counters count since Open.
	Counters Counters

	config   Config
	commands map[string]*command // what is answered here, by name in lower case
	since    time.Time
	lastID   atomic.Int64
	hub      *hub
	keeper   *keeper
	tracking *tracking
	resets   atomic.Uint64 // how often the whole keyspace was replaced: no watch outlives that
	unhear   func()        // ends the subscription to the log's events, see hear

	ctx       context.Context // ends with the patience of Close
	cancel    context.CancelFunc
	isClosing atomic.Bool
	closing   chan struct{} // closed when isClosing is set
	closeOnce sync.Once
	wg        sync.WaitGroup // goroutines of listeners and connections

	mu    sync.Mutex // guards conns
	conns map[int64]*conn
}

// Open serves the listeners of config until Close. It takes the listeners
// over, unless it returns an error.
func Open(config Config) (*Server, error) {
	config = config.withDefaults()
	if err := config.validate(); err != nil {
		return nil, err
	}
	s := &Server{
		config:   config,
		commands: ownCommands(),
		since:    time.Now(),
		closing:  make(chan struct{}),
		hub:      newHub(),
		keeper:   newKeeper(config.Log),
		conns:    map[int64]*conn{},
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.tracking = newTracking(s)
	s.unhear = config.Log.Subscribe(s.hear)
	go s.keeper.keep(s.ctx) // Close waits for it
	for _, l := range config.Listeners {
		s.wg.Go(func() { s.accept(l) })
	}
	return s, nil
}

// hear passes the events of the keyspace on to those who wait for them here.
// It is called in the order of the log, which waits for it.
func (s *Server) hear(e machine.Event) {
	s.tracking.hear(e)
	s.keeper.hear(e)
	switch {
	case e.Reset: // events may have been missed
		s.resets.Add(1)
		s.hub.cut()
	case e.Kind == keyspace.EventMessage:
		if channel, message, ok := keyspace.ReadMessage(e.Key); ok {
			s.hub.publish(channel, message)
		}
	case e.Kind == keyspace.EventNotice:
		s.hub.notice(e.Key)
	}
}

// Close stops listening and ends all connections: idle ones at once, others
// when what they have sent and was read has been answered, those that do not
// take their answers after five seconds. It waits for all of that, and may be
// called more than once.
func (s *Server) Close() error {
	var err error
	s.closeOnce.Do(func() { err = s.close() })
	s.wg.Wait()
	return err
}

func (s *Server) close() error {
	s.mu.Lock()
	s.isClosing.Store(true)
	s.mu.Unlock()
	close(s.closing)
	s.tracking.close()
	var errs []error
	for _, l := range s.config.Listeners {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, fmt.Errorf("closing listener: %w", err))
		}
	}
	for _, c := range s.all() {
		// Whoever waits for a command wakes up; whoever is busy finds that
		// nothing more is to be read.
		_ = c.socket.SetReadDeadline(time.Unix(1, 0))
	}
	cut := time.AfterFunc(closePatience, func() {
		s.cancel()
		for _, c := range s.all() {
			_ = c.socket.Close()
		}
	})
	s.wg.Wait()
	cut.Stop()
	s.cancel()
	s.unhear()
	<-s.keeper.done
	return errors.Join(errs...)
}

// accept takes connections until its listener is closed.
func (s *Server) accept(l net.Listener) {
	for {
		socket, err := l.Accept()
		switch {
		case err == nil:
			s.admit(socket)
		case s.isClosing.Load() || errors.Is(err, net.ErrClosed):
			return
		default:
			s.config.Logger.Warn("cannot accept Redis connections", slog.Any("listener", l.Addr()), slog.Any("error", err))
			select {
			case <-s.closing:
				return
			case <-time.After(acceptPause):
			}
		}
	}
}

// admit starts serving a connection, or turns it away.
func (s *Server) admit(socket net.Conn) {
	s.Counters.Accepted.Add(1)
	c := newConn(s, socket)
	s.mu.Lock()
	isFull, isClosing := len(s.conns) >= s.config.MaxConns, s.isClosing.Load()
	if !isFull && !isClosing {
		s.conns[c.id] = c
		s.wg.Go(c.serve)
	}
	s.mu.Unlock()
	switch {
	case isClosing:
		_ = socket.Close()
	case isFull:
		s.Counters.Refused.Add(1)
		refuse(socket)
	}
}

// refuse tells a client that it is one too many. A TLS client is not told,
// because a handshake could take long.
func refuse(socket net.Conn) {
	if _, isTLS := socket.(*tls.Conn); !isTLS {
		_ = socket.SetWriteDeadline(time.Now().Add(refusalPatience))
		_, _ = socket.Write(resp.AppendError(nil, "ERR max number of clients reached"))
	}
	_ = socket.Close()
}

// leave is the end of a connection.
func (s *Server) leave(c *conn) {
	_ = c.socket.Close()
	c.untrack()
	s.mu.Lock()
	delete(s.conns, c.id)
	s.mu.Unlock()
}

// byID returns the connection that has an ID, or nil.
func (s *Server) byID(id int64) *conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns[id]
}

// all returns the connections there are, oldest first.
func (s *Server) all() []*conn {
	s.mu.Lock()
	conns := make([]*conn, 0, len(s.conns))
	for _, c := range s.conns {
		conns = append(conns, c)
	}
	s.mu.Unlock()
	slices.SortFunc(conns, func(a, b *conn) int { return int(a.id - b.id) })
	return conns
}

// Connections returns how many there are.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}
