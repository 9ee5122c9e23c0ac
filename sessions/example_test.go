package sessions_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/sessions"
)

// Two requests of one session, on whatever nodes, change different parts of
// it, and neither loses what the other has done.
func ExampleSessions_Merge() {
	ctx := context.Background()
	s := exampleSessions() // node.Sessions() of any node
	_, _ = s.Save(ctx, "sid", []byte(`{"user":"joe","cart":{"apples":1}}`), sessions.SaveOptions{
		TTL: 30 * time.Minute, Limit: 12 * time.Hour, User: "joe",
	})
	_, _ = s.Merge(ctx, "sid", []byte(`{"cart":{"pears":2}}`), sessions.SaveOptions{})
	_, _ = s.Merge(ctx, "sid", []byte(`{"flash":"saved","cart":{"apples":null}}`), sessions.SaveOptions{})

	got, err := s.Load(ctx, "sid", sessions.LoadOptions{Touch: true})
	fmt.Println(string(got.Data), got.User, got.Left, err)
	// Output: {"cart":{"pears":2},"flash":"saved","user":"joe"} joe 30m0s <nil>
}

// All sessions of a user end before the call returns.
func ExampleSessions_DestroyAll() {
	ctx := context.Background()
	s := exampleSessions()
	_, _ = s.Save(ctx, "phone", nil, sessions.SaveOptions{User: "joe"})
	_, _ = s.Save(ctx, "laptop", nil, sessions.SaveOptions{User: "joe"})
	gone, err := s.DestroyAll(ctx, "joe", sessions.DestroyOptions{})
	fmt.Println(gone.Count, err)
	_, err = s.Load(ctx, "phone", sessions.LoadOptions{Consistency: gone.At.Consistency()})
	fmt.Println(errors.Is(err, sessions.ErrNotFound))
	// Output:
	// 2 <nil>
	// true
}

// A session that was read is saved only if nobody has saved it since.
func ExampleAtVersion() {
	ctx := context.Background()
	s := exampleSessions()
	_, _ = s.Save(ctx, "sid", []byte("1"), sessions.SaveOptions{})
	got, _ := s.Load(ctx, "sid", sessions.LoadOptions{})
	_, _ = s.Save(ctx, "sid", []byte("2"), sessions.SaveOptions{})
	_, err := s.Save(ctx, "sid", []byte("3"), sessions.SaveOptions{If: sessions.AtVersion(got.Version)})
	fmt.Println(errors.Is(err, sessions.ErrConflict))
	// Output: true
}

func exampleSessions() *sessions.Sessions {
	return sessions.New(newWorld(nil), sessions.Config{})
}

var _ machine.Log = (*world)(nil)
