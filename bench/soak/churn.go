//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/huddlecache/huddle/internal/respclient"
)

const (
	smallest = 64
	largest  = 1 << 20
	groups   = 4
	tags     = 200
)

// A mix is what sizes the values have for a while: between two bounds, each
// doubling as often as the next.
type mix struct {
	name     string
	from, to float64
}

// mixes follow each other, round and round.
var mixes = []mix{{"all sizes", smallest, largest}, {"small", smallest, 2 << 10}, {"large", 64 << 10, largest}}

// mean returns the mean of the sizes.
func (m mix) mean() float64 { return (m.to - m.from) / math.Log(m.to/m.from) }

// size returns the size at a point between 0 and 1.
func (m mix) size(at float64) int { return int(m.from * math.Pow(m.to/m.from, at)) }

// A churn is the load, and what has become of it.
type churn struct {
	node  *node
	cache int64
	value string // of which every value is a part
	turn  atomic.Int64
	moved atomic.Uint64 // how far the popular keys have moved on

	gets, found, sets, invalidations, failed atomic.Int64
	failure                                  atomic.Pointer[error] // the last one
}

func newChurn(n *node, cache int64, seed uint64) *churn {
	random := rand.New(rand.NewPCG(seed, 0))
	value := make([]byte, 2*largest)
	for i := range value {
		value[i] = byte(random.Uint32())
	}
	return &churn{node: n, cache: cache, value: string(value)}
}

// mix returns what sizes it is the turn of.
func (c *churn) mix() mix { return mixes[int(c.turn.Load())%len(mixes)] }

// A door is a way to the cache.
type door interface {
	get(ctx context.Context, group, key string) (found bool, err error)
	set(ctx context.Context, group, key, value string, ttl time.Duration, tags []string) error
}

// work is one client, until the context ends.
func (c *churn) work(ctx context.Context, number int, seed uint64) {
	random := rand.New(rand.NewPCG(seed, uint64(number)+1))
	redis := &redisDoor{respclient.New(c.node.redis, patience)}
	defer redis.client.Close()
	var d door = redis
	if number%4 == 3 {
		d = &httpDoor{base: "http://" + c.node.http + "/v1/cache/"}
	}
	var m mix
	var popular *rand.Zipf
	for ctx.Err() == nil {
		if next := c.mix(); popular == nil || next != m {
			m = next
			popular = rand.NewZipf(random, 1.01, 4, uint64(8*float64(c.cache)/m.mean())) // eight times what there is room for
		}
		err := c.step(ctx, random, d, m, popular.Uint64()+c.moved.Load())
		if err == nil && random.IntN(500) == 0 {
			err = c.invalidate(redis, random)
		}
		if err != nil && ctx.Err() == nil {
			c.failed.Add(1)
			c.failure.Store(&err)
			pause(ctx, 100*time.Millisecond)
		}
	}
}

// step reads a key, and writes it where it is missing, or else one time in
// five.
func (c *churn) step(ctx context.Context, random *rand.Rand, d door, m mix, number uint64) error {
	group, key := "group-"+strconv.FormatUint(number%groups, 10), "key:"+strconv.FormatUint(number, 10)
	found, err := d.get(ctx, group, key)
	if err != nil {
		return err
	}
	c.gets.Add(1)
	if found {
		c.found.Add(1)
		if random.IntN(5) > 0 {
			return nil
		}
	}
	if c.sets.Add(1)%100 == 0 {
		c.moved.Add(1)
	}
	at := random.IntN(largest)
	value := c.value[at : at+m.size(random.Float64())]
	var ttl time.Duration
	if random.IntN(2) == 0 {
		ttl = time.Second + time.Duration(random.Int64N(int64(2*time.Minute)))
	}
	var names []string
	for range random.IntN(3) {
		names = append(names, tagName(random))
	}
	return d.set(ctx, group, key, value, ttl, names)
}

func tagName(random *rand.Rand) string { return "tag-" + strconv.Itoa(random.IntN(tags)) }

// invalidate makes a key or a tag void, and now and then a group.
func (c *churn) invalidate(d *redisDoor, random *rand.Rand) error {
	c.invalidations.Add(1)
	command := []string{"CACHE.INVALIDATE", "group-" + strconv.Itoa(random.IntN(groups))}
	switch n := random.IntN(100); {
	case n == 0:
		command = append(command, "ALL")
	case n < 20:
		command = append(command, "TAGS", tagName(random))
	default:
		command = append(command, "KEYS", "key:"+strconv.FormatUint(c.moved.Load()+random.Uint64N(1000), 10))
	}
	_, err := d.client.Do(command...)
	return err
}

// A redisDoor is the commands for Redis clients.
type redisDoor struct{ client *respclient.Client }

func (d *redisDoor) get(_ context.Context, group, key string) (bool, error) {
	reply, err := d.client.Do("CACHE.GET", group, key)
	return reply != nil, err
}

func (d *redisDoor) set(_ context.Context, group, key, value string, ttl time.Duration, tags []string) error {
	command := []string{"CACHE.SET", group, key, value}
	if ttl > 0 {
		command = append(command, "PX", strconv.FormatInt(ttl.Milliseconds(), 10))
	}
	if len(tags) > 0 {
		command = append(append(command, "TAGS", strconv.Itoa(len(tags))), tags...)
	}
	_, err := d.client.Do(command...)
	return err
}

// An httpDoor is the HTTP API.
type httpDoor struct{ base string }

func (d *httpDoor) get(ctx context.Context, group, key string) (bool, error) {
	status, err := d.do(ctx, http.MethodGet, group+"/"+key, nil)
	return status == http.StatusOK, err
}

func (d *httpDoor) set(ctx context.Context, group, key, value string, ttl time.Duration, tags []string) error {
	path := group + "/" + key + "?tags=" + strings.Join(tags, ",")
	if ttl > 0 {
		path += "&ttl=" + ttl.String()
	}
	_, err := d.do(ctx, http.MethodPut, path, []byte(value))
	return err
}

func (d *httpDoor) do(ctx context.Context, method, path string, body []byte) (status int, err error) {
	request, err := http.NewRequestWithContext(ctx, method, d.base+path, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	said, err := io.ReadAll(answer.Body)
	switch {
	case err != nil:
		return 0, err
	case answer.StatusCode >= 400 && answer.StatusCode != http.StatusNotFound:
		return 0, errors.New(answer.Status + ": " + fmt.Sprintf("%.200s", said))
	}
	return answer.StatusCode, nil
}
