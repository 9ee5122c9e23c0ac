<?php

// Debian's packages load themselves; an application of Composer's has
// vendor/autoload.php here.

declare(strict_types=1);

foreach (['Bundle/FrameworkBundle', 'Component/Console', 'Component/Lock', 'Component/RateLimiter'] as $part) {
    require_once "Symfony/$part/autoload.php";
}

spl_autoload_register(static function (string $class): void {
    if (str_starts_with($class, 'App\\')) {
        require __DIR__ . '/src/' . strtr(substr($class, 4), '\\', '/') . '.php';
    }
});
