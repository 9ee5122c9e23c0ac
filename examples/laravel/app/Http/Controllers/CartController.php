<?php

declare(strict_types=1);

namespace App\Http\Controllers;

use Illuminate\Http\Request;

/** Keeps the cart in the session, which is read and written as a whole. */
final class CartController
{
    public function add(Request $request, string $item): array
    {
        $request->session()->put('cart.' . $item, 1);

        return $this->show($request);
    }

    public function show(Request $request): array
    {
        return ['items' => array_map('strval', array_keys($request->session()->get('cart', [])))];
    }
}
