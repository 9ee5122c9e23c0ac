<?php

declare(strict_types=1);

namespace App\Command;

use Psr\Cache\CacheItemPoolInterface;
use Symfony\Component\Console\Command\Command;
use Symfony\Component\Console\Input\InputArgument;
use Symfony\Component\Console\Input\InputInterface;
use Symfony\Component\Console\Output\OutputInterface;
use Symfony\Component\Lock\LockFactory;
use Symfony\Contracts\Cache\TagAwareCacheInterface;

/**
 * The nightly job. Every pod's cron starts it; one pod does it.
 *
 * The lock keeps two pods from doing it at the same time, and what is noted
 * under the lock keeps a pod whose cron is late from doing it again.
 */
final class PurgeCommand extends Command
{
    protected static $defaultName = 'app:purge';

    private LockFactory $locks;
    private CacheItemPoolInterface $jobs;
    private TagAwareCacheInterface $cache;

    public function __construct(LockFactory $locks, CacheItemPoolInterface $cacheJobs, TagAwareCacheInterface $cache)
    {
        parent::__construct();
        $this->locks = $locks;
        $this->jobs = $cacheJobs;
        $this->cache = $cache;
    }

    protected function configure(): void
    {
        $this->setDescription('Forgets all prices, once a night')
            ->addArgument('night', InputArgument::OPTIONAL, 'the night it is done for', date('Y-m-d'));
    }

    protected function execute(InputInterface $input, OutputInterface $output): int
    {
        $lock = $this->locks->createLock('purge', 60);
        if (!$lock->acquire()) {
            $output->writeln('another pod is at it');

            return Command::SUCCESS;
        }
        try {
            $output->writeln($this->purge($input->getArgument('night')));
        } finally {
            $lock->release();
        }

        return Command::SUCCESS;
    }

    private function purge(string $night): string
    {
        $last = $this->jobs->getItem('purge.night');
        if ($last->get() === $night) {
            return 'done already';
        }
        $this->cache->invalidateTags(['prices']);
        $this->jobs->save($last->set($night));

        return 'purged';
    }
}
