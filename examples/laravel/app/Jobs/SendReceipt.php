<?php

declare(strict_types=1);

namespace App\Jobs;

use Illuminate\Contracts\Queue\ShouldQueue;
use Illuminate\Foundation\Bus\Dispatchable;
use Illuminate\Support\Facades\Redis;

final class SendReceipt implements ShouldQueue
{
    use Dispatchable;

    /** The list of orders whose receipts were sent. */
    public const SENT = 'receipts';

    private string $order;

    public function __construct(string $order)
    {
        $this->order = $order;
    }

    public function handle(): void
    {
        Redis::rpush(self::SENT, $this->order);
    }
}
