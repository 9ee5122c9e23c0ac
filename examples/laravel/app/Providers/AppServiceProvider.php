<?php

declare(strict_types=1);

namespace App\Providers;

use App\Auth\Anybody;
use Illuminate\Support\Facades\Auth;
use Illuminate\Support\ServiceProvider;

final class AppServiceProvider extends ServiceProvider
{
    public function boot(): void
    {
        Auth::provider('anybody', static fn (): Anybody => new Anybody());
    }
}
