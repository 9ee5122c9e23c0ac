<?php

// Debian's packages load themselves; an application of Composer's has
// vendor/autoload.php here.

declare(strict_types=1);

require_once 'Illuminate/autoload.php';

// Only for REDIS_CLIENT=predis.
if (stream_resolve_include_path('Predis/autoload.php')) {
    require_once 'Predis/autoload.php';
}

spl_autoload_register(static function (string $class): void {
    if (str_starts_with($class, 'App\\')) {
        require __DIR__ . '/app/' . strtr(substr($class, 4), '\\', '/') . '.php';
    }
});
