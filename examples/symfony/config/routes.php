<?php

use App\Controller\ConnectController;
use App\Controller\LoginController;
use App\Controller\PriceController;
use Symfony\Component\Routing\Loader\Configurator\RoutingConfigurator;

return static function (RoutingConfigurator $routes): void {
    $routes->add('connect', '/connect')->methods(['GET'])->controller([ConnectController::class, 'start']);
    $routes->add('connected', '/connect/check')->methods(['GET'])->controller([ConnectController::class, 'check']);
    $routes->add('login', '/login')->methods(['POST'])->controller(LoginController::class);
    $routes->add('price', '/prices/{product}')->methods(['GET'])->controller([PriceController::class, 'show']);
    $routes->add('prices', '/prices')->methods(['DELETE'])->controller([PriceController::class, 'forget']);
};
