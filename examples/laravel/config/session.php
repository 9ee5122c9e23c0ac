<?php

return [
    'driver' => env('SESSION_DRIVER', 'redis'),
    'lifetime' => env('SESSION_LIFETIME', 120),
    'expire_on_close' => false,
    'encrypt' => false,
    // Database 0: sessions are no cache.
    'connection' => env('SESSION_CONNECTION', 'default'),
    'store' => env('SESSION_STORE'),
    // Redis forgets what has expired by itself.
    'lottery' => [0, 100],
    'cookie' => env('SESSION_COOKIE', 'shop_session'),
    'path' => '/',
    'domain' => env('SESSION_DOMAIN'),
    'secure' => env('SESSION_SECURE_COOKIE'),
    'http_only' => true,
    'same_site' => 'lax',
];
