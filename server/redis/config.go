package redis

import (
	"path"
	"strconv"
	"strings"

	"github.com/huddlecache/huddle/keyspace"
	"github.com/huddlecache/huddle/server/resp"
)

// A parameter is one that Redis clients ask for with CONFIG GET.
type parameter struct{ name, value string }

// parameters returns what this server has of Redis' settings. None of them
// can be changed by a client, and none is a secret.
func (s *Server) parameters() []parameter {
	stats := s.config.Stats()
	appendOnly := "no"
	if stats.Durable {
		appendOnly = "yes"
	}
	return []parameter{
		{"appendonly", appendOnly},
		{"cluster-enabled", "no"},
		{"databases", strconv.Itoa(keyspace.Databases)},
		{"maxclients", strconv.Itoa(s.config.MaxConns)},
		{"maxmemory", strconv.FormatInt(stats.StateLimit, 10)},
		{"maxmemory-policy", "noeviction"},
		{noticesParameter, "gxKE"},
		{"proto-max-bulk-len", strconv.Itoa(s.config.MaxValue)},
		{"save", ""},
		{"tcp-keepalive", strconv.Itoa(int(keepAlive.Seconds()))},
		{"timeout", "0"},
	}
}

// configGet answers CONFIG GET pattern …. A name comes back as it was asked
// for, as in Redis.
func (c *conn) configGet(args [][]byte) {
	var found []parameter
	for _, p := range c.server.parameters() {
		for _, arg := range args[2:] {
			pattern := strings.ToLower(string(arg))
			if p.name == pattern {
				found = append(found, parameter{string(arg), p.value})
				break
			}
			if matched, err := path.Match(pattern, p.name); matched && err == nil {
				found = append(found, p)
				break
			}
		}
	}
	c.out = resp.AppendMap(c.out, c.proto, len(found))
	for _, p := range found {
		c.bulk(p.name)
		c.bulk(p.value)
	}
}

// noticesParameter is of the notices of keys. There are always those of classes
// g and x, as CONFIG GET says, in both their channels: a node makes the ones
// that its clients have subscribed to, and no others. CONFIG SET takes any
// classes that Redis has and changes nothing, for clients set it before they
// subscribe, as if nobody had before them.
const noticesParameter = "notify-keyspace-events"

// configSet answers CONFIG SET name value …: a value that a parameter has
// already is accepted.
func (c *conn) configSet(args [][]byte) {
	if len(args)%2 != 0 {
		c.fail(errSyntax)
		return
	}
	values := map[string]string{}
	for _, p := range c.server.parameters() {
		values[p.name] = p.value
	}
	for i := 2; i < len(args); i += 2 {
		name := string(clip(args[i], quotedBytes))
		value, found := values[strings.ToLower(name)]
		switch {
		case !found:
			c.fail("ERR Unknown option or number of arguments for CONFIG SET - '" + name + "'")
			return
		case strings.EqualFold(name, noticesParameter):
			if strings.Trim(string(args[i+1]), "Ag$lshzxeKEtmdn") != "" {
				c.fail("ERR CONFIG SET failed (possibly related to argument '" + name + "') - Invalid event class character. Use 'Ag$lshzxeKEtmdn'.")
				return
			}
		case value != string(args[i+1]):
			c.fail("ERR CONFIG SET failed (possibly related to argument '" + name + "') - can't set immutable config")
			return
		}
	}
	c.ok()
}
