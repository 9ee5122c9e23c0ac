package redis_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/server/redis"
)

func TestClientList(t *testing.T) {
	in(t, redis.Config{}, func(w *world) {
		one, two := w.connect(), w.connect()
		one.want("HELLO 3 SETNAME first", hello3)
		one.pipe("SELECT 4", "CLIENT SETINFO lib-name lib", "CLIENT SETINFO LIB-VER 1.2", "GET a")
		time.Sleep(90 * time.Second)
		first := "id=1 addr=10.9.9.9:40001 laddr=10.1.2.3:6379 name=first age=90 idle=90 flags=N db=4 sub=0 psub=0 ssub=0 multi=-1 cmd=get user=default redir=-1 resp=3 lib-name=lib lib-ver=1.2\n"
		second := "id=2 addr=10.9.9.9:40002 laddr=10.1.2.3:6379 name= age=90 idle=90 flags=N db=0 sub=0 psub=0 ssub=0 multi=-1 cmd=client|list user=default redir=-1 resp=2 lib-name= lib-ver=\n"
		two.want("CLIENT LIST", bulk(first+second))
		two.want("CLIENT LIST TYPE normal", bulk(first+strings.Replace(second, "idle=90", "idle=0", 1)))
		two.want("CLIENT LIST ID 1 77", bulk(first))
		one.want("CLIENT GETNAME", "$5\r\nfirst\r\n")
		one.wantPrefix("CLIENT INFO", "=186\r\ntxt:id=1 addr=10.9.9.9:40001 ")
		one.want("CLIENT SETINFO FOO x", "-ERR Unrecognized option 'FOO'\r\n")
		one.want("CLIENT SETINFO LIB-NAME 'a b'", "-ERR lib-name cannot contain spaces, newlines or special characters.\r\n")
		one.want("RESET", "+RESET\r\n")
		one.want("CLIENT GETNAME", "$-1\r\n")
	})
}

func bulk(s string) string { return fmt.Sprintf("$%d\r\n%s\r\n", len(s), s) }

func TestClientKill(t *testing.T) {
	in(t, redis.Config{}, func(w *world) {
		c := w.connect()
		kill := func(line, want string, victims ...*client) {
			t.Helper()
			c.want(line, want)
			for i, v := range victims {
				if got := v.heard(); got != "CLOSED" {
					t.Errorf("%s: victim %d: got %q, want CLOSED", line, i, got)
				}
			}
		}
		kill("CLIENT KILL ID 2", ":1\r\n", w.connect())
		kill("CLIENT KILL 10.9.9.9:40003", ok, w.connect())
		kill("CLIENT KILL ADDR 10.9.9.9:40004 LADDR 10.1.2.3:6379", ":1\r\n", w.connect())
		kill("CLIENT KILL TYPE normal USER default", ":2\r\n", w.connect(), w.connect())
		kill("CLIENT KILL TYPE pubsub SKIPME no", ":0\r\n")
		kill("CLIENT KILL ID 1", ":0\r\n")
		kill("CLIENT KILL ID 1 SKIPME no", ":1\r\nCLOSED")
		synctest.Wait()
		if got := w.server.Connections(); got != 0 {
			t.Errorf("got %d connections, want none", got)
		}
	})
}

func TestHelp(t *testing.T) {
	in(t, redis.Config{}, func(w *world) {
		c := w.connect()
		c.wantPrefix("CLIENT HELP", "*35\r\n+CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:\r\n+CACHING (YES|NO)\r\n")
		c.wantPrefix("COMMAND HELP", "*15\r\n")
		c.wantPrefix("CONFIG HELP", "*9\r\n")
	})
}

func TestCommandsAreListed(t *testing.T) {
	in(t, redis.Config{}, func(w *world) {
		c := w.connect()
		count := c.do("COMMAND COUNT")
		for _, line := range []string{"COMMAND", "COMMAND INFO", "COMMAND LIST"} {
			c.wantPrefix(line, strings.Replace(count, ":", "*", 1))
		}
		names := c.do("COMMAND LIST")
		for _, name := range []string{"get", "set", "client", "idem", "hello"} {
			if !strings.Contains(names, "\r\n"+name+"\r\n") {
				t.Errorf("COMMAND LIST: got %q, want %s in it", names, name)
			}
		}
		c.wantPrefix("COMMAND INFO get", "*1\r\n*10\r\n$3\r\nget\r\n:2\r\n")
		c.wantPrefix("COMMAND INFO client|id", "*1\r\n*10\r\n$9\r\nclient|id\r\n:2\r\n")
		c.wantPrefix("COMMAND DOCS get", "*2\r\n$3\r\nget\r\n*6\r\n$7\r\nsummary\r\n")
	})
}

func TestInfo(t *testing.T) {
	stats := redis.Stats{Node: "n1", Cluster: "c1", StateBytes: 5, StateLimit: 1 << 30}
	config := redis.Config{Version: "0.1.0", Stats: func() redis.Stats { return stats }}
	in(t, config, func(w *world) {
		c := w.connect()
		all := c.do("INFO")
		for _, line := range []string{
			"# Server", "redis_version:7.0.15", "huddle_version:0.1.0", "redis_mode:standalone", "run_id:n1", "tcp_port:6379",
			"# Clients", "connected_clients:1", "# Memory", "maxmemory:1073741824", "maxmemory_human:1.00G", "maxmemory_policy:noeviction",
			"# Persistence", "loading:0", "# Stats", "total_connections_received:1", "# Replication", "role:master", "# CPU", "# Keyspace",
		} {
			if !strings.Contains(all, "\n"+line+"\r\n") {
				t.Errorf("INFO: got %q, want %s in it", all, line)
			}
		}
		c.want("INFO foo", "$0\r\n\r\n")
		c.want("info REPLICATION", bulk("# Replication\r\nrole:master\r\nconnected_slaves:0\r\n"))
		c.want("INFO cluster replication", bulk("# Replication\r\nrole:master\r\nconnected_slaves:0\r\n\r\n# Cluster\r\ncluster_enabled:0\r\n"))
		c.pipe("SET a 1", "SELECT 3", "MSET a 1 b 2")
		c.want("INFO keyspace", bulk("# Keyspace\r\ndb0:keys=1,expires=0,avg_ttl=0\r\ndb3:keys=2,expires=0,avg_ttl=0\r\n"))
		c.wantPrefix("HELLO 3", "%7")
		c.wantPrefix("INFO everything", "=")
		c.want("INFO cluster", "=34\r\ntxt:# Cluster\r\ncluster_enabled:0\r\n\r\n")

		stats.Loading = true
		w.log.set(func() { w.log.err = machine.ErrLoading })
		c.want("INFO persistence keyspace", "=84\r\ntxt:# Persistence\r\nloading:1\r\nloading_eta_seconds:1\r\nasync_loading:0\r\n\r\n# Keyspace\r\n\r\n")
		if got := c.do("INFO"); !strings.Contains(got, "# Keyspace\r\n") {
			t.Errorf("INFO while loading: got %q", got)
		}
	})
}

func TestConfigSaysWhatIsSo(t *testing.T) {
	config := redis.Config{MaxValue: 1000, MaxConns: 5, Stats: func() redis.Stats {
		return redis.Stats{Durable: true, StateLimit: 77}
	}}
	in(t, config, func(w *world) {
		c := w.connect()
		for name, want := range map[string]string{
			"maxmemory": "77", "maxclients": "5", "proto-max-bulk-len": "1000", "databases": "16", "appendonly": "yes", "timeout": "0", "save": "",
		} {
			c.want("CONFIG GET "+name, fmt.Sprintf("*2\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n", len(name), name, len(want), want))
		}
		c.wantPrefix("CONFIG GET *", "*22\r\n")
	})
}
