package redis_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/huddlecache/huddle/server/redis"
)

// What each client was seen to send on connect, with database 3.
func TestHandshakes(t *testing.T) {
	const noMaint = "-ERR unknown subcommand 'maint_notifications'. Try CLIENT HELP.\r\n"
	tests := []struct {
		client, password string
		lines            []string
		want             string
	}{
		{"phpredis", "", []string{"SELECT 3"}, ok},
		{"phpredis", "pw", []string{"AUTH pw", "SELECT 3"}, ok + ok},
		{"phpredis, pooled", "", []string{"ECHO phpredis_1"}, "$10\r\nphpredis_1\r\n"},
		{"predis 3.6", "", []string{"HELLO 2 SETNAME predis", "CLIENT SETINFO LIB-NAME predis", "CLIENT SETINFO LIB-VER 3.6.0", "SELECT 3"}, hello2 + ok + ok + ok},
		{"predis 3.6", "pw", []string{"HELLO 2 AUTH default pw SETNAME predis", "CLIENT SETINFO LIB-NAME predis"}, hello2 + ok},
		{"ioredis 5.11", "", []string{"select 3", "client SETINFO LIB-NAME ioredis", "client SETINFO LIB-VER 5.11.0"}, ok + ok + ok},
		{"node-redis 5.12", "", []string{"SELECT 3", "CLIENT SETINFO LIB-VER 5.12.0", "CLIENT SETINFO LIB-NAME node-redis"}, ok + ok + ok},
		{"redis-py 8.1", "", []string{"HELLO 3", "CLIENT maint_notifications ON moving-endpoint-type internal-ip", "CLIENT SETINFO LIB-NAME redis-py", "CLIENT SETINFO LIB-VER 8.1.0", "SELECT 3"}, hello3 + noMaint + ok + ok + ok},
		{"go-redis 9.23", "", []string{"hello 3", "select 3", "client maint_notifications on", "client setinfo LIB-NAME go-redis", "client setinfo LIB-VER 9.23"}, hello3 + ok + noMaint + ok + ok},
		{"Lettuce", "pw", []string{"HELLO 3 AUTH default pw SETNAME n", "CLIENT SETNAME n", "SELECT 3"}, hello3 + ok + ok},
		{"Redisson", "pw", []string{"AUTH pw", "SELECT 3", "CLIENT SETNAME n", "PING", "WAIT 0 0", "WAITAOF 0 0 0"}, ok + ok + ok + "+PONG\r\n:0\r\n-ERR unknown command 'WAITAOF', with args beginning with: '0' '0' '0' \r\n"},
	}
	for _, test := range tests {
		in(t, redis.Config{Password: test.password}, func(w *world) {
			if got := w.connect().pipe(test.lines...); got != test.want {
				t.Errorf("%s:\n got %q\nwant %q", test.client, got, test.want)
			}
			c := w.connect()
			var got strings.Builder
			for _, line := range test.lines {
				got.WriteString(c.do(line))
			}
			if want := strings.ReplaceAll(test.want, ":1\r\n$4\r\nmode", ":2\r\n$4\r\nmode"); got.String() != want {
				t.Errorf("%s, line by line:\n got %q\nwant %q", test.client, got.String(), want)
			}
		})
	}
}

// What Redis 7.0.15 was seen to answer, in both versions of the protocol. An
// empty RESP3 column is the same as RESP2.
func TestReplies(t *testing.T) {
	tests := []struct{ line, two, three string }{
		{"GET nokey", "$-1\r\n", "_\r\n"},
		{"SET k v", "+OK\r\n", ""},
		{"SET k w NX", "$-1\r\n", "_\r\n"},
		{"SET k w XX GET", "$1\r\nv\r\n", ""},
		{"EXPIRE k 10", ":1\r\n", ""},
		{"TTL k", ":10\r\n", ""},
		{"MGET k no", "*2\r\n$1\r\nw\r\n$-1\r\n", "*2\r\n$1\r\nw\r\n_\r\n"},
		{"TYPE k", "+string\r\n", ""},
		{"EXISTS k", ":1\r\n", ""},
		{"TIME", "*2\r\n$10\r\n1700000000\r\n$1\r\n0\r\n", ""},
		{"GET", "-ERR wrong number of arguments for 'get' command\r\n", ""},
		{"SET k v EX 0", "-ERR invalid expire time in 'set' command\r\n", ""},
		{"SET k v EX abc", "-ERR value is not an integer or out of range\r\n", ""},
		{"EXPIRE k abc", "-ERR value is not an integer or out of range\r\n", ""},
		{"EVALSHA abc 0", "-NOSCRIPT No matching script. Please use EVAL.\r\n", ""},
		{"NOSUCH a b", "-ERR unknown command 'NOSUCH', with args beginning with: 'a' 'b' \r\n", ""},
		{"EXEC", "-ERR EXEC without MULTI\r\n", ""},
		{"PING", "+PONG\r\n", ""},
		{"PING 'a b'", "$3\r\na b\r\n", ""},
		{"PING a b", "-ERR wrong number of arguments for 'ping' command\r\n", ""},
		{"ECHO x", "$1\r\nx\r\n", ""},
		{"CLIENT ID", ":1\r\n", ""},
		{"CLIENT ID x", "-ERR wrong number of arguments for 'client|id' command\r\n", ""},
		{"CLIENT", "-ERR wrong number of arguments for 'client' command\r\n", ""},
		{"CLIENT GETNAME", "$-1\r\n", "_\r\n"},
		{"CLIENT SETNAME 'a b'", "-ERR Client names cannot contain spaces, newlines or special characters.\r\n", ""},
		{"CLIENT NOSUCH", "-ERR unknown subcommand 'NOSUCH'. Try CLIENT HELP.\r\n", ""},
		{"CLIENT NO-EVICT on", "+OK\r\n", ""},
		{"CLIENT NO-EVICT x", "-ERR syntax error\r\n", ""},
		{"CLIENT NO-TOUCH on", "-ERR unknown subcommand 'NO-TOUCH'. Try CLIENT HELP.\r\n", ""},
		{"CLIENT GETREDIR", ":-1\r\n", ""},
		{"CLIENT UNBLOCK 3", ":0\r\n", ""},
		{"CLIENT LIST TYPE foo", "-ERR Unknown client type 'foo'\r\n", ""},
		{"CLIENT LIST TYPE pubsub", "$0\r\n\r\n", "=4\r\ntxt:\r\n"},
		{"CLIENT LIST ID x", "-ERR Invalid client ID\r\n", ""},
		{"CLIENT LIST ID", "-ERR syntax error\r\n", ""},
		{"CLIENT LIST FOO", "-ERR syntax error\r\n", ""},
		{"CLIENT KILL 1.2.3.4:5", "-ERR No such client\r\n", ""},
		{"CLIENT KILL ID 99", ":0\r\n", ""},
		{"CLIENT KILL ID x", "-ERR client-id should be greater than 0\r\n", ""},
		{"CLIENT KILL a b c", "-ERR syntax error\r\n", ""},
		{"CLIENT KILL TYPE foo", "-ERR Unknown client type 'foo'\r\n", ""},
		{"CLIENT KILL TYPE normal", ":0\r\n", ""},
		{"CLIENT KILL USER nobody", "-ERR No such user 'nobody'\r\n", ""},
		{"CLIENT KILL SKIPME maybe", "-ERR syntax error\r\n", ""},
		{"CLIENT REPLY x", "-ERR syntax error\r\n", ""},
		{"COMMAND GETKEYS set a b", "*1\r\n$1\r\na\r\n", ""},
		{"COMMAND GETKEYS mset a b c d", "*2\r\n$1\r\na\r\n$1\r\nc\r\n", ""},
		{"COMMAND GETKEYS eval x 2 a b c", "*2\r\n$1\r\na\r\n$1\r\nb\r\n", ""},
		{"COMMAND GETKEYS set a", "-ERR Invalid number of arguments specified for command\r\n", ""},
		{"COMMAND GETKEYS nosuch a", "-ERR Invalid command specified\r\n", ""},
		{"COMMAND GETKEYS ping", "-ERR wrong number of arguments for 'command|getkeys' command\r\n", ""},
		{"COMMAND GETKEYS echo a", "-ERR The command has no key arguments\r\n", ""},
		{"COMMAND DOCS nosuch", "*0\r\n", "%0\r\n"},
		{"COMMAND INFO nosuch", "*1\r\n$-1\r\n", "*1\r\n_\r\n"},
		{
			"COMMAND INFO select",
			"*1\r\n*10\r\n$6\r\nselect\r\n:2\r\n*3\r\n+noscript\r\n+loading\r\n+stale\r\n:0\r\n:0\r\n:0\r\n*0\r\n*0\r\n*0\r\n*0\r\n",
			"*1\r\n*10\r\n$6\r\nselect\r\n:2\r\n~3\r\n+noscript\r\n+loading\r\n+stale\r\n:0\r\n:0\r\n:0\r\n~0\r\n~0\r\n~0\r\n~0\r\n",
		},
		{"COMMAND LIST FILTERBY PATTERN getd*", "*1\r\n$6\r\ngetdel\r\n", ""},
		{"COMMAND LIST x", "-ERR syntax error\r\n", ""},
		{"COMMAND FOO", "-ERR unknown subcommand 'FOO'. Try COMMAND HELP.\r\n", ""},
		{"CONFIG GET maxmemory-policy", "*2\r\n$16\r\nmaxmemory-policy\r\n$10\r\nnoeviction\r\n", "%1\r\n$16\r\nmaxmemory-policy\r\n$10\r\nnoeviction\r\n"},
		{"CONFIG GET MAXMEMORY-POLICY", "*2\r\n$16\r\nMAXMEMORY-POLICY\r\n$10\r\nnoeviction\r\n", "%1\r\n$16\r\nMAXMEMORY-POLICY\r\n$10\r\nnoeviction\r\n"},
		{"CONFIG GET notify-keyspace-*", "*2\r\n$22\r\nnotify-keyspace-events\r\n$4\r\ngxKE\r\n", "%1\r\n$22\r\nnotify-keyspace-events\r\n$4\r\ngxKE\r\n"},
		{"CONFIG GET nosuch [", "*0\r\n", "%0\r\n"},
		{"CONFIG GET requirepass", "*0\r\n", "%0\r\n"},
		{"CONFIG SET foo bar", "-ERR Unknown option or number of arguments for CONFIG SET - 'foo'\r\n", ""},
		{"CONFIG SET maxmemory-policy noeviction save ''", "+OK\r\n", ""},
		{"CONFIG SET databases 3", "-ERR CONFIG SET failed (possibly related to argument 'databases') - can't set immutable config\r\n", ""},
		{"CONFIG SET maxmemory", "-ERR wrong number of arguments for 'config|set' command\r\n", ""},
		{"CONFIG SET maxmemory 1 timeout", "-ERR syntax error\r\n", ""},
		{"CONFIG RESETSTAT", "+OK\r\n", ""},
		{"SELECT x", "-ERR value is not an integer or out of range\r\n", ""},
		{"SELECT 9999999999", "-ERR value is out of range, value must between -2147483648 and 2147483647\r\n", ""},
		{"SELECT 16", "-ERR DB index is out of range\r\n", ""},
		{"SELECT -1", "-ERR DB index is out of range\r\n", ""},
		{"WAIT 0 0", ":0\r\n", ""},
		{"WAIT 1 0", ":0\r\n", ""},
		{"WAIT x 0", "-ERR value is not an integer or out of range\r\n", ""},
		{"WAIT 0 x", "-ERR timeout is not an integer or out of range\r\n", ""},
		{"WAIT 0 -1", "-ERR timeout is negative\r\n", ""},
		{"ROLE", "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n", ""},
		{"READONLY", "-ERR This instance has cluster support disabled\r\n", ""},
		{"READWRITE", "-ERR This instance has cluster support disabled\r\n", ""},
		{"CLUSTER INFO", "-ERR This instance has cluster support disabled\r\n", ""},
		{"SENTINEL get-master-addr-by-name mymaster", "*2\r\n$8\r\n10.1.2.3\r\n$4\r\n6379\r\n", ""},
		{"SENTINEL masters", "-ERR unknown subcommand 'masters'. Try SENTINEL HELP.\r\n", ""},
		{"ACL WHOAMI", "$7\r\ndefault\r\n", ""},
		{"AUTH", "-ERR wrong number of arguments for 'auth' command\r\n", ""},
		{"AUTH x", "-ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?\r\n", ""},
		{"AUTH u x", wrongPass, ""},
		{"AUTH default x", ok, ""},
		{"AUTH a b c", "-ERR syntax error\r\n", ""},
		{"HELLO 4", "-NOPROTO unsupported protocol version\r\n", ""},
		{"HELLO 1", "-NOPROTO unsupported protocol version\r\n", ""},
		{"HELLO x", "-ERR Protocol version is not an integer or out of range\r\n", ""},
		{"HELLO 3 FOO", "-ERR Syntax error in HELLO option 'FOO'\r\n", ""},
		{"HELLO 2 AUTH default", "-ERR Syntax error in HELLO option 'AUTH'\r\n", ""},
		{"HELLO 2 SETNAME 'a b'", "-ERR Client names cannot contain spaces, newlines or special characters.\r\n", ""},
		{"HELLO", hello2, hello3},
	}
	for proto, greeting := range map[int]string{2: hello2, 3: hello3} {
		in(t, redis.Config{}, func(w *world) {
			c := w.connect()
			c.want(fmt.Sprint("HELLO ", proto), greeting)
			for _, test := range tests {
				want := test.two
				if proto == 3 && test.three != "" {
					want = test.three
				}
				c.want(test.line, want)
			}
		})
	}
}

func TestUnknownCommandsAreQuotedAsInRedis(t *testing.T) {
	x := func(n int) string { return strings.Repeat("x", n) }
	tests := []struct{ line, name, args string }{
		{"FOO " + x(130), "FOO", "'" + x(128) + "' "},
		{"FOO " + x(125) + " zzzz zz", "FOO", "'" + x(125) + "' "},
		{"FOO " + x(124) + " zzzz zz", "FOO", "'" + x(124) + "' 'z' "},
		{"FOO" + strings.Repeat(" y", 100), "FOO", strings.Repeat("'y' ", 32)},
		{x(200), x(128), ""},
		{`"NO\x00SUC" "a'b" "c\r\nd"`, "NO", "'a'b' 'c  d' "},
		{`""`, "", ""},
	}
	in(t, redis.Config{}, func(w *world) {
		c := w.connect()
		for _, test := range tests {
			c.want(test.line, "-ERR unknown command '"+test.name+"', with args beginning with: "+test.args+"\r\n")
		}
	})
}
