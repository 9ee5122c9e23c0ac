package peer

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"time"
)

// Network is how a peer listens and dials. Addresses are "ip:port".
type Network interface {
	Listen(addr string) (net.Listener, error)
	Dial(ctx context.Context, addr string) (net.Conn, error)
}

// A Handler answers requests of other nodes. The context ends with the time
// that the caller has left, with the connection, and with the identity that
// was asked. body is the handler's to keep. An error reaches the caller as a
// [RemoteError] with its text; [ErrBusy], wrapped or not, as ErrBusy: with it
// the handler says that it has done nothing.
type Handler func(ctx context.Context, from string, kind uint8, body []byte) ([]byte, error)

// Config describes a Peer. ID, Keys, Addr and Address are required.
type Config struct {
	ID   string   // server ID: 1 to 64 letters, digits, "-" and "_"
	Keys [][]byte // cluster keys, 32 bytes each: the first signs what others see first, all are accepted
	Addr string   // "ip:port" to listen on

	// Address returns where the node with a server ID listens. It is asked at
	// each dial.
	Address func(id string) (addr string, err error)

	// Handle answers requests; without it they are answered with an error.
	Handle Handler

	// AcceptRaft is asked before a Raft connection of the node from, for the
	// cluster with that ID, is let in. An error refuses it; its text is sent
	// to the dialer. It may open the [Layer] that takes the connection. Without
	// it, the layer that is there decides by its cluster ID alone.
	AcceptRaft func(from, cluster string) error

	MaxFrame     int           // longest body on the small lane, in bytes; 16 MiB
	MaxBulkFrame int           // longest body on the bulk lane, in bytes; 64 MiB
	MaxInFlight  int           // most requests in flight on one connection; 4096. Their bodies may take four times the longest one
	Dial         time.Duration // longest time to dial and to be let in; 2 s
	Handshake    time.Duration // longest time that an accepted connection may take to show who it is; 5 s
	Alive        time.Duration // after so long without a frame an empty one is sent; after three times as long without a byte, the connection is dead; 2 s

	Network Network      // the machine's own
	Logger  *slog.Logger // discards by default
}

// complete checks c and puts the defaults in.
func (c *Config) complete() error {
	if len(c.Keys) == 0 {
		return fmt.Errorf("peer: Keys: at least one cluster key is needed")
	}
	for i, key := range c.Keys {
		if len(key) != keySize {
			return fmt.Errorf("peer: Keys: key %d has %d bytes, not %d", i+1, len(key), keySize)
		}
	}
	if c.Address == nil {
		return fmt.Errorf("peer: Address: is required")
	}
	setDefault(&c.MaxFrame, 16<<20)
	setDefault(&c.MaxBulkFrame, 64<<20)
	setDefault(&c.MaxInFlight, 4096)
	setDefault(&c.Dial, 2*time.Second)
	setDefault(&c.Handshake, 5*time.Second)
	setDefault(&c.Alive, 2*time.Second)
	if c.Network == nil {
		c.Network = tcp{}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

// setDefault sets *field to value where it is zero.
func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// tcp is the machine's own network. Go turns TCP's keep-alive on by itself,
// which ends Raft's connections of hosts that are gone.
type tcp struct{}

func (tcp) Listen(addr string) (net.Listener, error) {
	var l net.ListenConfig
	return l.Listen(context.Background(), "tcp", addr)
}

func (tcp) Dial(ctx context.Context, addr string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", addr)
}
