<?php

use Symfony\Component\DependencyInjection\Loader\Configurator\ContainerConfigurator;

// Everything that pods share is in one place, named by one variable. What
// stays local is what the build makes: the container, the routes
// (cache.system).
return static function (ContainerConfigurator $container): void {
    $container->extension('framework', [
        'secret' => '%env(APP_SECRET)%',
        'http_method_override' => false,
        'session' => [
            'handler_id' => '%env(REDIS_DSN)%',
            'storage_factory_id' => 'session.storage.factory.native',
            'cookie_secure' => 'auto',
            'cookie_samesite' => 'lax',
        ],
        'cache' => [
            // Else keys begin with a hash of the directory the pod runs in.
            'prefix_seed' => 'shop',
            'default_redis_provider' => '%env(REDIS_DSN)%',
            'app' => 'cache.adapter.redis_tag_aware',
            'pools' => [
                // Apart from cache.app, which may be cleared at any time.
                'cache.jobs' => ['adapter' => 'cache.adapter.redis'],
            ],
        ],
        // The recipe's LOCK_DSN=flock locks within one pod only.
        'lock' => '%env(REDIS_DSN)%',
        'rate_limiter' => [
            // A limiter reads its window, adds to it and saves it: only its
            // lock makes that exact, so the lock has to be shared too.
            'login' => [
                'policy' => 'sliding_window',
                'limit' => 5,
                'interval' => '10 minutes',
                'cache_pool' => 'cache.rate_limiter',
                'lock_factory' => 'lock.factory',
            ],
        ],
    ]);
};
