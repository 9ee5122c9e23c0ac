<?php

declare(strict_types=1);

namespace App\Http\Controllers;

use Illuminate\Http\Request;
use Illuminate\Support\Facades\Auth;

final class VisitController
{
    public function guest(): array
    {
        return ['user' => Auth::id()];
    }

    public function count(Request $request): array
    {
        return ['user' => Auth::id(), 'visits' => $request->session()->increment('visits')];
    }
}
