<?php

declare(strict_types=1);

namespace App\Controller;

use Symfony\Component\HttpFoundation\JsonResponse;
use Symfony\Component\HttpFoundation\Response;
use Symfony\Contracts\Cache\ItemInterface;
use Symfony\Contracts\Cache\TagAwareCacheInterface;

/** Shows prices that are dear to compute, until somebody changes them. */
final class PriceController
{
    private TagAwareCacheInterface $cache;

    public function __construct(TagAwareCacheInterface $cache)
    {
        $this->cache = $cache;
    }

    public function show(string $product): Response
    {
        $price = $this->cache->get('price.' . $product, static function (ItemInterface $item) use ($product): array {
            $item->tag('prices')->expiresAfter(3600);

            // The calculation's number tells a reader which one this is.
            return ['product' => $product, 'cents' => random_int(100, 999), 'calculation' => bin2hex(random_bytes(8))];
        });

        return new JsonResponse($price);
    }

    /** Forgets all prices, for every pod before it answers. */
    public function forget(): Response
    {
        $this->cache->invalidateTags(['prices']);

        return new Response('', Response::HTTP_NO_CONTENT);
    }
}
