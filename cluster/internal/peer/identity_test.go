package peer_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"io"
	"math/big"
	"net"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/huddlecache/huddle/cluster/internal/peer"
)

func TestGossipKey(t *testing.T) {
	// Nodes of all releases must derive the same.
	const want = "7039230cee52578f7c97441ba3eb85bf84c782c5995dfceddd8034b2d5bbac0f"
	if got := hex.EncodeToString(peer.GossipKey(key(1))); got != want {
		t.Errorf("GossipKey of key 1 is %s, want %s", got, want)
	}
	if got := hex.EncodeToString(peer.GossipKey(key(2))); got == want {
		t.Error("two cluster keys have the same gossip key")
	}
}

func TestNodesKnowEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(newPipes())
		var from atomic.Value
		a := w.open(t, peer.Config{ID: "a"})
		w.open(t, peer.Config{ID: "b", Handle: func(_ context.Context, id string, kind uint8, body []byte) ([]byte, error) {
			from.Store(id)
			return append([]byte{kind}, body...), nil
		}})
		reply, err := a.Call(t.Context(), "b", peer.Small, 9, []byte("hello"))
		if err != nil || string(reply) != "\x09hello" {
			t.Errorf("Call: got %q, %v", reply, err)
		}
		if got := from.Load(); got != "a" {
			t.Errorf("the handler saw %v, want a", got)
		}
		for _, addr := range []string{"a", "b"} { // also the own one
			if id, err := a.Identity(t.Context(), addr); id != addr || err != nil {
				t.Errorf("Identity(%s): got %q, %v", addr, id, err)
			}
		}
		id, reply, err := a.CallAddr(t.Context(), "b", "", 1, []byte("x"))
		if id != "b" || string(reply) != "\x01x" || err != nil {
			t.Errorf("CallAddr: got %q, %q, %v", id, reply, err)
		}
	})
}

func TestKeys(t *testing.T) {
	old, fresh, other := key(1), key(2), key(3)
	for _, c := range []struct {
		name string
		a, b [][]byte
		ok   bool
	}{
		{"same", [][]byte{old}, [][]byte{old}, true},
		{"other", [][]byte{old}, [][]byte{fresh}, false},
		{"rotation begins", [][]byte{old, fresh}, [][]byte{old}, true},
		{"rotation", [][]byte{fresh, old}, [][]byte{old, fresh}, true},
		{"rotation begins with the new one in front", [][]byte{fresh, old}, [][]byte{old}, true},
		{"rotation ends", [][]byte{fresh, old}, [][]byte{fresh}, true},
		{"nothing in common", [][]byte{fresh, old}, [][]byte{other}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(newPipes())
				var handled atomic.Int32
				count := func(context.Context, string, uint8, []byte) ([]byte, error) {
					handled.Add(1)
					return nil, nil
				}
				a := w.open(t, peer.Config{ID: "a", Keys: c.a, Handle: count})
				b := w.open(t, peer.Config{ID: "b", Keys: c.b, Handle: count})
				_, errAB := a.Call(t.Context(), "b", peer.Small, 1, nil)
				_, errBA := b.Call(t.Context(), "a", peer.Small, 1, nil)
				for _, err := range []error{errAB, errBA} {
					if c.ok && err != nil {
						t.Errorf("Call: %v", err)
					}
					if !c.ok && (!errors.Is(err, peer.ErrNotSent) || !errors.Is(err, peer.ErrKey)) {
						t.Errorf("Call: got %v, want ErrNotSent and ErrKey", err)
					}
				}
				if got := handled.Load(); !c.ok && got != 0 {
					t.Errorf("%d requests were handled under a wrong key", got)
				}
			})
		})
	}
}

func TestAnotherNodeAtTheAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(newPipes())
		var handled atomic.Int32
		a := w.open(t, peer.Config{ID: "a"})
		w.open(t, peer.Config{ID: "c", Handle: func(context.Context, string, uint8, []byte) ([]byte, error) {
			handled.Add(1)
			return nil, nil
		}})
		w.move("b", "c")
		_, call := a.Call(t.Context(), "b", peer.Small, 1, nil)
		_, _, callAddr := a.CallAddr(t.Context(), "c", "b", 1, nil)
		for _, err := range []error{call, callAddr} {
			var other *peer.IdentityError
			if !errors.As(err, &other) || other.Want != "b" || other.Got != "c" || !errors.Is(err, peer.ErrNotSent) {
				t.Errorf("got %v, want ErrNotSent with IdentityError{b, c}", err)
			}
		}
		if got := handled.Load(); got != 0 {
			t.Errorf("the wrong node handled %d requests", got)
		}
	})
}

// selfSigned is a certificate that names a node but is of no cluster key.
func selfSigned(t *testing.T, id string) tls.Certificate {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), URIs: []*url.URL{{Scheme: "huddle", Host: id}},
		NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}
}

func TestStrangersAreClosed(t *testing.T) {
	handshake := func(cfg *tls.Config) func(net.Conn) {
		return func(c net.Conn) {
			cfg.InsecureSkipVerify = true
			tc := tls.Client(c, cfg)
			tc.Write([]byte("\x05small\x00\x00\x00\x0b\x01\x00\x00\x00\x00\x00\x00\x00\x01\x07\x00"))
		}
	}
	for _, c := range []struct {
		name  string
		speak func(net.Conn)
	}{
		{"silent", func(net.Conn) {}},
		{"closed at once", func(c net.Conn) { c.Close() }},
		{"one byte of TLS", func(c net.Conn) { c.Write([]byte{22}) }},
		{"garbage", func(c net.Conn) { c.Write([]byte(strings.Repeat("\x00\xff\x80", 100))) }},
		{"HTTP", func(c net.Conn) { io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n") }},
		{"a byte a second", func(c net.Conn) {
			for _, b := range []byte("\x16\x03\x01\x01\x00\x01\x00\x00\xfc\x03\x03") {
				if _, err := c.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}},
		{"no certificate", handshake(&tls.Config{NextProtos: []string{"huddle/1"}})},
		{"no protocol", handshake(&tls.Config{})},
		{"another protocol", handshake(&tls.Config{NextProtos: []string{"h2"}})},
		{"a certificate of its own", handshake(&tls.Config{
			NextProtos: []string{"huddle/1"}, Certificates: []tls.Certificate{selfSigned(t, "a")},
		})},
		{"TLS 1.2", handshake(&tls.Config{MaxVersion: tls.VersionTLS12, NextProtos: []string{"huddle/1"}})},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newPipes()
				w := newWorld(n)
				w.open(t, peer.Config{ID: "b", Handle: func(_ context.Context, from string, _ uint8, _ []byte) ([]byte, error) {
					if from != "a" {
						t.Errorf("a request of %q was handled", from)
					}
					return nil, nil
				}})
				conn, err := n.Dial(t.Context(), "b")
				if err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				done := make(chan struct{})
				go func() {
					defer close(done)
					c.speak(conn)
				}()
				io.Copy(io.Discard, conn) // returns when it is closed
				if took := time.Since(start); took > 5*time.Second {
					t.Errorf("closed after %v, want 5s at most", took)
				}
				conn.Close()
				<-done
				a := w.open(t, peer.Config{ID: "a"})
				if _, err := a.Call(t.Context(), "b", peer.Small, 1, nil); err != nil {
					t.Errorf("Call of a node afterwards: %v", err)
				}
			})
		})
	}
}

// TestAnothersCertificate shows b a certificate that it is right to trust,
// its own, without the key that belongs to it.
func TestAnothersCertificate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newPipes()
		w := newWorld(n)
		w.open(t, peer.Config{ID: "b", Handle: func(_ context.Context, from string, _ uint8, _ []byte) ([]byte, error) {
			t.Errorf("a request of %q was handled", from)
			return nil, nil
		}})
		mine := selfSigned(t, "a")
		for range 2 { // the first round learns b's certificate, the second shows it
			conn, err := n.Dial(t.Context(), "b")
			if err != nil {
				t.Fatal(err)
			}
			tc := tls.Client(conn, &tls.Config{
				InsecureSkipVerify: true, NextProtos: []string{"huddle/1"}, Certificates: []tls.Certificate{mine},
			})
			tc.Handshake()
			go io.WriteString(tc, "\x05small\x00\x00\x00\x0b\x01\x00\x00\x00\x00\x00\x00\x00\x01\x07\x00")
			if got, err := io.ReadAll(tc); err == nil {
				t.Errorf("b let it in and said %q", got)
			}
			if len(tc.ConnectionState().PeerCertificates) == 0 {
				t.Fatal("b showed no certificate")
			}
			mine.Certificate = append(mine.Certificate, tc.ConnectionState().PeerCertificates[0].Raw)
			conn.Close()
		}
	})
}

func TestSilentConnectionsDoNotShutOutNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newPipes()
		w := newWorld(n)
		a := w.open(t, peer.Config{ID: "a"})
		w.open(t, peer.Config{ID: "b"})
		start := time.Now()
		var open atomic.Int32
		for range 1000 {
			c, err := n.Dial(t.Context(), "b")
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			open.Add(1)
			go func() {
				io.Copy(io.Discard, c)
				open.Add(-1)
			}()
		}
		synctest.Wait()
		if got := open.Load(); got > 256 {
			t.Errorf("%d connections wait for their handshake, want 256 at most", got)
		}
		if _, err := a.Call(t.Context(), "b", peer.Small, 1, nil); err != nil {
			t.Errorf("Call among them: %v", err)
		}
		if took := time.Since(start); took > 0 {
			t.Errorf("it took %v", took)
		}
	})
}

func TestSetIdentity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(newPipes())
		ended := make(chan error, 1)
		a := w.open(t, peer.Config{ID: "a"})
		b := w.open(t, peer.Config{ID: "b", Handle: func(ctx context.Context, from string, kind uint8, _ []byte) ([]byte, error) {
			if kind == 1 {
				<-ctx.Done()
				ended <- ctx.Err()
			}
			return []byte(from), nil
		}})
		layer := b.RaftLayer("c")
		waiting := make(chan error, 1)
		go func() {
			_, err := a.Call(t.Context(), "b", peer.Small, 1, nil)
			waiting <- err
		}()
		synctest.Wait()
		addr := b.Addr()
		if err := b.SetIdentity("b2"); err != nil {
			t.Fatal(err)
		}
		if err := <-waiting; !errors.Is(err, peer.ErrLost) {
			t.Errorf("a call in flight: got %v, want ErrLost", err)
		}
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("its handler's context: got %v, want Canceled", err)
		}
		if _, err := layer.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept of the former layer: got %v, want ErrClosed", err)
		}
		if b.ID() != "b2" || b.Addr() != addr {
			t.Errorf("it is %s at %v, want b2 at %v", b.ID(), b.Addr(), addr)
		}
		var other *peer.IdentityError
		if _, err := a.Call(t.Context(), "b", peer.Small, 2, nil); !errors.As(err, &other) || other.Got != "b2" {
			t.Errorf("Call to the former ID: got %v, want an IdentityError", err)
		}
		w.move("b2", "b")
		if _, err := a.Call(t.Context(), "b2", peer.Small, 2, nil); err != nil {
			t.Errorf("Call to the new ID: %v", err)
		}
		if from, err := b.Call(t.Context(), "b2", peer.Small, 2, nil); string(from) != "b2" || err != nil {
			t.Errorf("Call to itself: it was seen as %q, error %v", from, err)
		}
		if err := b.SetIdentity("not/an id"); err == nil {
			t.Error("SetIdentity takes what is no ID")
		}
	})
}

func TestConfigIsChecked(t *testing.T) {
	address := func(string) (string, error) { return "", nil }
	for _, c := range []struct {
		name string
		cfg  peer.Config
		want string
	}{
		{"no keys", peer.Config{ID: "a", Address: address}, "Keys"},
		{"short key", peer.Config{ID: "a", Keys: [][]byte{key(1), []byte("short")}, Address: address}, "Keys: key 2"},
		{"no addresses", peer.Config{ID: "a", Keys: [][]byte{key(1)}}, "Address"},
		{"no ID", peer.Config{Keys: [][]byte{key(1)}, Address: address}, "ID"},
		{"an ID that is none", peer.Config{ID: "a b", Keys: [][]byte{key(1)}, Address: address}, "ID"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.cfg.Network = newPipes()
			if _, err := peer.Open(c.cfg); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error that names %s", err, c.want)
			}
		})
	}
}

func TestDialingAStranger(t *testing.T) {
	for name, speak := range map[string]func(net.Conn){
		"silent":         func(net.Conn) {},
		"closed at once": func(c net.Conn) { c.Close() },
		"HTTP":           func(c net.Conn) { io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n") },
		"TLS of others": func(c net.Conn) {
			tls.Server(c, &tls.Config{
				Certificates: []tls.Certificate{selfSigned(t, "b")}, NextProtos: []string{"huddle/1"},
			}).Handshake()
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newPipes()
				w := newWorld(n)
				a := w.open(t, peer.Config{ID: "a"})
				l, _ := n.Listen("b")
				w.move("b", "b")
				go func() {
					c, err := l.Accept()
					if err != nil {
						t.Error(err)
						return
					}
					go speak(c)
					io.Copy(io.Discard, c)
				}()
				start := time.Now()
				if _, err := a.Call(t.Context(), "b", peer.Small, 1, nil); !errors.Is(err, peer.ErrNotSent) {
					t.Errorf("got %v, want ErrNotSent", err)
				}
				if took := time.Since(start); took > 2*time.Second {
					t.Errorf("it took %v, want 2s at most", took)
				}
			})
		})
	}
}
