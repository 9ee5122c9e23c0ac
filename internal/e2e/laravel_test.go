package e2e

import (
	"os/exec"
	"testing"
	"time"
)

// TestLaravel runs Laravel's own components, as Debian has them, on three
// nodes, through phpredis and through predis: cache and tags, locks, limiters,
// sessions and queues.
func TestLaravel(t *testing.T) {
	t.Parallel()
	php := needsLaravel(t)
	w := startNodes(t, 3, false)
	for _, client := range []string{"phpredis", "predis"} {
		t.Run(client, func(t *testing.T) {
			args := []string{"testdata/laravel.php", client}
			for _, n := range w.inService() {
				args = append(args, n.redisAddr())
			}
			cmd := exec.CommandContext(t.Context(), php, args...)
			cmd.WaitDelay = time.Second
			out, err := cmd.CombinedOutput()
			if err != nil || string(out) != "done\n" {
				t.Errorf("got %v, and what differs:\n%s", err, out)
			}
		})
	}
}

// needsLaravel returns PHP's path if it has Laravel and its clients of Redis.
func needsLaravel(t *testing.T) string {
	t.Helper()
	return needsComponents(t, "php-laravel-framework and php-nrk-predis", "Illuminate/Foundation", "Predis")
}
