<?php

declare(strict_types=1);

namespace App\Http\Controllers;

use App\Jobs\SendReceipt;
use Illuminate\Http\JsonResponse;
use Illuminate\Support\Facades\Redis;

final class OrderController
{
    public function place(string $order): JsonResponse
    {
        SendReceipt::dispatch($order);

        return new JsonResponse(['order' => $order], JsonResponse::HTTP_ACCEPTED);
    }

    public function receipts(): array
    {
        return ['sent' => Redis::lrange(SendReceipt::SENT, 0, -1)];
    }
}
