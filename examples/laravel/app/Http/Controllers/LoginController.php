<?php

declare(strict_types=1);

namespace App\Http\Controllers;

use Illuminate\Http\Request;
use Illuminate\Support\Facades\Auth;

final class LoginController
{
    public function __invoke(Request $request): array
    {
        abort_unless(Auth::attempt($request->only('name')), 403);
        $request->session()->regenerate();

        return ['user' => Auth::id()];
    }
}
