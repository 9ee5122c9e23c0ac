package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	phpRequests = 300
	phpUsers    = 20
	phpWorkers  = 8
)

// phpWorker is a PHP process that serves one request at a time.
type phpWorker struct {
	t   *testing.T
	in  io.Writer
	out *bufio.Reader
}

// phpAnswer is what became of one request.
type phpAnswer struct {
	Saved      bool     `json:"saved"`
	Fields     []string `json:"fields"` // when the session was opened; nil if it could not be
	Complaints []string `json:"complaints"`
}

// startPHP runs a worker until the test ends. Settings are phpredis', without
// their common prefix.
func startPHP(t *testing.T, php string, settings ...string) *phpWorker {
	t.Helper()
	args := []string{}
	for _, s := range settings {
		args = append(args, "-d", "redis.session."+s)
	}
	cmd := exec.Command(php, append(args, "testdata/worker.php")...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		cmd.Process.Kill()
		cmd.Wait()
	})
	return &phpWorker{t: t, in: in, out: bufio.NewReader(out)}
}

// request opens the user's session at the node, sets a field and saves it.
func (p *phpWorker) request(user int, field string, n *node) (phpAnswer, error) {
	var answer phpAnswer
	if _, err := fmt.Fprintf(p.in, "user%d %s %s\n", user, field, n.redisAddr()); err != nil {
		return answer, err
	}
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		return answer, err
	}
	return answer, json.Unmarshal(line, &answer)
}

// phpRun is one run of all requests.
type phpRun struct {
	w        *world
	locks    bool // PHP locks the session while it is open
	together bool // a user's requests come several at a time

	mu      sync.Mutex // guards what follows
	next    int
	busy    [phpUsers]bool     // a request of the user is under way
	acked   [phpUsers][]string // fields whose save was acknowledged
	saved   int
	failed  []string // what PHP said
	missing []string // fields that should have been there
	longest time.Duration
}

// TestPHPSessions lets PHP keep its sessions in three nodes, used in turn,
// the leader of which is killed half way and then skipped.
func TestPHPSessions(t *testing.T) {
	for _, locking := range []bool{false, true} {
		t.Run("locking "+map[bool]string{false: "off", true: "on"}[locking], func(t *testing.T) {
			php := needsPHP(t)
			w := startNodes(t, 3, false)
			r := &phpRun{w: w, locks: locking, together: locking}
			r.run(t, php, func() { w.kill(w.leader(10 * time.Second)) })
			if len(r.missing) > 0 {
				t.Errorf("acknowledged and lost: %q", r.missing)
			}
			// Only what was under way when the leader died, or came before
			// there was another one, may fail.
			if len(r.failed) > 4*phpWorkers {
				t.Errorf("%d of %d requests failed: %q", len(r.failed), phpRequests, r.failed)
			}
		})
	}
}

// TestPHPSessionsOfRedis shows with Redis that sessions are whole with
// locking, and that the check notices what is lost without it.
func TestPHPSessionsOfRedis(t *testing.T) {
	for _, locking := range []bool{false, true} {
		t.Run("locking "+map[bool]string{false: "off", true: "on"}[locking], func(t *testing.T) {
			php := needsPHP(t)
			w := newWorld(t, false)
			n := startRedis(w)
			eventually(t, 10*time.Second, func() error {
				_, err := n.client().Do("PING")
				return err
			})
			r := &phpRun{w: w, locks: locking, together: true}
			r.run(t, php, func() {})
			if got, want := len(r.missing) == 0, locking; got != want {
				t.Errorf("nothing lost: got %v, want %v", got, want)
			}
			if len(r.failed) > 0 {
				t.Errorf("got failures %q, want none", r.failed)
			}
		})
	}
}

// needsPHP returns PHP's path if it can keep sessions in Redis.
func needsPHP(t *testing.T) string {
	t.Helper()
	needsProcesses(t)
	php := needsTool(t, "php", "install the packages php-cli and php-redis")
	if out, err := exec.Command(php, "-m").Output(); err != nil || !slices.Contains(strings.Fields(string(out)), "redis") {
		missing(t, fmt.Sprintf("PHP has no redis extension (%v): install the package php-redis", err))
	}
	return php
}

// run serves all requests, does what is to be done half way, and reads all
// sessions in the end.
func (r *phpRun) run(t *testing.T, php string, halfWay func()) {
	t.Helper()
	settings := []string{"locking_enabled=0"}
	if r.locks {
		settings = []string{"locking_enabled=1", "lock_expire=10", "lock_retries=4000", "lock_wait_time=5000"}
	}
	var wg sync.WaitGroup
	half := make(chan struct{})
	for range phpWorkers {
		p := startPHP(t, php, settings...)
		wg.Go(func() {
			if err := r.work(p, half); err != nil {
				t.Errorf("worker: %v", err)
			}
		})
	}
	<-half
	halfWay()
	wg.Wait()
	r.check(t, startPHP(t, php, settings...))
}

// work serves requests until there are no more. Requests are sent at a pace
// that lets the death of the leader come between them.
func (r *phpRun) work(p *phpWorker, half chan struct{}) error {
	for {
		number, user := r.take()
		if number == phpRequests {
			return nil
		}
		if user < 0 {
			time.Sleep(5 * time.Millisecond)
			continue
		}
		if number == phpRequests/2 {
			close(half)
		}
		nodes := r.w.inService()
		field := "f" + strconv.Itoa(number)
		begin := time.Now()
		answer, err := p.request(user, field, nodes[number%len(nodes)])
		if err != nil {
			return err
		}
		r.done(user, field, answer, time.Since(begin))
		time.Sleep(20 * time.Millisecond)
	}
}

// take returns the next request's number and user. A user whose requests do
// not come together has to wait for the last one: that is user -1.
func (r *phpRun) take() (number, user int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.next == phpRequests {
		return phpRequests, -1
	}
	user = r.next % phpUsers
	if r.together {
		user = r.next / 4 % phpUsers // four requests of one user at a time
	} else if r.busy[user] {
		return -1, -1
	}
	r.busy[user] = true
	r.next++
	return r.next - 1, user
}

// done notes an answer. If requests come one at a time, the session must have
// held all that was acknowledged before.
func (r *phpRun) done(user int, field string, answer phpAnswer, took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.busy[user] = false
	r.longest = max(r.longest, took)
	if !r.together && answer.Fields != nil {
		r.compare(user, answer)
	}
	if !answer.Saved {
		r.failed = append(r.failed, strings.Join(answer.Complaints, "; "))
		return
	}
	r.saved++
	r.acked[user] = append(r.acked[user], field)
}

func (r *phpRun) compare(user int, answer phpAnswer) {
	for _, field := range r.acked[user] {
		if !slices.Contains(answer.Fields, field) {
			r.missing = append(r.missing, fmt.Sprintf("user%d.%s", user, field))
		}
	}
}

// check opens every session at every node.
func (r *phpRun) check(t *testing.T, p *phpWorker) {
	t.Helper()
	for user := range phpUsers {
		for _, n := range r.w.inService() {
			answer, err := p.request(user, "checked", n)
			if err != nil {
				t.Fatal(err)
			}
			if answer.Fields == nil {
				t.Errorf("user%d at %s: %q", user, n.name, answer.Complaints)
			}
			r.compare(user, answer)
		}
	}
	t.Logf("%d requests: %d saved, %d failed (%q); longest %v", phpRequests, r.saved, len(r.failed), r.failed, r.longest.Round(time.Millisecond))
}
