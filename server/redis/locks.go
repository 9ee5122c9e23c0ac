package redis

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/huddlecache/huddle/locks"
	"github.com/huddlecache/huddle/server/resp"
)

// aheadMost is how much a client may send while it waits for a lock before it
// is no longer noticed that it hangs up, in bytes.
const aheadMost = 256 << 10

// lockCommands are the commands of the locks. A time to live that is told is
// what was left when the answer was sent. A client may count on that from when
// it sent the command. After a wait it renews first, for the time may be over,
// and counts the time that it renews for from when it sent that.
func lockCommands() []command {
	return []command{
		{name: "lock.acquire", waits: true, arity: -4, writes: true, idem: true, run: (*conn).lockAcquire},
		{name: "lock.info", arity: 2, run: (*conn).lockInfo},
		{name: "lock.release", arity: 3, writes: true, idem: true, run: (*conn).lockRelease},
		{name: "lock.renew", arity: 5, writes: true, run: (*conn).lockRenew},
	}
}

// lockAcquire answers LOCK.ACQUIRE name PX ms [WAIT ms] [OWNER o] [SHARED |
// SLOTS n] with the lease, the token and the time to live, or nil where the
// lock was not had in time.
func (c *conn) lockAcquire(args [][]byte) {
	name := string(args[1])
	o, problem := lockOptions("lock.acquire", args[2:])
	if problem != "" {
		c.fail(problem)
		return
	}
	o.Idem = c.idem
	ctx, stop := c.context(), func() {}
	if o.Wait > 0 {
		ctx, stop = c.whileConnected()
	}
	lease, err := c.server.config.Locks.AcquireLease(ctx, name, o)
	stop()
	switch {
	case errors.Is(err, locks.ErrNotAcquired):
		c.out = resp.AppendNullArray(c.out, c.proto)
	case err != nil:
		c.failLock(err, true)
	default:
		c.out = resp.AppendArray(c.out, 3)
		c.bulk(strconv.FormatUint(lease.ID, 10))
		c.out = resp.AppendInt(c.out, int64(lease.Token))
		c.out = resp.AppendInt(c.out, lease.Left.Milliseconds())
	}
}

// lockOptions reads the options of LOCK.ACQUIRE and LOCK.RENEW. The problem is
// the error to answer with, if there is one.
func lockOptions(command string, args [][]byte) (o locks.Options, problem string) {
	for i := 0; i < len(args); i++ {
		isLast := i == len(args)-1
		switch {
		case isWord(args[i], "shared"):
			o.Shared = true
			continue
		case isLast:
			return o, errSyntax
		}
		i++
		switch {
		case isWord(args[i-1], "px"):
			o.TTL, problem = lockMillis(command, args[i], 1)
		case isWord(args[i-1], "wait"):
			o.Wait, problem = lockMillis(command, args[i], 0)
		case isWord(args[i-1], "owner"):
			o.Owner = string(args[i])
		case isWord(args[i-1], "slots"):
			n, err := strconv.Atoi(string(args[i]))
			if err != nil || n < 1 {
				return o, errNotInteger
			}
			o.Slots = n
		default:
			return o, errSyntax
		}
		if problem != "" {
			return o, problem
		}
	}
	if o.TTL == 0 {
		return o, errSyntax
	}
	return o, ""
}

// lockMillis reads a time in milliseconds.
func lockMillis(command string, arg []byte, least int64) (d time.Duration, problem string) {
	n, err := strconv.ParseInt(string(arg), 10, 64)
	switch {
	case err != nil:
		return 0, errNotInteger
	case n < least || n > locks.MaxTTL.Milliseconds():
		return 0, "ERR invalid expire time in '" + command + "' command"
	}
	return time.Duration(n) * time.Millisecond, ""
}

// whileConnected returns a context that ends when the client hangs up or the
// server closes. The connection must not be read before stop was called, and
// no argument be looked at any more.
func (c *conn) whileConnected() (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancel(c.server.ctx)
	done := make(chan struct{})
	go func() { // ends with the connection, or by the deadline that stop sets
		defer close(done)
		for c.reader.Buffered() < aheadMost {
			if c.reader.Ahead() != nil {
				cancel()
				return
			}
		}
	}()
	return ctx, func() {
		past := time.Unix(1, 0)
		_ = c.socket.SetReadDeadline(past)
		<-done
		cancel()
		_ = c.socket.SetReadDeadline(time.Time{})
		if c.server.isClosing.Load() {
			_ = c.socket.SetReadDeadline(past) // as close has done, perhaps before
		}
	}
}

// lockRenew answers LOCK.RENEW name lease PX ms.
func (c *conn) lockRenew(args [][]byte) {
	o, problem := lockOptions("lock.renew", args[3:])
	if problem == "" && !isWord(args[3], "px") {
		problem = errSyntax
	}
	if problem != "" {
		c.fail(problem)
		return
	}
	_, err := c.server.config.Locks.Renew(c.context(), string(args[1]), leaseOf(args[2]), o.TTL)
	c.lockHeld(err == nil, err)
}

// lockRelease answers LOCK.RELEASE name lease.
func (c *conn) lockRelease(args [][]byte) {
	wasHeld, err := c.server.config.Locks.Release(c.context(), string(args[1]), leaseOf(args[2]), c.idem)
	c.lockHeld(wasHeld, err)
}

// leaseOf reads a lease. What is none is one that nobody has.
func leaseOf(arg []byte) uint64 {
	lease, _ := strconv.ParseUint(string(arg), 10, 64)
	return lease
}

// lockHeld answers whether a lease was held.
func (c *conn) lockHeld(isHeld bool, err error) {
	switch {
	case err != nil && !errors.Is(err, locks.ErrLost):
		c.failLock(err, true)
	case isHeld:
		c.out = resp.AppendInt(c.out, 1)
	default:
		c.out = resp.AppendInt(c.out, 0)
	}
}

// lockInfo answers LOCK.INFO name with two things: the holders, of each its
// owner, token, milliseconds left and slots (0 where the lock is shared); and
// how many wait.
func (c *conn) lockInfo(args [][]byte) {
	info, err := c.server.config.Locks.Info(c.context(), string(args[1]))
	if err != nil {
		c.failLock(err, false)
		return
	}
	c.out = resp.AppendArray(c.out, 2)
	c.out = resp.AppendArray(c.out, len(info.Holders))
	for _, h := range info.Holders {
		c.out = resp.AppendArray(c.out, 4)
		c.bulk(h.Owner)
		c.out = resp.AppendInt(c.out, int64(h.Token))
		c.out = resp.AppendInt(c.out, h.Left.Milliseconds())
		c.out = resp.AppendInt(c.out, int64(h.Slots))
	}
	c.out = resp.AppendInt(c.out, int64(info.Waiters))
}

// failLock answers with an error of the locks.
func (c *conn) failLock(err error, isWrite bool) {
	switch {
	case errors.Is(err, locks.ErrInvalid):
		c.fail("ERR " + err.Error())
	case errors.Is(err, locks.ErrClosed), errors.Is(err, context.Canceled) && c.server.isClosing.Load():
		c.fail("TRYAGAIN this node is stopping, and the lock was certainly not acquired; send the command again, to another node")
	case errors.Is(err, context.Canceled):
		c.leaving = true // nobody is there to read an answer
	default:
		c.failWith(err, isWrite)
	}
}
