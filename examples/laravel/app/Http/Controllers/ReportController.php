<?php

declare(strict_types=1);

namespace App\Http\Controllers;

use Illuminate\Support\Facades\Cache;

/** Builds a report that must not be built twice at a time. */
final class ReportController
{
    public function __invoke(): array
    {
        $built = Cache::lock('report', 30)->get(static function (): string {
            usleep(200_000); // stands for the work

            return now()->toIso8601String();
        });
        abort_unless($built, 409, 'the report is being built');

        return ['built' => $built];
    }
}
