<?php

return [
    'default' => env('CACHE_DRIVER', 'redis'),

    // Counters of the RateLimiter must be exact and must not be evicted, nor
    // go with cache:clear: they are no cache. Laravel's default is the store
    // above, in database 1.
    'limiter' => 'limiter',

    'stores' => [
        // What may be forgotten is in database 1, its locks are in database 0.
        'redis' => [
            'driver' => 'redis',
            'connection' => 'cache',
            'lock_connection' => 'default',
        ],
        'limiter' => [
            'driver' => 'redis',
            'connection' => 'default',
            // Locks are in this database too, by whatever name they have.
            'prefix' => env('CACHE_PREFIX', 'shop_cache') . '_limiter',
        ],
    ],

    'prefix' => env('CACHE_PREFIX', 'shop_cache'),
];
