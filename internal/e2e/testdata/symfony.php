<?php
// Uses Symfony's components on the nodes given as arguments, host:port each,
// a client at one after the other. Prints a line for each promise that is
// broken, and "done" at the end.

use Symfony\Component\Cache\Adapter\RedisAdapter;
use Symfony\Component\Cache\Adapter\RedisTagAwareAdapter;
use Symfony\Component\Lock\LockFactory;
use Symfony\Component\Lock\Store\RedisStore;
use Symfony\Component\RateLimiter\RateLimiterFactory;
use Symfony\Component\RateLimiter\Storage\CacheStorage;
use Symfony\Component\Semaphore\SemaphoreFactory;
use Symfony\Component\Semaphore\Store\RedisStore as SemaphoreStore;

error_reporting(E_ALL & ~E_DEPRECATED);
foreach (['Lock', 'Cache', 'RateLimiter', 'Semaphore'] as $component) {
    require "/usr/share/php/Symfony/Component/$component/autoload.php";
}
require '/usr/share/php/Predis/autoload.php';

$nodes = array_slice($argv, 1);
$next = 0;
$redis = function () use ($nodes, &$next) {
    return RedisAdapter::createConnection('redis://'.$nodes[$next++ % count($nodes)]);
};
function want(string $what, $got, $want): void
{
    if ($got !== $want) {
        printf("%s: got %s, want %s\n", $what, var_export($got, true), var_export($want, true));
    }
}

// Locks, one client at each node.
$a = (new LockFactory(new RedisStore($redis())))->createLock('purge', 60);
$b = (new LockFactory(new RedisStore($redis())))->createLock('purge', 60);
want('a free lock', $a->acquire(), true);
want('a lock that another has', $b->acquire(), false);
$a->release();
want('a released lock', $b->acquire(), true);
$b->refresh();
want('a renewed lock is had', $b->isAcquired(), true);
$reader = (new LockFactory(new RedisStore($redis())))->createLock('shared', 60);
$other = (new LockFactory(new RedisStore($redis())))->createLock('shared', 60);
$writer = (new LockFactory(new RedisStore($redis())))->createLock('shared', 60);
want('a shared lock', $reader->acquireRead(), true);
want('a shared lock beside another', $other->acquireRead(), true);
want('a lock that is shared', $writer->acquire(), false);
$reader->release();
$other->release();
want('a lock that was shared', $writer->acquire(), true);

// A semaphore of two.
$semaphores = [];
foreach ([true, true, false] as $i => $isFree) {
    $semaphores[$i] = (new SemaphoreFactory(new SemaphoreStore($redis())))->createSemaphore('two', 2, 1, 60);
    want("semaphore $i", $semaphores[$i]->acquire(), $isFree);
}
$semaphores[0]->release();
want('a released semaphore', $semaphores[2]->acquire(), true);

// Caches, plain and with tags.
want('a computed entry', (new RedisAdapter($redis(), 'plain'))->get('k', fn () => 42), 42);
want('an entry at another node', (new RedisAdapter($redis(), 'plain'))->getItem('k')->get(), 42);
want('clearing', (new RedisAdapter($redis(), 'plain'))->clear(), true);
want('a cleared entry', (new RedisAdapter($redis(), 'plain'))->getItem('k')->isHit(), false);
$tagged = new RedisTagAwareAdapter($redis(), 'tagged');
$item = $tagged->getItem('k');
want('saving with a tag', $tagged->save($item->set('v')->tag(['t'])), true);
want('a tagged entry at another node', (new RedisTagAwareAdapter($redis(), 'tagged'))->getItem('k')->get(), 'v');
want('invalidating a tag', (new RedisTagAwareAdapter($redis(), 'tagged'))->invalidateTags(['t']), true);
want('an invalidated entry', (new RedisTagAwareAdapter($redis(), 'tagged'))->getItem('k')->isHit(), false);

// A limiter of five, sprayed over all nodes.
$accepted = 0;
for ($i = 0; $i < 60; ++$i) {
    $limiter = new RateLimiterFactory(
        ['id' => 'login', 'policy' => 'sliding_window', 'limit' => 5, 'interval' => '10 minutes'],
        new CacheStorage(new RedisAdapter($redis(), 'limiter')),
        new LockFactory(new RedisStore($redis())),
    );
    $accepted += (int) $limiter->create('anna')->consume()->isAccepted();
}
want('accepted of 60', $accepted, 5);

// predis: a transaction and a script.
$predis = new Predis\Client('tcp://'.$nodes[0]);
$predis->transaction(function ($t) {
    $t->set('counted', 1);
    $t->incr('counted');
});
want('a transaction', (new Predis\Client('tcp://'.$nodes[1]))->get('counted'), '2');
want('a script', $predis->eval('return {KEYS[1], ARGV[1]}', 1, 'k', 'v'), ['k', 'v']);
echo "done\n";
