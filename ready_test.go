package huddle

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestANewNodeIsReadyWhenItIsWarm(t *testing.T) {
	errCold := errors.New("cold")
	for _, test := range []struct {
		name string
		warm time.Duration // from when the cache is there; 0: never, below: always
		want time.Duration // from when the node is ready
	}{
		{"at once", -1, 0},
		{"when its share is there", 3 * time.Second, 3 * time.Second},
		{"after a while in any case", 0, warmTime},
		{"not later than that", 2 * warmTime, warmTime},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var w warmup
				began := time.Now()
				cache := func() error {
					if test.warm == 0 || time.Since(began) < test.warm {
						return errCold
					}
					return nil
				}
				for w.ready(cache) != nil {
					time.Sleep(time.Second)
				}
				if got := time.Since(began); got != test.want {
					t.Errorf("ready after %s, want %s", got, test.want)
				}
				if err := w.ready(func() error { return errCold }); err != nil {
					t.Errorf("got %v from a node that was ready once, want nil", err)
				}
			})
		})
	}
	if err := new(warmup).ready(func() error { return errCold }); !errors.Is(err, errCold) {
		t.Errorf("got %v, want the reason", err)
	}
}
