package e2e

import (
	"math/rand/v2"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// unlockScript is the text of the script with unlockDigest.
const unlockScript = `if redis.call("get",KEYS[1]) == ARGV[1] then return redis.call("del",KEYS[1]) else return 0 end`

// TestHistoriesOfRedis checks the recorder and the model against the server
// whose semantics they describe.
func TestHistoriesOfRedis(t *testing.T) {
	needsProcesses(t)
	w := newWorld(t, false)
	n := startRedis(w)
	eventually(t, 10*time.Second, func() error {
		_, err := n.client().Do("SCRIPT", "LOAD", unlockScript)
		return err
	})
	recordAndCheck(t, w, rand.Uint64(), func(*recorder) { time.Sleep(3 * time.Second) })
}

// startRedis takes a Redis server into service.
func startRedis(w *world) *node {
	t := w.t
	t.Helper()
	path := needsTool(t, "redis-server", "install the package redis-server")
	n := &node{t: t, name: "redis", addr: w.address(1), p: w.p}
	cmd := exec.Command(path, "--bind", n.addr.String(), "--port", strconv.Itoa(n.p.redis), "--save", "", "--dir", t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	w.serve(n)
	return n
}
