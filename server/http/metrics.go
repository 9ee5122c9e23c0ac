package http

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/huddlecache/huddle/cache"
	"github.com/huddlecache/huddle/cluster"
	"github.com/huddlecache/huddle/server/redis"
)

// scrapePatience bounds what a scrape waits for the node's own state.
const scrapePatience = time.Second

// A collector turns what the parts of a node count into Prometheus' metrics.
// The parts know nothing of Prometheus; names and help texts are here.
type collector struct {
	cfg Config
}

// Describe sends nothing, which makes the collector an unchecked one: its
// metrics are those that Collect sends, and there is one place to add one.
func (c *collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapePatience)
	defer cancel()
	s := sink{out}
	s.gauge("huddle_build_info", "Always 1, with the release as a label.", 1, label{"version", c.cfg.Version})
	s.gauge("huddle_ready", "Whether this node should be sent clients (1) or not (0).", truth(c.cfg.Node.Ready() == nil))
	status := c.cfg.Node.Status(ctx)
	s.status(status)
	if c.cfg.Redis != nil {
		s.redis(c.cfg.Redis)
	}
	if c.cfg.Cache != nil {
		s.cache(c.cfg.Cache.Counters(), c.cfg.Cache.Ring(), status.Node)
	}
}

// A label is the name and the value of one.
type label struct{ name, value string }

// A sink sends metrics in the form that the code above reads best in.
type sink struct{ out chan<- prometheus.Metric }

func (s sink) gauge(name, help string, value float64, labels ...label) {
	s.send(name, help, prometheus.GaugeValue, value, labels)
}

func (s sink) counter(name, help string, value uint64, labels ...label) {
	s.send(name, help, prometheus.CounterValue, float64(value), labels)
}

func (s sink) send(name, help string, kind prometheus.ValueType, value float64, labels []label) {
	var names, values []string
	for _, l := range labels {
		names, values = append(names, l.name), append(values, l.value)
	}
	desc := prometheus.NewDesc(name, help, names, nil)
	s.out <- prometheus.MustNewConstMetric(desc, kind, value, values...)
}

func (s sink) status(status cluster.Status) {
	s.gauge("huddle_quorum", "Whether a leader was confirmed by a majority within the last seconds (1) or not (0).", truth(status.Quorum))
	s.gauge("huddle_leader", "Whether this node leads (1) or not (0).", truth(status.Leader != "" && status.Leader == status.Node))
	s.gauge("huddle_term", "Raft's term.", float64(status.Term))
	s.gauge("huddle_applied_index", "Index of the last log entry that this node has applied.", float64(status.Index))
	s.gauge("huddle_level", "What the cluster has agreed to do: rises when all nodes run a newer release.", float64(status.Level))
	s.gauge("huddle_problems", "How many problems GET /v1/cluster describes.", float64(len(status.Problems)))

	members := map[[2]string]int{}
	for _, m := range status.Members {
		members[[2]string{m.Role, m.State}]++
	}
	for _, role := range []string{cluster.RoleLeader, cluster.RoleVoter, cluster.RoleNonvoter, cluster.RoleJoining} {
		for _, state := range []string{cluster.StateAlive, cluster.StateLeaving, cluster.StateDead} {
			s.gauge("huddle_members", "Members of the cluster, by role and state.", float64(members[[2]string{role, state}]),
				label{"role", role}, label{"state", state})
		}
	}
}

func (s sink) redis(c *redis.Counters) {
	s.counter("huddle_redis_connections_total", "Connections of Redis clients accepted.", c.Accepted.Load())
	s.counter("huddle_redis_connections_refused_total", "Connections refused because there were too many.", c.Refused.Load())
	s.counter("huddle_redis_commands_total", "Commands of Redis clients, also those that were refused.", c.Commands.Load())
	s.counter("huddle_redis_writes_total", "Commands handed to the log.", c.Writes.Load())
	s.counter("huddle_redis_reads_total", "Queries handed to the log.", c.Reads.Load())
	s.counter("huddle_redis_batches_total", "Calls of the log: writes and reads divided by these is how full a batch is.", c.Batches.Load())
	s.counter("huddle_redis_received_bytes_total", "Bytes received from Redis clients.", c.Received.Load())
	s.counter("huddle_redis_sent_bytes_total", "Bytes sent to Redis clients.", c.Sent.Load())
	s.counter("huddle_redis_cut_off_total", "Connections closed because their clients did not read the messages of what they had subscribed to.", c.Slow.Load())
	for _, kind := range []struct {
		name  string
		count *atomic.Uint64
	}{
		{"no-quorum", &c.NoQuorum},
		{"overloaded", &c.Overloaded},
		{"loading", &c.Loading},
		{"state-full", &c.Full},
		{"too-big", &c.TooBig},
		{"idempotency-key-reused", &c.Reused},
		{"unknown", &c.Unknown},
		{"unauthorized", &c.BadAuth},
		{"protocol", &c.Protocol},
	} {
		s.counter("huddle_redis_errors_total", "Errors answered to Redis clients, by kind.", kind.count.Load(), label{"kind", kind.name})
	}
}

func (s sink) cache(c cache.Counters, r cache.Ring, self string) {
	s.counter("huddle_cache_hits_total", "Looks at this node's memory that found a value, near copies included. What another node is asked for counts there.", c.Hits)
	s.counter("huddle_cache_misses_total", "Looks at this node's memory that found no value.", c.Misses)
	s.counter("huddle_cache_puts_total", "Values taken in: written, handed over, or copied from their owner.", c.Puts)
	s.counter("huddle_cache_refused_total", "Values not taken in: outdated by an invalidation, or too large.", c.Refused)
	s.counter("huddle_cache_evictions_total", "Values dropped to make room.", c.Evictions)
	s.counter("huddle_cache_expirations_total", "Values dropped after their end.", c.Expirations)
	s.counter("huddle_cache_invalidated_total", "Values dropped because they were made void.", c.Invalidated)
	s.counter("huddle_cache_removals_total", "Values dropped because they are another node's now.", c.Removals)
	s.counter("huddle_cache_loads_total", "Runs of loaders on this node.", c.Loads)
	s.gauge("huddle_cache_entries", "Values kept by this node.", float64(c.Entries))
	s.gauge("huddle_cache_bytes", "Memory that they take, with all that is kept beside them.", float64(c.Bytes))
	s.gauge("huddle_cache_bound_bytes", "Most memory that this node gives to the cache.", float64(c.Bound))
	share := 0.0
	for _, m := range r.Members {
		if m.ID == self {
			share = m.Share
		}
	}
	s.gauge("huddle_cache_share", "Share of all keys that this node owns, from 0 to 1.", share)
	s.gauge("huddle_cache_members", "Nodes that serve the cache.", float64(len(r.Members)))
	s.gauge("huddle_cache_ring_settled", "Whether all who serve are known to know of each other (1) or not (0).", truth(r.Settled))
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
