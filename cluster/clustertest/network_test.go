package clustertest_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/huddlecache/huddle/cluster/clustertest"
)

const (
	a = "10.0.0.1"
	b = "10.0.0.2"
)

func TestStreamCarriesBytesBothWays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := clustertest.NewNetwork(1)
		dialled, accepted := connect(t, n, a, b)

		if got := accepted.RemoteAddr().String(); !strings.HasPrefix(got, a+":") {
			t.Errorf("accepted connection is from %q, want an address of %s", got, a)
		}
		if got := accepted.RemoteAddr().String(); got != dialled.LocalAddr().String() {
			t.Errorf("the ends differ about the dialler: %q and %q", got, dialled.LocalAddr())
		}
		want := bytes.Repeat([]byte("0123456789abcdef"), 100_000) // several windows
		go func() {
			write(t, dialled, want)
			dialled.Close()
		}()
		got, err := io.ReadAll(accepted)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("read %d bytes, %v; want the %d that were written", len(got), err, len(want))
		}
		if _, err := accepted.Write([]byte("late")); err != nil {
			t.Errorf("first write to a closed peer: %v, want none", err)
		}
		if _, err := accepted.Write([]byte("later")); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("second write to a closed peer: %v, want a reset", err)
		}
	})
}

func TestWriterWaitsForReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dialled, accepted := connect(t, clustertest.NewNetwork(1), a, b)
		dialled.SetWriteDeadline(time.Now().Add(time.Second))
		written, err := dialled.Write(make([]byte, 10<<20))
		if !errors.Is(err, os.ErrDeadlineExceeded) || written == 0 || written == 10<<20 {
			t.Errorf("wrote %d bytes, %v; want a part and a time-out", written, err)
		}
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("%v is no net.Error with Timeout", err)
		}
		dialled.Close()
		if got, err := io.Copy(io.Discard, accepted); err != nil || got != int64(written) {
			t.Errorf("read %d bytes, %v; want the %d that were written", got, err, written)
		}
	})
}

func TestReadDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dialled, accepted := connect(t, clustertest.NewNetwork(1), a, b)
		start := time.Now()
		dialled.SetReadDeadline(start.Add(time.Minute))
		if _, err := dialled.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read: %v, want a time-out", err)
		}
		if got := time.Since(start); got != time.Minute {
			t.Errorf("waited %v, want a minute", got)
		}
		dialled.SetReadDeadline(time.Time{})
		write(t, accepted, []byte("x"))
		expect(t, dialled, "x")
	})
}

func TestCutHoldsStreamsUntilHealed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := clustertest.NewNetwork(1)
		dialled, accepted := connect(t, n, a, b)
		n.Cut(a, b)
		write(t, dialled, []byte("held"))
		expectNothing(t, accepted)

		write(t, accepted, []byte("other way"))
		expect(t, dialled, "other way")

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := n.Host(a).Dial(ctx, accepted.LocalAddr().String()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("dial across a cut: %v, want a time-out", err)
		}

		n.Heal(a, b)
		expect(t, accepted, "held")
	})
}

func TestCutOneWayHoldsAnswerOfDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := clustertest.NewNetwork(1)
		l := listen(t, n, b)
		n.Cut(b, a)
		time.AfterFunc(time.Minute, n.HealAll)
		start := time.Now()
		c, err := n.Host(a).Dial(t.Context(), l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if got := time.Since(start); got != time.Minute {
			t.Errorf("dialled in %v, want a minute", got)
		}
	})
}

func TestPartitionIsBothWays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := clustertest.NewNetwork(1)
		dialled, accepted := connect(t, n, a, b)
		n.Partition([]string{a}, []string{b})
		write(t, dialled, []byte("one"))
		write(t, accepted, []byte("two"))
		expectNothing(t, dialled)
		expectNothing(t, accepted)
		n.HealAll()
		expect(t, dialled, "two")
		expect(t, accepted, "one")
	})
}

func TestKillResetsAndSilences(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := clustertest.NewNetwork(1)
		dialled, accepted := connect(t, n, a, b)
		old := n.Host(a)
		n.Delay(a, b, 500*time.Millisecond, 500*time.Millisecond)
		write(t, dialled, []byte("not delivered"))
		from, to := listenPacket(t, n, a), listenPacket(t, n, b)
		send(t, from, to, "not delivered")
		n.Delay(a, b, time.Minute, time.Minute) // the reset comes later than the rest would
		n.Kill(a)
		expectNoPacket(t, to)

		if _, err := dialled.Write([]byte("x")); err == nil {
			t.Error("a killed host could write")
		}
		if _, err := old.Dial(t.Context(), accepted.LocalAddr().String()); err == nil {
			t.Error("a killed host could dial")
		}
		if _, err := old.Listen(":80"); err == nil {
			t.Error("a killed host could listen")
		}
		got, err := io.ReadAll(accepted)
		if len(got) > 0 || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("read %q, %v; want nothing and a reset", got, err)
		}

		reborn := n.Host(a)
		if reborn == old {
			t.Fatal("the killed host came back as itself")
		}
		c, err := reborn.Dial(t.Context(), accepted.LocalAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
	})
}

func TestKillClosesListeners(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := clustertest.NewNetwork(1)
		l := listen(t, n, b)
		failed := make(chan error)
		go func() {
			_, err := l.Accept()
			failed <- err
		}()
		synctest.Wait()
		n.Kill(b)
		if err := <-failed; err == nil {
			t.Error("accept on a killed host: no error")
		}
		if _, err := n.Host(a).Dial(t.Context(), l.Addr().String()); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dial to a killed host: %v, want refused", err)
		}
	})
}

func TestKillAcrossACutIsNotNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := clustertest.NewNetwork(1)
		_, accepted := connect(t, n, a, b)
		n.Cut(a, b)
		n.Kill(a)
		expectNothing(t, accepted)
		n.Heal(a, b)
		if _, err := accepted.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("read after the cut: %v, want a reset", err)
		}
	})
}

func TestPauseHoldsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := clustertest.NewNetwork(1)
		n.SetDNS("svc", a, b)
		dialled, accepted := connect(t, n, a, b)
		from, to := listenPacket(t, n, a), listenPacket(t, n, b)
		n.Pause(a)
		write(t, dialled, []byte("from paused"))
		write(t, accepted, []byte("to paused"))
		send(t, from, to, "packet")
		expectNothing(t, accepted)
		expectNothing(t, dialled)
		expectNoPacket(t, to)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := n.Host(a).LookupHost(ctx, "svc"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("look-up of a paused host: %v, want a time-out", err)
		}

		n.Resume(a)
		expect(t, accepted, "from paused")
		expect(t, dialled, "to paused")
		expectPacket(t, to, "packet")
	})
}

func TestDelayKeepsOrderOfStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := clustertest.NewNetwork(7)
		dialled, accepted := connect(t, n, a, b)
		n.Delay(a, b, 10*time.Millisecond, time.Second)
		start := time.Now()
		for c := byte('a'); c <= 'z'; c++ {
			write(t, dialled, []byte{c})
		}
		expect(t, accepted, "abcdefghijklmnopqrstuvwxyz")
		if got := time.Since(start); got < 500*time.Millisecond || got > time.Second {
			t.Errorf("the last of 26 took %v, want nearly the most", got)
		}
		n.Delay(a, b, 0, 0)
		start = time.Now()
		write(t, dialled, []byte("!"))
		expect(t, accepted, "!")
		if got := time.Since(start); got != 0 {
			t.Errorf("took %v without a delay", got)
		}
	})
}

func TestPacketFaults(t *testing.T) {
	tests := []struct {
		name   string
		faults clustertest.PacketFaults
		check  func(sent, got []string) bool
	}{
		{"none", clustertest.PacketFaults{}, func(sent, got []string) bool { return slices.Equal(sent, got) }},
		{"loss", clustertest.PacketFaults{Loss: 0.5}, func(sent, got []string) bool {
			return len(got) > 20 && len(got) < 80
		}},
		{"duplicate", clustertest.PacketFaults{Duplicate: 0.5}, func(sent, got []string) bool {
			return len(got) > 120 && len(got) < 180 && slices.Equal(slices.Compact(got), sent)
		}},
		{"reorder", clustertest.PacketFaults{Reorder: 0.5}, func(sent, got []string) bool {
			return !slices.Equal(got, sent) && slices.Equal(slices.Sorted(slices.Values(got)), sent)
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := clustertest.NewNetwork(3)
				n.Packets(a, b, test.faults)
				from, to := listenPacket(t, n, a), listenPacket(t, n, b)
				var sent []string
				for i := range 100 {
					sent = append(sent, string(rune('!'+i)))
					send(t, from, to, sent[i])
					time.Sleep(time.Millisecond)
				}
				if got := receiveAll(t, to); !test.check(sent, got) {
					t.Errorf("sent %q, received %q", sent, got)
				}
			})
		})
	}
}

func TestCutLosesPackets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := clustertest.NewNetwork(1)
		from, to := listenPacket(t, n, a), listenPacket(t, n, b)
		n.Cut(a, b)
		send(t, from, to, "lost")
		n.Heal(a, b)
		send(t, from, to, "kept")
		expectPacket(t, to, "kept")
		expectNoPacket(t, to)
		send(t, to, from, "back")
		expectPacket(t, from, "back")
	})
}

func TestSameSeedLosesTheSamePackets(t *testing.T) {
	run := func(seed uint64) (got []string) {
		synctest.Test(t, func(t *testing.T) {
			n := clustertest.NewNetwork(seed)
			n.Packets(a, b, clustertest.PacketFaults{Loss: 0.5})
			from, to := listenPacket(t, n, a), listenPacket(t, n, b)
			for i := range 64 {
				send(t, from, to, string(rune('!'+i)))
			}
			got = receiveAll(t, to)
		})
		return got
	}
	if one, other := run(1), run(1); !slices.Equal(one, other) {
		t.Errorf("seed 1 delivered %q, then %q", one, other)
	}
	if one, other := run(1), run(2); slices.Equal(one, other) {
		t.Errorf("seeds 1 and 2 delivered the same: %q", one)
	}
}

func TestPortsAreFreeAfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := clustertest.NewNetwork(1).Host(a)
		for range 2 {
			l, err := h.Listen("0.0.0.0:7946")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := h.Listen(a + ":7946"); !errors.Is(err, syscall.EADDRINUSE) {
				t.Errorf("second listener: %v, want address in use", err)
			}
			p, err := h.ListenPacket(":7946")
			if err != nil {
				t.Fatal(err)
			}
			l.Close()
			p.Close()
		}
		if _, err := h.Listen(b + ":7946"); !errors.Is(err, syscall.EADDRNOTAVAIL) {
			t.Errorf("listening on the address of another: %v, want not available", err)
		}
	})
}
