package e2e

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

// TestSymfony runs Symfony's own components, as Debian has them, with a DSN of
// three nodes and nothing else changed: locks (exclusive and shared),
// semaphores, caches (plain and with tags), a rate limiter; and predis.
func TestSymfony(t *testing.T) {
	t.Parallel()
	needsProcesses(t)
	php := needsTool(t, "php", "install the packages php-cli and php-redis")
	for _, file := range []string{
		"Symfony/Component/Lock", "Symfony/Component/Cache", "Symfony/Component/RateLimiter", "Symfony/Component/Semaphore", "Predis",
	} {
		if _, err := os.Stat("/usr/share/php/" + file + "/autoload.php"); err != nil {
			missing(t, file+" is missing: install the packages php-symfony-lock, -cache, -rate-limiter and -semaphore, and php-nrk-predis")
		}
	}
	w := startNodes(t, 3, false)
	args := []string{"testdata/symfony.php"}
	for _, n := range w.inService() {
		args = append(args, n.redisAddr())
	}
	cmd := exec.CommandContext(t.Context(), php, args...)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if err != nil || string(out) != "done\n" {
		t.Errorf("got %v, and what differs:\n%s", err, out)
	}
}
