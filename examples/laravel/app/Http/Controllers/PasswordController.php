<?php

declare(strict_types=1);

namespace App\Http\Controllers;

use Illuminate\Support\Facades\Cache;
use Illuminate\Support\Facades\RateLimiter;

/** What must not be tried often. */
final class PasswordController
{
    /** Sends a code. The route's throttle limits it. */
    public function code(): array
    {
        return ['sent' => true];
    }

    /**
     * Tries a password. RateLimiter asks for the count, counts, and where a
     * window begins it may set back what others have counted: requests that
     * come together must not do that at the same time.
     */
    public function attempt(string $name): array
    {
        $key = 'password:' . $name;
        $tried = Cache::lock($key, 10)->betweenBlockedAttemptsSleepFor(50)->block(10, static function () use ($key) {
            return RateLimiter::attempt($key, 5, static fn (): bool => true, 600);
        });
        abort_unless($tried, 429);

        return ['tried' => true];
    }
}
