package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// phpApp is an example application that runs in several pods: beside each
// node a copy of its files, served by PHP's own web server, which knows that
// node and no other.
type phpApp struct {
	t   *testing.T
	w   *world
	php string
	dir string                 // the example
	env func(n *node) []string // what the pod beside the node is told

	mu   sync.Mutex // guards what follows
	pods []*phpPod  // those in service
	next int        // whose turn it is
}

// phpPod is one pod of an application.
type phpPod struct {
	app    *phpApp
	node   *node
	dir    string
	url    string
	log    string
	server *exec.Cmd
	alive  io.Closer      // what the server ends with
	busy   sync.WaitGroup // requests under way
}

// needsComponents returns PHP's path if it has redis and all files, which are
// below Debian's directory of PHP libraries.
func needsComponents(t *testing.T, install string, files ...string) string {
	t.Helper()
	php := needsPHP(t)
	for _, file := range files {
		if _, err := os.Stat(filepath.Join("/usr/share/php", file)); err != nil {
			missing(t, fmt.Sprintf("%s is missing: install the packages %s", file, install))
		}
	}
	return php
}

// startApp runs an example beside each node in service.
func startApp(w *world, php, example string, env func(n *node) []string) *phpApp {
	w.t.Helper()
	a := &phpApp{t: w.t, w: w, php: php, dir: "../../examples/" + example, env: env}
	for _, n := range w.inService() {
		a.serve(a.add(n))
	}
	return a
}

// workersPerPod is how many requests a pod serves at a time.
const workersPerPod = 4

// add starts a pod beside the node and waits until it answers.
func (a *phpApp) add(n *node) *phpPod {
	a.t.Helper()
	p := &phpPod{app: a, node: n, dir: a.t.TempDir()}
	p.log = filepath.Join(a.w.logs, n.name+"-php.log")
	if err := os.CopyFS(p.dir, os.DirFS(a.dir)); err != nil {
		a.t.Fatal(err)
	}
	// What Symfony has compiled where the example was tried out.
	if err := os.RemoveAll(filepath.Join(p.dir, "var")); err != nil {
		a.t.Fatal(err)
	}
	port := a.w.p.http + 1
	for !isFree(n.addr, port) {
		port++
	}
	p.url = "http://" + hostPort(n.addr, port)
	p.start(hostPort(n.addr, port))
	eventually(a.t, 20*time.Second, func() error {
		code, body, err := get(p.url + "/")
		if err == nil && code >= 500 {
			err = fmt.Errorf("%s answers %d: %s", p.url, code, body)
		}
		return err
	})
	return p
}

// start runs PHP's web server. Its processes, which do not end with each
// other, are one group; a shell ends the group when its input is closed, which
// it also is when the test binary dies.
func (p *phpPod) start(addr string) {
	t := p.app.t
	t.Helper()
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	p.server = exec.Command("sh", "-c", `"$@" & read -r _; kill -s KILL -- -$$`, "sh",
		p.app.php, "-d", "session.save_path="+p.dir, "-S", addr, "-t", "public", "public/index.php")
	p.server.Dir = p.dir
	p.server.Env = append(p.environment(), fmt.Sprintf("PHP_CLI_SERVER_WORKERS=%d", workersPerPod))
	p.server.Stdout, p.server.Stderr = log, log
	p.server.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if p.alive, err = p.server.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := p.server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.stop()
		if t.Failed() {
			t.Logf("the application beside %s wrote at last:\n%s", p.node.name, p.tail(20))
		}
	})
}

// environment gives the pod a place of its own for what PHP writes to files,
// which locks are too unless the application says where else.
func (p *phpPod) environment() []string {
	return slices.Concat(cleanEnv(), []string{"TMPDIR=" + p.dir}, p.app.env(p.node))
}

// stop ends the server; it is idempotent.
func (p *phpPod) stop() {
	p.alive.Close()
	p.server.Wait() // it kills itself too
}

// tail returns the last lines that the application wrote, without those that
// the server writes for each request.
func (p *phpPod) tail(lines int) string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	all := slices.DeleteFunc(strings.Split(strings.TrimSpace(string(b)), "\n"), func(line string) bool {
		return strings.HasSuffix(line, " Accepted") || strings.HasSuffix(line, " Closing") || strings.HasSuffix(line, " started")
	})
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// run runs one of the pod's own scripts, and returns what it prints.
func (p *phpPod) run(args ...string) (string, error) {
	cmd := p.command(args...)
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// command is one of the pod's own scripts. It dies with the test binary.
func (p *phpPod) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(p.app.t.Context(), p.app.php, args...)
	cmd.Dir = p.dir
	cmd.Env = p.environment()
	cmd.WaitDelay = time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// serve takes a pod into service.
func (a *phpApp) serve(p *phpPod) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pods = append(a.pods, p)
}

// replacement starts a new node and a pod beside it, and takes both into
// service.
func (a *phpApp) replacement() {
	a.t.Helper()
	a.w.replacement()
	nodes := a.w.inService()
	a.serve(a.add(nodes[len(nodes)-1]))
}

// retire takes a pod out of service and stops it, and then its node, when its
// requests are served.
func (a *phpApp) retire(p *phpPod) {
	a.t.Helper()
	a.remove(p)
	p.busy.Wait()
	p.stop()
	a.w.stop(p.node)
}

// crash ends a pod and its node as a crash of their machine does: they are
// taken out of service afterwards.
func (a *phpApp) crash(p *phpPod) {
	p.stop()
	a.w.kill(p.node)
	a.remove(p)
}

func (a *phpApp) remove(p *phpPod) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pods = slices.DeleteFunc(slices.Clone(a.pods), func(other *phpPod) bool { return other == p })
}

// leader returns the pod whose node leads the others.
func (a *phpApp) leader() *phpPod {
	a.t.Helper()
	n := a.w.leader(10 * time.Second)
	for _, p := range a.inService() {
		if p.node == n {
			return p
		}
	}
	a.t.Fatalf("no pod is beside the leader %s", n.name)
	return nil
}

func (a *phpApp) inService() []*phpPod {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.pods)
}

// take returns the next pod in turn, with a request of the caller under way.
func (a *phpApp) take() *phpPod {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.next++
	p := a.pods[a.next%len(a.pods)]
	p.busy.Add(1)
	return p
}

// A browser keeps cookies, whichever pod they come from.
type browser struct {
	app *phpApp

	mu      sync.Mutex // guards cookies
	cookies map[string]string
}

func (a *phpApp) browser() *browser { return &browser{app: a, cookies: map[string]string{}} }

// answer is an application's response.
type answer struct {
	code     int
	location string
	body     string
}

// browserClient is for all browsers. PHP's server answers one request a
// connection; a redirect is an answer.
var browserClient = &http.Client{
	Transport:     &http.Transport{DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Timeout:       25 * time.Second,
}

// do sends a request to the next pod in turn.
func (b *browser) do(method, path string, form ...string) (answer, error) {
	p := b.app.take()
	defer p.busy.Done()
	return b.at(p, method, path, form...)
}

// must sends a request to the next pod in turn and returns its answer, which
// has to have a code below 400.
func (b *browser) must(t *testing.T, method, path string, form ...string) answer {
	t.Helper()
	got, err := b.do(method, path, form...)
	if err != nil || got.code >= 400 {
		t.Fatalf("%s %s: got %+v, %v", method, path, got, err)
	}
	return got
}

// at sends a request to the pod. A form is names and values in turn.
func (b *browser) at(p *phpPod, method, path string, form ...string) (answer, error) {
	values := url.Values{}
	for i := 0; i+1 < len(form); i += 2 {
		values.Set(form[i], form[i+1])
	}
	request, err := http.NewRequestWithContext(b.app.t.Context(), method, p.url+path, strings.NewReader(values.Encode()))
	if err != nil {
		return answer{}, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Accept", "application/json")
	b.identify(request)
	response, err := browserClient.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	b.keep(response.Cookies())
	body, err := io.ReadAll(response.Body)
	return answer{code: response.StatusCode, location: response.Header.Get("Location"), body: string(body)}, err
}

// identify adds the cookies to a request, and the header that Laravel wants
// of scripts against forged requests.
func (b *browser) identify(request *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for name, value := range b.cookies {
		request.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	if token, err := url.PathUnescape(b.cookies["XSRF-TOKEN"]); err == nil && token != "" {
		request.Header.Set("X-XSRF-TOKEN", token)
	}
}

func (b *browser) keep(cookies []*http.Cookie) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range cookies {
		b.cookies[c.Name] = c.Value
	}
}

// spray sends a request count times, all at once, over all pods in turn. It
// returns how many were answered with each code.
func (b *browser) spray(t *testing.T, count int, method, path string, form ...string) map[int]int {
	t.Helper()
	codes := make([]int, count)
	var wg sync.WaitGroup
	for i := range count {
		wg.Go(func() {
			got, err := b.do(method, path, form...)
			if err != nil {
				t.Errorf("%s %s: %v", method, path, err)
			}
			codes[i] = got.code
		})
	}
	wg.Wait()
	tally := map[int]int{}
	for _, code := range codes {
		tally[code]++
	}
	return tally
}
