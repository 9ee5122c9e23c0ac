<?php

return [
    'default' => env('QUEUE_CONNECTION', 'redis'),
    'connections' => [
        'redis' => [
            'driver' => 'redis',
            'connection' => 'default',
            'queue' => env('REDIS_QUEUE', 'default'),
            // Longer than any job takes: after it, a job counts as lost with
            // its worker and is run again.
            'retry_after' => 90,
            // Seconds that an idle worker waits at Redis instead of asking
            // every few seconds.
            'block_for' => 5,
        ],
    ],
    'failed' => ['driver' => null],
];
