package huddle_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"log"
	"log/slog"
	"net"
	"os"

	"github.com/huddlecache/huddle"
)

// A program that carries its own node: as many copies of it as there are pods
// make one cluster.
func Example_pods() {
	ctx := context.Background()
	key, err := base64.StdEncoding.DecodeString(os.Getenv("HUDDLE_KEY"))
	if err != nil {
		log.Fatal(err)
	}
	node, err := huddle.Open(ctx, huddle.Config{
		Join:   []string{"myapp-peers"}, // a headless service's name
		Keys:   [][]byte{key},           // 32 bytes, the same in every pod
		Logger: slog.Default(),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer node.Close(ctx)

	// Any Redis client of this process now finds the cluster at 127.0.0.1:6379.
	select {
	case <-node.Done():
		log.Print(node.Err())
	case <-ctx.Done():
	}
}

// The zero Config is a cluster of one in memory.
func Example() {
	ctx := context.Background()
	node, err := huddle.Open(ctx, huddle.Config{RedisAddr: "127.0.0.1:0", HTTPAddr: huddle.Off, Drain: -1})
	if err != nil {
		log.Fatal(err)
	}
	defer node.Close(ctx)

	conn, err := net.Dial("tcp", node.RedisAddrs()[0].String())
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprint(conn, "PING\r\n"); err != nil {
		log.Fatal(err)
	}
	answer, _ := bufio.NewReader(conn).ReadString('\n')
	fmt.Print(answer)
	// Output: +PONG
}
