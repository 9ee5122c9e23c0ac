<?php

// Uses Laravel's components on the nodes given after the client's name,
// host:port each, one after the other. Prints a line for each promise that is
// broken, and "done" at the end.

declare(strict_types=1);

use Illuminate\Cache\RedisStore;
use Illuminate\Cache\Repository;
use Illuminate\Container\Container;
use Illuminate\Contracts\Redis\LimiterTimeoutException;
use Illuminate\Queue\RedisQueue;
use Illuminate\Redis\RedisManager;
use Illuminate\Session\CacheBasedSessionHandler;

require 'Illuminate/autoload.php';
require 'Predis/autoload.php';

[, $client] = $argv;
$connections = ['options' => ['prefix' => "$client:"]];
foreach (array_slice($argv, 2) as $i => $node) {
    [$host, $port] = explode(':', $node);
    $connections["node$i"] = ['host' => $host, 'port' => $port, 'database' => 0];
}
$redis = new RedisManager(new Container(), $client, $connections);
$turn = 0;
$next = function () use ($connections, &$turn): string {
    return 'node' . $turn++ % (count($connections) - 1);
};
$cache = fn (): Repository => new Repository(new RedisStore($redis, 'cache', $next()));
$queue = function () use ($redis, $next): RedisQueue {
    $queue = new RedisQueue($redis, 'default', $next(), 60);
    $queue->setContainer(new Container());
    return $queue;
};
$want = function (string $what, $got, $want): void {
    if ($got !== $want) {
        printf("%s: got %s, want %s\n", $what, var_export($got, true), var_export($want, true));
    }
};

// The cache.
$want('putting', $cache()->put('a', ['x' => 1], 60), true);
$want('an entry', $cache()->get('a'), ['x' => 1]);
$want('putting many', $cache()->putMany(['b' => 'two', 'n' => 3], 60), true);
$many = ['a' => ['x' => 1], 'b' => 'two', 'none' => null, 'n' => '3'];
$want('many entries', $cache()->many(array_keys($many)), $many);
$want('adding what is there', $cache()->add('a', 'other', 60), false);
$want('adding', $cache()->add('added', 'other', 60), true);
$want('incrementing', $cache()->increment('n', 4), 7);
$want('decrementing', $cache()->decrement('n'), 6);
$want('incrementing nothing', $cache()->increment('new'), 1);
$want('for ever', $cache()->forever('kept', 0.5), true);
$want('remembering what is there', $cache()->remember('kept', 60, fn () => 'new'), '0.5');
$want('pulling', $cache()->pull('added'), 'other');
$want('forgetting what was pulled', $cache()->forget('added'), false);

// Tags.
$want('putting with tags', $cache()->tags(['people', 'artists'])->put('anna', 1, 60), true);
$want('for ever with a tag', $cache()->tags('people')->forever('bert', 2), true);
$want('for ever with another tag', $cache()->tags('places')->forever('rome', 3), true);
$want('an entry with tags', $cache()->tags(['people', 'artists'])->get('anna'), '1');
$want('incrementing with a tag', (int) $cache()->tags('people')->increment('bert'), 3);
$want('flushing a tag', $cache()->tags('people')->flush(), true);
$want('a flushed entry', $cache()->tags(['people', 'artists'])->get('anna'), null);
$want('a flushed entry for ever', $cache()->tags('people')->get('bert'), null);
$want('an entry with another tag', $cache()->tags('places')->get('rome'), '3');

// Locks.
$lock = $cache()->lock('job', 60);
$want('a free lock', $lock->get(), true);
$want('a lock that another has', $cache()->lock('job', 60)->get(), false);
$want('releasing what another has', $cache()->lock('job', 60)->release(), false);
$want('releasing by its owner', $cache()->restoreLock('job', $lock->owner())->release(), true);
$want('a released lock', $cache()->lock('job')->get(fn () => 'done'), 'done');
$want('a lock without end', $cache()->lock('job')->get(), true);
$cache()->lock('job')->forceRelease();
$want('waiting for a lock', $cache()->lock('job', 1)->get() && $cache()->lock('job', 60)->block(3), true);

// Limiters.
$throttled = fn () => $redis->connection($next())->throttle('mail')->allow(2)->every(60)->block(0)
    ->then(fn () => 'sent', fn (LimiterTimeoutException $e) => 'later');
$want('a throttle of two', [$throttled(), $throttled(), $throttled()], ['sent', 'sent', 'later']);
$funnel = fn (callable $inside) => $redis->connection($next())->funnel('print')->limit(2)->releaseAfter(60)->block(0)
    ->then($inside, fn (LimiterTimeoutException $e) => 'full');
$want('a funnel of two', $funnel(fn () => $funnel(fn () => $funnel(fn () => 'three'))), 'full');
$want('a funnel that was left', $funnel(fn () => $funnel(fn () => 'two')), 'two');

// Sessions.
$handler = fn (): CacheBasedSessionHandler => new CacheBasedSessionHandler($cache(), 60);
$want('saving a session', $handler()->write('s', 'data'), true);
$want('a session', $handler()->read('s'), 'data');
$want('destroying a session', $handler()->destroy('s'), true);
$want('a destroyed session', $handler()->read('s'), '');

// Queues.
$name = fn ($job): ?string => $job === null ? null : json_decode($job->getRawBody(), true)['job'];
$queue()->push('first');
$queue()->later(-1, 'due');
$queue()->later(3600, 'not due');
$queue()->bulk(['second', 'third']);
$want('jobs', $queue()->size(), 5);
$job = $queue()->pop();
$want('the first job', $name($job), 'first');
$want('its attempts', $job->attempts(), 1);
$job->release(3600);
$job = $queue()->pop();
$want('the second job', $name($job), 'second');
$job->release(-1);
$job->delete();
$rest = [];
while (($job = $queue()->pop()) !== null) {
    $rest[] = $name($job) . ' ' . $job->attempts();
    $job->delete();
}
$want('the other jobs', $rest, ['third 1', 'due 1', 'second 2']);
$want('jobs that are not due', $queue()->size(), 2);
$want('clearing a queue', $queue()->clear('default'), 2);

// Redis itself.
$results = $redis->connection($next())->transaction(function ($t): void {
    $t->set('counted', 1);
    $t->incr('counted');
});
$want('a transaction', end($results), 2);
$results = $redis->connection($next())->pipeline(function ($p): void {
    $p->hset('hash', 'field', 'value');
    $p->hgetall('hash');
});
$want('a pipeline', end($results), ['field' => 'value']);
$want('a script', $redis->connection($next())->eval('return {KEYS[1], ARGV[1]}', 1, 'k', 'v'), ["$client:k", 'v']);
echo "done\n";
