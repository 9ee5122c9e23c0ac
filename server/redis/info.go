package redis

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"
	"runtime/metrics"
	"strconv"
	"strings"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/keyspace"
	"github.com/huddlecache/huddle/server/resp"
)

// A section is one part of INFO; fields are its lines without their ends.
type section struct {
	title  string
	fields func(c *conn) []string
}

// sections returns all there is, in Redis' order.
func sections() []section {
	return []section{
		{"Server", (*conn).infoServer},
		{"Clients", (*conn).infoClients},
		{"Memory", (*conn).infoMemory},
		{"Persistence", (*conn).infoPersistence},
		{"Stats", (*conn).infoStats},
		{"Replication", func(*conn) []string {
			return []string{"role:master", "connected_slaves:0"}
		}},
		{"CPU", (*conn).infoCPU},
		{"Cluster", func(*conn) []string { return []string{"cluster_enabled:0"} }},
		{"Keyspace", (*conn).infoKeyspace},
	}
}

// info answers INFO [section …], also while there is no quorum.
func (c *conn) info(args [][]byte) {
	var b strings.Builder
	for _, s := range sections() {
		if !isAsked(s.title, args[1:]) {
			continue
		}
		if b.Len() > 0 {
			b.WriteString("\r\n")
		}
		b.WriteString("# " + s.title + "\r\n")
		for _, field := range s.fields(c) {
			b.WriteString(field + "\r\n")
		}
	}
	c.out = resp.AppendVerbatim(c.out, c.proto, "txt", b.String())
}

func isAsked(title string, names [][]byte) bool {
	for _, name := range names {
		for _, word := range []string{title, "default", "all", "everything"} {
			if isWord(name, word) {
				return true
			}
		}
	}
	return len(names) == 0
}

func (c *conn) infoServer() []string {
	s := c.server
	stats, up := s.config.Stats(), time.Since(s.since)
	return []string{
		"redis_version:" + RedisVersion,
		"huddle_version:" + s.config.Version,
		"huddle_node:" + stats.Node,
		"huddle_cluster:" + stats.Cluster,
		"redis_mode:standalone",
		"os:" + runtime.GOOS + " " + runtime.GOARCH,
		fmt.Sprintf("arch_bits:%d", strconv.IntSize),
		fmt.Sprintf("process_id:%d", os.Getpid()),
		"run_id:" + stats.Node,
		fmt.Sprintf("tcp_port:%d", s.port()),
		fmt.Sprintf("server_time_usec:%d", time.Now().UnixMicro()),
		fmt.Sprintf("uptime_in_seconds:%d", int(up.Seconds())),
		fmt.Sprintf("uptime_in_days:%d", int(up.Hours())/24),
	}
}

// port returns the first TCP port that is listened on, 0 if there is none.
func (s *Server) port() int {
	for _, l := range s.config.Listeners {
		if a, isTCP := l.Addr().(*net.TCPAddr); isTCP {
			return a.Port
		}
	}
	return 0
}

func (c *conn) infoClients() []string {
	trackers, _, _, _ := c.server.tracking.counts()
	return []string{
		fmt.Sprintf("connected_clients:%d", c.server.Connections()),
		"cluster_connections:0",
		fmt.Sprintf("maxclients:%d", c.server.config.MaxConns),
		fmt.Sprintf("blocked_clients:%d", c.server.keeper.blocked.Load()),
		fmt.Sprintf("tracking_clients:%d", trackers),
	}
}

func (c *conn) infoMemory() []string {
	stats := c.server.config.Stats()
	used := measure("/memory/classes/total:bytes") - measure("/memory/classes/heap/released:bytes")
	return []string{
		fmt.Sprintf("used_memory:%.0f", used),
		"used_memory_human:" + human(used),
		fmt.Sprintf("used_memory_dataset:%d", stats.StateBytes),
		fmt.Sprintf("maxmemory:%d", stats.StateLimit),
		"maxmemory_human:" + human(float64(stats.StateLimit)),
		"maxmemory_policy:noeviction",
		"mem_allocator:go",
	}
}

func (c *conn) infoPersistence() []string {
	if c.server.config.Stats().Loading {
		return []string{"loading:1", "loading_eta_seconds:1", "async_loading:0"}
	}
	return []string{"loading:0", "async_loading:0"}
}

func (c *conn) infoStats() []string {
	n := &c.server.Counters
	channels, patterns := c.server.hub.counts()
	_, keys, items, prefixes := c.server.tracking.counts()
	return []string{
		fmt.Sprintf("total_connections_received:%d", n.Accepted.Load()),
		fmt.Sprintf("total_commands_processed:%d", n.Commands.Load()),
		fmt.Sprintf("total_net_input_bytes:%d", n.Received.Load()),
		fmt.Sprintf("total_net_output_bytes:%d", n.Sent.Load()),
		fmt.Sprintf("rejected_connections:%d", n.Refused.Load()),
		"evicted_keys:0",
		fmt.Sprintf("pubsub_channels:%d", channels),
		fmt.Sprintf("pubsub_patterns:%d", patterns),
		fmt.Sprintf("tracking_total_keys:%d", keys),
		fmt.Sprintf("tracking_total_items:%d", items),
		fmt.Sprintf("tracking_total_prefixes:%d", prefixes),
	}
}

func (c *conn) infoCPU() []string {
	return []string{
		fmt.Sprintf("used_cpu_user:%.6f", measure("/cpu/classes/user:cpu-seconds")),
	}
}

// infoKeyspace counts the keys of this node's replica, where there is one.
// How many of them expire is not counted; clients want to see the field.
func (c *conn) infoKeyspace() (fields []string) {
	dbsize := [][]byte{[]byte("dbsize")}
	for db := range keyspace.Databases {
		ctx, cancel := context.WithTimeout(c.server.ctx, time.Second)
		reply, _, err := c.server.config.Log.Query(ctx, machine.Local, keyspace.AppendCommand(nil, db, resp.Proto2, dbsize))
		cancel()
		if err != nil {
			return fields
		}
		keys := strings.TrimSuffix(strings.TrimPrefix(string(reply), ":"), "\r\n")
		if keys != "0" {
			fields = append(fields, fmt.Sprintf("db%d:keys=%s,expires=0,avg_ttl=0", db, keys))
		}
	}
	return fields
}

// measure reads one of the runtime's metrics.
func measure(name string) float64 {
	sample := []metrics.Sample{{Name: name}}
	metrics.Read(sample)
	switch v := sample[0].Value; v.Kind() {
	case metrics.KindUint64:
		return float64(v.Uint64())
	case metrics.KindFloat64:
		return v.Float64()
	}
	return 0
}

// human writes a number of bytes as Redis does.
func human(n float64) string {
	units := []string{"B", "K", "M", "G"}
	i := 0
	for ; n >= 1024 && i < len(units)-1; i++ {
		n /= 1024
	}
	if i == 0 {
		return fmt.Sprintf("%.0fB", n)
	}
	return fmt.Sprintf("%.2f%s", n, units[i])
}
