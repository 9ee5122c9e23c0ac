package locks_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/huddlecache/huddle/locks"
)

// A holder that was paused past its lease may still have a write on its way.
// The database refuses it, if every row that the lock protects has the highest
// token that wrote it:
//
//	ALTER TABLE accounts ADD COLUMN fence bigint NOT NULL DEFAULT 0
func ExampleFence_database() {
	write := func(ctx context.Context, db *sql.DB, lock *locks.Lock, id, balance int64) error {
		result, err := db.ExecContext(ctx,
			`UPDATE accounts SET balance = $1, fence = $2 WHERE id = $3 AND fence <= $2`,
			balance, int64(lock.Token()), id)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n > 0 {
			return err
		}
		return locks.ErrFenced // or there is no such account
	}
	_ = write
}

func ExampleFence() {
	var fence locks.Fence
	fmt.Println(fence.Admit(34))                              // a holder
	fmt.Println(fence.Admit(35))                              // the next one
	fmt.Println(errors.Is(fence.Admit(34), locks.ErrFenced))  // the first, which was paused
	fmt.Println(fence.Admit(35), "highest:", fence.Highest()) // the next one again
	// Output:
	// <nil>
	// <nil>
	// true
	// <nil> highest: 35
}
