package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/huddlecache/huddle/cluster"
)

// makeBackup returns the backup of a cluster that holds nothing.
func makeBackup(t *testing.T) []byte {
	t.Helper()
	n, err := cluster.Open(t.Context(), cluster.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Kill()
	for start := time.Now(); n.Ready() != nil; time.Sleep(5 * time.Millisecond) {
		if time.Since(start) > 20*time.Second {
			t.Fatal(n.Ready())
		}
	}
	b, err := n.Backup(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	if _, err := b.WriteTo(&buf); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// names lists what is in a directory.
func names(t *testing.T, dir string) (list []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

func TestBackupWritesAFileOnceItIsWhole(t *testing.T) {
	whole := makeBackup(t)
	damaged := bytes.Clone(whole)
	damaged[len(damaged)-1] ^= 1
	newer := bytes.Clone(whole)
	newer[4] = 9
	for _, test := range []struct {
		name    string
		handler http.HandlerFunc
		want    string // in the error; none if empty
	}{
		{"whole", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(whole) }, ""},
		{"damaged", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(damaged) }, "damaged"},
		{"cut", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(whole[:20]) }, "ends too early: try again"},
		{"newer", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(newer) }, "run the huddle of that node's release"},
		{"broken off", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(whole[:20])
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}, "has broken off"},
		{"refused", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(503)
			_, _ = io.WriteString(w, `{"title":"t","detail":"no quorum: wait"}`)
		}, "no quorum: wait"},
		{"no node", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }, "is not a node of Huddle"},
		{"no content", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, "is not a node of Huddle"},
	} {
		t.Run(test.name, func(t *testing.T) {
			srv := httptest.NewServer(test.handler)
			defer srv.Close()
			dir := t.TempDir()
			path := filepath.Join(dir, "b")
			if err := os.WriteFile(path, []byte("the last one"), 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := execute(t, nil, "backup", path, "--addr", srv.URL)
			want := "the last one"
			if test.want == "" {
				want = string(whole)
				if err != nil || !strings.HasPrefix(out, "backup of cluster ") || !strings.HasSuffix(out, path+"\n") {
					t.Errorf("got %q, %v", out, err)
				}
			} else if err == nil || !strings.Contains(err.Error(), test.want) || exitStatus(err) != 1 {
				t.Errorf("got %v, want %q in it", err, test.want)
			}
			if got, _ := os.ReadFile(path); string(got) != want {
				t.Errorf("the file holds %d bytes, want %d", len(got), len(want))
			}
			if got := names(t, dir); fmt.Sprint(got) != "[b]" {
				t.Errorf("the directory has %q", got)
			}
		})
	}
}

func TestBackupOverALink(t *testing.T) {
	whole := makeBackup(t)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(whole) }))
	defer srv.Close()
	dir := t.TempDir()
	target, link := filepath.Join(dir, "target"), filepath.Join(dir, "link")
	if err := os.WriteFile(target, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	if _, err := execute(t, nil, "backup", link, "--addr", srv.URL); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(target); !bytes.Equal(got, whole) {
		t.Errorf("the link's target holds %d bytes", len(got))
	}
	if info, err := os.Lstat(link); err != nil || info.Mode().Type() != os.ModeSymlink {
		t.Errorf("the link is %v, %v", info, err)
	}
}

func TestBackupToStandardOutput(t *testing.T) {
	whole := makeBackup(t)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(whole) }))
	defer srv.Close()
	out, err := execute(t, nil, "backup", "-", "--addr", srv.URL)
	if err != nil || out != string(whole) {
		t.Errorf("got %d bytes, %v; want %d", len(out), err, len(whole))
	}
}

func TestRestoreSendsTheFile(t *testing.T) {
	const done = `{"backup":{"cluster":"5f0c","index":812,"level":1,"time":"2026-01-02T03:04:05Z"},"cluster":"77aa","index":99}`
	const said = "restored the backup of cluster 5f0c at index 812, 2026-01-02T03:04:05Z; it took effect at index 99 of cluster 77aa\n"
	file := filepath.Join(t.TempDir(), "b")
	if err := os.WriteFile(file, []byte("the state"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, file string
		env        environ
		status     int
		answer     string
		sent       string
		want       string // printed, or in the error
	}{
		{"a file", file, nil, 200, done, "PUT /v1/backup  the state", said},
		{"standard input", "-", nil, 200, done, "PUT /v1/backup  from stdin", said},
		{"with a password", file, environ{"HUDDLE_PASSWORD": "p"}, 200, done, "PUT /v1/backup Bearer p the state", said},
		{"refused", file, nil, 422, `{"title":"t","detail":"the backup is damaged or not whole; nothing was changed"}`, "PUT /v1/backup  the state", "damaged or not whole; nothing was changed"},
		{"unknown", file, nil, 504, `{"title":"t","detail":"outcome unknown; restoring once more does no harm"}`, "PUT /v1/backup  the state", "outcome unknown; restoring once more"},
		{"no node", file, nil, 200, `hello`, "PUT /v1/backup  the state", "is not a node of Huddle"},
	} {
		t.Run(test.name, func(t *testing.T) {
			addr, last := serveFake(t, test.status, test.answer)
			var out, errs bytes.Buffer
			err := run(t.Context(), []string{"restore", test.file, "--addr", addr},
				process{stdin: strings.NewReader("from stdin"), stdout: &out, stderr: &errs, env: test.env})
			got := out.String()
			if err != nil {
				got = err.Error()
			}
			if !strings.Contains(got, test.want) || (err == nil) != (test.want == said) {
				t.Errorf("got %q, %v; want %q", got, err, test.want)
			}
			if got := last(); got != test.sent {
				t.Errorf("sent %q, want %q", got, test.sent)
			}
			if errs.Len() > 0 {
				t.Errorf("progress was shown to no terminal: %q", errs.String())
			}
		})
	}
}

func TestARestoreThatBreaksOffSaysWhatIsKnown(t *testing.T) {
	file := filepath.Join(t.TempDir(), "b")
	if err := os.WriteFile(file, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		panic(http.ErrAbortHandler)
	}))
	defer srv.Close()
	_, err := execute(t, nil, "restore", file, "--addr", srv.URL)
	if err == nil || !strings.Contains(err.Error(), "restoring it once more does no harm") {
		t.Errorf("after all was sent: %v", err)
	}
	srv.Close()
	_, err = execute(t, nil, "restore", file, "--addr", srv.URL)
	if err == nil || strings.Contains(err.Error(), "not known") || !strings.Contains(err.Error(), "nothing answers at") {
		t.Errorf("where nothing was sent: %v", err)
	}
}

func TestFormatSize(t *testing.T) {
	for n, want := range map[int64]string{0: "0 bytes", 1023: "1023 bytes", 1536: "1.5 KiB", 5 << 20: "5.0 MiB", 3 << 29: "1.5 GiB"} {
		if got := formatSize(n); got != want {
			t.Errorf("%d: got %q, want %q", n, got, want)
		}
	}
}
