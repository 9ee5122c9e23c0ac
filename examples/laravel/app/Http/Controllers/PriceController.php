<?php

declare(strict_types=1);

namespace App\Http\Controllers;

use Illuminate\Http\Response;
use Illuminate\Support\Facades\Cache;

/** Shows prices that are dear to compute, until somebody changes them. */
final class PriceController
{
    public function show(string $product): array
    {
        // The calculation's number tells a reader which one this is.
        return Cache::tags('prices')->remember('price.' . $product, 3600, static fn (): array => [
            'product' => $product,
            'cents' => random_int(100, 999),
            'calculation' => bin2hex(random_bytes(8)),
        ]);
    }

    /** Forgets all prices, for every pod before it answers. */
    public function forget(): Response
    {
        Cache::tags('prices')->flush();

        return new Response('', Response::HTTP_NO_CONTENT);
    }
}
