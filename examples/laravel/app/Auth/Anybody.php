<?php

declare(strict_types=1);

namespace App\Auth;

use Illuminate\Auth\GenericUser;
use Illuminate\Contracts\Auth\Authenticatable;
use Illuminate\Contracts\Auth\UserProvider;

/**
 * Users without a database: whoever gives a name has it. What is shown is that
 * they stay logged in, not how they prove who they are.
 */
final class Anybody implements UserProvider
{
    public function retrieveById($identifier): ?Authenticatable
    {
        return new GenericUser(['id' => $identifier]);
    }

    public function retrieveByToken($identifier, $token): ?Authenticatable
    {
        return null;
    }

    public function updateRememberToken(Authenticatable $user, $token): void
    {
    }

    public function retrieveByCredentials(array $credentials): ?Authenticatable
    {
        return isset($credentials['name']) ? $this->retrieveById($credentials['name']) : null;
    }

    public function validateCredentials(Authenticatable $user, array $credentials): bool
    {
        return true;
    }
}
